"""The pipeline's own stages, run for one capture, with or without regard to what its gates say.

Everything is the code that production runs: the assets of ``definitions``, against a store in a folder, without a
daemon. What is smaller than in production is told to the recipe, and to the ladder of details.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg

from resources.cpu_trainer import CpuTrainer
from resources.inbox import list_upload
from resources.media import PyAvReader
from resources.stores import FileStore
from splat_pipeline.assets import cleaning, frames, intake, linking, poses, reconstructions, splats
from splat_pipeline.assets.failures import explain
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.definitions import resources_of
from splat_pipeline.domain import plans
from splat_pipeline.domain.plans import Detail, Rung
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.report import STAGE_ORDER
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings

STAGES = STAGE_ORDER[: STAGE_ORDER.index("exports")]
SMALL: dict[str, Any] = {
    "frames": {"max_keyframes": 13, "longer_side_px": 240, "holdout_every": 4, "analysis_px": 240},
    "poses": {"max_features": 700, "longer_side_px": 240, "rescue_limit_s": 30},
}
"""Recipe of the benchmark's jobs: 13 keyframes of 240x180."""
LADDER = {
    Detail.FULL: Rung(longer_side_px=200, iterations=260, max_gaussians=7000, sh_degree=1),
    Detail.REDUCED: Rung(longer_side_px=160, iterations=180, max_gaussians=5000, sh_degree=1),
    Detail.PREVIEW: Rung(longer_side_px=120, iterations=100, max_gaussians=3000, sh_degree=0),
}
"""In the place of ``plans.CPU_LADDER``: sizes of the same order to each other, seconds instead of minutes."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    done: tuple[str, ...]
    """Stages that were materialized."""
    reason: Mapping[str, str | None] | None
    """``explain`` of what stopped it; None: nothing did."""


@cache
def assets() -> list[dg.AssetsDefinition]:
    """Return the stages up to the splat."""
    found = dg.load_assets_from_modules([intake, frames, linking, reconstructions, poses, splats, cleaning])
    return [*(each for each in found if isinstance(each, dg.AssetsDefinition)), splats.splat_in("train_cpu")]


@dataclass(frozen=True)
class OnlyTrainer:
    """Stands for the trainers of an installation that has one."""

    trainer: CpuTrainer

    def names(self) -> Sequence[str]:
        """Return its name."""
        return [self.trainer.name]

    def named(self, name: str) -> CpuTrainer:
        """Return it, by whatever name."""
        del name
        return self.trainer

    def chosen(self, asked: str) -> tuple[CpuTrainer, str]:
        """Return it, whatever is asked for."""
        del asked
        return self.trainer, "there is no other"


class Line:
    """A store, and the resources behind the stages; one job after the other."""

    def __init__(self, home: Path, *, recipe: Recipe | None = None, ladder: Mapping[Detail, Rung] = LADDER) -> None:
        small = Recipe().overridden(SMALL, source="benchmark")
        self.settings = Settings(home=home, recipe=recipe or small)
        self.store: FileStore = store_of(self.settings)
        self.ladder = ladder
        self.resources = {**resources_of(self.settings), "reader": PyAvReader(), "trainers": OnlyTrainer(CpuTrainer())}

    def register(self, path: Path, title: str) -> str:
        """Make a clip, or a folder, a job and return its key."""
        upload = list_upload(path, title=title)
        self.store.register(upload)
        return upload.job

    def key_of(self, name: str) -> str:
        """Return the key of a job that is called ``name`` and has no upload."""
        return f"{name.replace('.', '-')}-00000000"

    def forget(self, job: str) -> None:
        """Remove all artifacts of a job."""
        shutil.rmtree(Path(self.settings.place("store")) / "jobs" / job)

    def run(self, job: str, stages: Sequence[str], *, detail: str | None = None, **resources: Any) -> Outcome:
        """Materialize ``stages`` of ``job``, until something stops it."""
        ops = {"training_plan": {"config": {"detail": detail}}} if detail and "training_plan" in stages else {}
        with dg.DagsterInstance.ephemeral() as instance, scaled(self.ladder):
            instance.add_dynamic_partitions(str(jobs.name), [job])
            result = dg.materialize(
                assets(),
                selection=list(stages),
                partition_key=job,
                instance=instance,
                resources={**self.resources, **resources},
                run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
            done = {
                event.asset_key.to_user_string()
                for event in result.get_asset_materialization_events()
                if event.asset_key
            }
            return Outcome(
                done=tuple(stage for stage in stages if stage in done),
                reason=None if result.success else explain(result.all_events),
            )

    def finish(self, job: str, stages: Sequence[str], **resources: Any) -> Outcome:
        """Materialize ``stages`` whatever gates say, until one cannot be computed."""
        left, done = list(stages), []
        while left:
            with lifted():
                outcome = self.run(job, left, **resources)
            done += outcome.done
            left = [stage for stage in left if stage not in done]
            if outcome.reason is None or not outcome.done:
                return Outcome(done=tuple(done), reason=outcome.reason)
        return Outcome(done=tuple(done), reason=None)

    def folder(self, job: str, asset: str) -> Path:
        """Return an artifact's folder."""
        return self.store.fetch(job, asset).folder

    def replace(self, job: str, asset: str, source: str) -> Any:
        """Give a scratch folder with the artifact of another job in it; what it holds then becomes this job's."""
        return _replaced(self.store, job, asset, source)


@contextmanager
def _replaced(store: FileStore, job: str, asset: str, source: str) -> Iterator[Path]:
    made = store.fetch(source, asset)
    with store.scratch(job, asset) as folder:
        shutil.copytree(made.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artifact.json"))
        yield folder
        provenance = {key: made.manifest[key] for key in ("inputs", "run_id", "code_version", "seconds", "lineage")}
        store.publish(job, asset, folder, provenance=provenance)


@contextmanager
def scaled(ladder: Mapping[Detail, Rung] = LADDER) -> Iterator[None]:
    """Have trainings of the size of ``ladder`` for a while."""
    with mock.patch.dict(plans.CPU_LADDER, ladder):
        yield


@contextmanager
def lifted() -> Iterator[None]:
    """Refuse no footage for a while: to see what would have come of it."""
    with mock.patch("splat_pipeline.assets.frames.judge_clip", return_value=None):
        yield
