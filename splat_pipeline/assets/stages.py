"""The frame around every stage: inputs fetched and recorded, scratch, publication, timing, tables, result.

@job_asset(deps=["source_videos"])
def frame_quality(context: dg.AssetExecutionContext, store: Stores, machine: Machines, reader: Readers) -> Result:
    with stage(context, store, machine) as work:
        source = work.input("source_videos")          # verified folder
        ... write files into work.folder ...
        work.publish(metadata={"frames": 100}, metrics={"sharp_share": 0.8})
    return work.result()
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg

from splat_pipeline.assets.checks import results_of, specs_of
from splat_pipeline.assets.failures import RETRIES, classified
from splat_pipeline.assets.partitions import GROUP, jobs
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.domain.quality import Verdict, judge_stage, write_verdicts
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.ports import (
    Artifact,
    ImageLoader,
    Machine,
    MediaReader,
    MovieWriter,
    PoseSources,
    SfmBackend,
    SheetMaker,
    SplatTrainer,
    Store,
    Usage,
)

Stores = dg.ResourceParam[Store]
Machines = dg.ResourceParam[Machine]
Readers = dg.ResourceParam[MediaReader]
Sheets = dg.ResourceParam[SheetMaker]
Sfm = dg.ResourceParam[SfmBackend]
Sources = dg.ResourceParam[PoseSources]
Loaders = dg.ResourceParam[ImageLoader]
Trainers = dg.ResourceParam[SplatTrainer]
Movies = dg.ResourceParam[MovieWriter]
GATES_FILE = "gates.json"
"""The verdicts of a stage that has gates, in its artifact: ``training_plan`` and the report read them from there."""
Result = dg.MaterializeResult[Any]
Context = dg.AssetExecutionContext | dg.OpExecutionContext


@dataclass(kw_only=True)
class Work:
    """One stage of one job while it is computed."""

    job: str
    asset: str
    run_id: str
    folder: Path
    """Scratch: what is written here becomes the artifact."""
    store: Store
    log: Callable[[str], None]
    """One line of progress, seen in the UI and on the terminal."""
    inputs: dict[str, Artifact] = field(default_factory=dict)
    uploaded_bytes: int = 0
    """Read from the upload itself, by the stages that do."""
    published: Artifact | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    began_s: float = field(default_factory=time.monotonic)

    def input(self, asset: str) -> Path:
        """Return the verified folder of another stage's current artifact and record that it was read."""
        if asset not in self.inputs:
            self.inputs[asset] = self.store.fetch(self.job, asset)
        return self.inputs[asset].folder

    def ongoing(self) -> Path:
        """Return a folder where unfinished work outlives a killed run, found again while code and inputs are the same.

        To be called when all inputs were read.
        """
        rests_on = {"code": version("splat_pipeline"), **{name: a.digest for name, a in sorted(self.inputs.items())}}
        key = hashlib.sha256(json.dumps(rests_on).encode()).hexdigest()[:16]
        return self.store.ongoing(self.job, self.asset, key)

    @property
    def bytes_in(self) -> int:
        """What was read: artifacts and, where a stage looks at it, the upload."""
        return self.uploaded_bytes + sum(artifact.size_bytes for artifact in self.inputs.values())

    @cached_property
    def recipe(self) -> Recipe:
        """The job's own settings, as ``source_videos`` resolved them."""
        self.input("source_videos")
        return recipe_of(self.inputs["source_videos"])

    def publish(
        self,
        *,
        metadata: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Publish the scratch folder, judge ``metrics`` by the stage's gates and keep ``metadata`` for the UI.

        ``notes``: what to add to the gates' reasons, by metric.
        """
        provenance = {
            "inputs": {name: artifact.digest for name, artifact in sorted(self.inputs.items())},
            "run_id": self.run_id,
            "code_version": version("splat_pipeline"),
            "seconds": round(time.monotonic() - self.began_s, 3),
            "lineage": lineage_of(self.inputs),
        }
        self.verdicts = judge_stage(self.asset, metrics or {}, notes)
        if self.verdicts:
            write_verdicts(self.folder / GATES_FILE, self.verdicts)
        self.published = self.store.publish(self.job, self.asset, self.folder, provenance=provenance)
        self.metadata = dict(metadata)

    def result(self) -> Result:
        """Return what Dagster records: data version, metadata and check results."""
        assert self.published is not None
        return dg.MaterializeResult(
            data_version=dg.DataVersion(self.published.digest),
            metadata=self.shown(),
            check_results=results_of(self.asset, self.verdicts),
        )

    def shown(self) -> dict[str, Any]:
        """Return the stage's metadata with seconds, memory and bytes."""
        assert self.published is not None
        return {
            **self.metadata,
            "seconds": round(self.usage.seconds, 3),
            "peak_rss_bytes": self.usage.peak_rss_bytes,
            "bytes_in": self.bytes_in,
            "bytes_out": self.published.size_bytes,
            "artifact": dg.MetadataValue.path(str(self.published.folder)),
        }


def recipe_of(source_videos: Artifact) -> Recipe:
    """Return the settings that a job was resolved with."""
    manifest = json.loads((source_videos.folder / "manifest.json").read_text())
    return Recipe.model_validate(manifest["recipe"])


@contextmanager
def stage(context: Context, store: Store, machine: Machine, *, name: str | None = None) -> Iterator[Work]:
    """Frame one stage. Success or failure, its cost is written to the ``stages`` table, its verdicts to ``gates``.

    ``name`` is for ops of a graph-backed asset, whose artifact is not called like the asset.
    """
    asset = name or context.asset_key.to_user_string()
    job, run_id = context.partition_key, context.run.run_id
    usage = Usage()
    error: BaseException | None = None
    with store.scratch(job, asset) as folder:
        work = Work(job=job, asset=asset, run_id=run_id, folder=folder, store=store, log=context.log.info)
        try:
            with machine.metered() as usage:
                yield work
        except BaseException as caught:
            error = caught
            raise
        finally:
            work.usage = usage
            _record(work, machine, attempts=context.retry_number + 1, error=error)


def _record(work: Work, machine: Machine, *, attempts: int, error: BaseException | None) -> None:
    utc = machine.utc()
    row = {
        "job": work.job,
        "stage": work.asset,
        "run_id": work.run_id,
        "utc": utc,
        "seconds": work.usage.seconds,
        "peak_rss_bytes": work.usage.peak_rss_bytes,
        "peak_vram_bytes": None,
        "gpu_share": None,
        "bytes_in": work.bytes_in,
        "bytes_out": work.published.size_bytes if work.published else 0,
        "attempts": attempts,
        "outcome": "success" if error is None else "failure",
        "failure_signature": None if error is None else type(error).__name__,
    }
    work.store.append(tables.STAGES, [row])
    if work.verdicts:
        scene_type = work.recipe.scene_type
        work.store.append(tables.GATES, [gate_row(work, v, utc=utc, scene_type=scene_type) for v in work.verdicts])


def gate_row(work: Work, verdict: Verdict, *, utc: str, scene_type: str) -> dict[str, Any]:
    """Return a row of the ``gates`` table."""
    return {
        "job": work.job,
        "run_id": work.run_id,
        "utc": utc,
        "stage": work.asset,
        "gate": verdict.gate,
        "metric": verdict.limit.metric,
        "value": float(verdict.value),
        "limit": float(verdict.limit.bound),
        "scene_type": scene_type,
        "severity": verdict.limit.severity,
        "passed": verdict.passed,
        "because": verdict.because,
    }


def lineage_of(inputs: Mapping[str, Artifact]) -> dict[str, dict[str, Any]]:
    """Return digest, version, run and seconds of every artifact that led to ``inputs``, by asset.

    It travels in the manifests, so that a package tells its whole history without fetching it.
    """
    lineage: dict[str, dict[str, Any]] = {}
    for artifact in inputs.values():
        lineage.update(artifact.manifest.get("lineage", {}))
    for name, artifact in inputs.items():
        kept = {key: artifact.manifest.get(key) for key in ("run_id", "seconds")}
        lineage[name] = {"digest": artifact.digest, "version": artifact.version, **kept}
    return dict(sorted(lineage.items()))


def job_asset(
    *, deps: Sequence[str] = (), kinds: set[str] | None = None, pool: str | None = None
) -> Callable[..., Any]:
    """Decorate an asset of the graph: partitioned by job, one group, gates as checks, errors classified."""

    def decorate(body: Callable[..., Any]) -> dg.AssetsDefinition:
        return dg.asset(
            deps=list(deps),
            partitions_def=jobs,
            group_name=GROUP,
            kinds=kinds,
            pool=pool,
            retry_policy=RETRIES,
            check_specs=specs_of(body.__name__),
            description=body.__doc__,
        )(classified(body))

    return decorate


__all__ = [
    "Context", "Loaders", "Machines", "Movies", "Readers", "Sfm", "Sheets", "Sources", "SplatError", "Stores",
    "Trainers", "Work", "gate_row", "job_asset", "lineage_of", "recipe_of", "stage",
]  # fmt: skip
