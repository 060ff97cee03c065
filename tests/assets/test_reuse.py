"""A run that asks for it takes over what still holds, and only that; a run that does not ask computes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.machine import LocalMachine
from resources.stores import FileStore
from splat_pipeline.assets import stages, traces
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.stages import Machines, Stores, Trainers, job_asset, stage
from splat_pipeline.assets.traces import REUSE_TAG, code_digest
from splat_pipeline.domain import tables
from splat_pipeline.domain.quality import LIMITS
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.uploads import Upload, UploadFile

JOB = "scene-00000000"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
METRICS = {limit.metric: 40.0 for limit in LIMITS.values() if limit.stage == "keyframes"} | {"noise_luma": 0.0}
METRICS["sharp_share"] = 0.2
made: list[str] = []


class Wanted(dg.Config):
    """What the launchpad may say."""

    detail: str | None = None


@job_asset()
def source_videos(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> stages.Result:
    """Never reached: published by hand."""
    raise AssertionError


@job_asset(deps=["source_videos"])
def keyframes(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> stages.Result:
    """Reads the settings of frames."""
    with stage(context, store, machine) as work:
        made.append("keyframes")
        (work.folder / "a.txt").write_text(str(work.recipe.frames.max_keyframes))
        work.publish(metadata={"shown": 7}, metrics=METRICS)
    return work.result()


@job_asset(deps=["keyframes"])
def training(
    context: dg.AssetExecutionContext, store: Stores, machine: Machines, trainer: Trainers, config: Wanted
) -> stages.Result:
    """Reads the keyframes and the settings of training."""
    with stage(context, store, machine) as work:
        made.append("training")
        text = (work.input("keyframes") / "a.txt").read_text()
        (work.folder / "b.txt").write_text(f"{text} {work.recipe.training.iterations} {trainer.name}")
        work.lasting = work.recipe.training.iterations != 999
        work.publish(metadata={})
    return work.result()


@dataclass
class Named:
    """Stands in for a trainer."""

    name: str = "cpu"


@dataclass
class Home:
    """One job, and runs of it."""

    store: FileStore
    instance: dg.DagsterInstance
    recipe: Recipe = field(default_factory=Recipe)

    def change(self, keys: dict[str, Any], *, footage: str = "film") -> None:
        self.recipe = self.recipe.overridden(keys, source="test")
        with self.store.scratch(JOB, "source_videos") as folder:
            told = {"recipe": self.recipe.model_dump(), "footage": footage}
            (folder / "manifest.json").write_text(json.dumps(told))
            self.store.publish(JOB, "source_videos", folder, provenance={})

    def run(self, *, reuse: bool = True, trainer: str = "cpu", config: dict[str, Any] | None = None) -> list[str]:
        """Return which stages were computed."""
        made.clear()
        result = dg.materialize(
            [keyframes, training],
            instance=self.instance,
            partition_key=JOB,
            resources={"store": self.store, "machine": LocalMachine(), "trainer": Named(trainer)},
            tags={REUSE_TAG: "true"} if reuse else None,
            run_config=QUIET | ({"ops": {"training": {"config": config}}} if config else {}),
        )
        self.events = result.get_asset_materialization_events()
        self.checks = result.get_asset_check_evaluations()
        return list(made)

    def shown(self, asset: str) -> dict[str, Any]:
        (event,) = [e for e in self.events if e.asset_key.path == [asset]]
        return {key: value.value for key, value in event.materialization.metadata.items()}


@pytest.fixture
def home(tmp_path: Path, instance: dg.DagsterInstance) -> Home:
    store = FileStore(tmp_path / "store", tmp_path / "delivered")
    files = (UploadFile(name="a.mp4", size_bytes=4),)
    store.register(Upload(job=JOB, title="scene", location=str(tmp_path), files=files))
    instance.add_dynamic_partitions(str(jobs.name), [JOB])
    made_here = Home(store=store, instance=instance)
    made_here.change({})
    return made_here


def test_equal_inputs_settings_and_code_are_republished_by_digest_and_the_log_says_so(home: Home):
    assert home.run() == ["keyframes", "training"]
    version = home.store.fetch(JOB, "keyframes").version
    before = [check.passed for check in home.checks]
    assert home.run() == []
    assert home.shown("keyframes")["reused_from"] == version
    assert home.shown("keyframes")["shown"] == 7, "what the UI showed of it stays"
    assert [check.passed for check in home.checks] == before
    assert set(before) == {True, False}
    rows = home.store.rows(tables.STAGES)
    assert rows["outcome"].tolist() == ["success", "success", "reused", "reused"]
    assert rows["bytes_out"].tolist()[2:] == [0, 0]
    versions = {e.materialization.tags["dagster/data_version"] for e in home.events}
    assert versions == {home.store.fetch(JOB, name).digest for name in ("keyframes", "training")}


def test_a_run_that_does_not_ask_computes(home: Home):
    home.run()
    assert home.run(reuse=False) == ["keyframes", "training"]


def test_a_change_of_the_training_computes_nothing_before_it(home: Home):
    home.run()
    home.change({"training": {"iterations": 500}})
    assert home.run() == ["training"]
    home.change({"preview": {"seconds": 2}})
    assert home.run() == []


def test_a_change_of_frames_or_footage_computes_what_rests_on_it(home: Home):
    home.run()
    home.change({"frames": {"max_keyframes": 30}})
    assert home.run() == ["keyframes", "training"]
    home.change({}, footage="another film")
    assert home.run() == ["keyframes", "training"]


def test_an_input_of_equal_content_is_no_change_however_it_was_made(home: Home):
    home.change({"frames": {"max_keyframes": 30}})
    home.run()
    home.change({"frames": {"jpeg_quality": 80}})
    assert home.run() == ["keyframes"], "it was computed, came out equal, and the training stays"
    assert home.run() == [], "and counts as made from the settings that it was made from last"


def test_the_tool_the_launchpad_and_the_code_count(home: Home, monkeypatch: pytest.MonkeyPatch):
    home.run()
    assert home.run(trainer="other") == ["training"]
    assert home.run(trainer="other", config={"detail": "full"}) == ["training"]
    assert home.run(trainer="other", config={"detail": "full"}) == []
    monkeypatch.setattr(traces, "code_digest", lambda: "newer")
    assert home.run(trainer="other", config={"detail": "full"}) == ["keyframes", "training"]


def test_what_is_damaged_gone_or_owed_to_passing_circumstances_is_computed(home: Home):
    home.run()
    (home.store.fetch(JOB, "training").folder / "b.txt").write_text("damaged")
    assert home.run() == ["training"]
    home.change({"training": {"iterations": 999}})
    assert home.run() == ["training"]
    assert home.run() == ["training"], "it did not last"


def test_the_code_digest_is_of_the_text_of_all_code_that_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("splat_pipeline/assets", "resources"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.py").write_text("one")
    monkeypatch.setattr(traces, "files", lambda package: tmp_path / package)
    digests = set()
    for text in ("one", "two"):
        (tmp_path / "splat_pipeline/assets/a.py").write_text(text)
        digests.add(code_digest.__wrapped__())
    assert len(digests) == 2
