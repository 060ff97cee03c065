"""Three uploads through the real daemon: one good, one marginal, one bad. What ran and what was said is in the log."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from plant import Plant

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gates.cases import CAMERA, FPS, Capture, captures
from splat_pipeline.domain import tables
from splat_pipeline.domain.report import STAGE_ORDER
from splat_pipeline.overview import store_of

RECIPE: dict[str, Any] = {
    "frames": {"analysis_fps": FPS, "longer_side_px": CAMERA.width_px, "max_keyframes": 14, "holdout_every": 4},
    "poses": {"max_features": 800, "longer_side_px": CAMERA.width_px, "rescue_limit_s": 30},
    "training": {"iterations": 120, "longer_side_px": 160, "max_gaussians": 4000},
    "preview": {"width_px": 128, "height_px": 96, "seconds": 1, "fps": 10},
    "exports": {"formats": ["ply"]},
    "viewer": {"enabled": False},
}
UPLOADS = {"good": "none-table-3", "marginal": "cuts-half", "bad": "dark-0.03"}
QUEUE = {"run_coordinator": {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}}
WITHIN_S = 1500
"""On a machine that others keep busy; alone, three minutes are plenty."""


def filmed(name: str, film: Callable[..., Path], folder: Path) -> bytes:
    capture: Capture = next(each for each in captures() if each.name == name)
    return film(folder / f"{name}.mp4", capture.film(capture.scene), fps=FPS).read_bytes()


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, film: Callable[..., Path]) -> Plant:
    """An installation that has taken the three uploads in, and has ended their runs."""
    home = tmp_path_factory.mktemp("driven")
    clips = {upload: filmed(name, film, home) for upload, name in UPLOADS.items()}
    made = Plant(home=home / "home", recipe=RECIPE, instance=QUEUE, environ={"SPLAT__EXECUTOR": "in_process"})
    with made.running():
        for upload, clip in clips.items():
            made.drop(upload, {"clip.mp4": clip})
        made.until(lambda: len(made.runs()) == len(UPLOADS) and made.ended(), within_s=WITHIN_S)
    return made


class Told:
    """What the event log of an upload's run says."""

    def __init__(self, plant: Plant, upload: str) -> None:
        with dg.DagsterInstance.from_config(str(plant.settings.folder("dagster"))) as instance:
            (self.run,) = (run for run in instance.get_runs() if run.tags["dagster/partition"].startswith(f"{upload}-"))
            records = instance.all_logs(self.run.run_id)
        self.job = self.run.tags["dagster/partition"]
        self.events = [record.dagster_event for record in records if record.dagster_event]
        self.made = [e.asset_key.to_user_string() for e in self.events if e.is_step_materialization and e.asset_key]
        checks = (e for e in self.events if e.event_type_value == "ASSET_CHECK_EVALUATION")
        self.checks = {e.asset_check_evaluation_data.check_name: e.asset_check_evaluation_data for e in checks}
        self.failed = {name: check for name, check in self.checks.items() if not check.passed}

    def metadata(self, asset: str) -> dict[str, Any]:
        (event,) = (e for e in self.events if e.is_step_materialization and e.asset_key == dg.AssetKey(asset))
        return {name: value.value for name, value in event.materialization.metadata.items()}


def delivery(plant: Plant, told: Told) -> dict[str, Any]:
    folder = store_of(plant.settings).delivery_of(told.job)
    assert folder is not None
    return json.loads((Path(str(folder)) / "delivery.json").read_text())


def test_a_good_upload_runs_every_stage_and_is_delivered_at_full_detail(plant: Plant) -> None:
    told = Told(plant, "good")
    assert told.run.status is dg.DagsterRunStatus.SUCCESS
    assert told.made == [stage for stage in STAGE_ORDER if stage in told.made]
    assert set(told.made) == set(STAGE_ORDER)
    assert {name for name, check in told.failed.items() if check.severity is dg.AssetCheckSeverity.ERROR} == set()
    assert told.checks["registered"].passed
    assert told.checks["registered_well"].passed
    assert told.metadata("splat")["detail"] == "full"
    assert delivery(plant, told)["detail"] == "full"


def test_a_marginal_upload_is_delivered_at_less_detail_with_its_reasons(plant: Plant) -> None:
    told = Told(plant, "marginal")
    assert told.run.status is dg.DagsterRunStatus.SUCCESS
    assert set(told.made) == set(STAGE_ORDER)
    warned = told.failed["registered_well"]
    assert warned.severity is dg.AssetCheckSeverity.WARN
    assert 0.4 <= warned.metadata["registered_share"].value < 0.8
    assert "clip" in str(warned.metadata["because"].value), "which seconds of which clip are missing"
    assert "registered_well" in told.metadata("training_plan")["reasons"]
    assert told.metadata("splat")["detail"] == "reduced"
    facts = delivery(plant, told)
    assert facts["detail"] == "reduced"
    assert any("registered_well" in str(reason) for reason in facts["reasons"])


def test_a_bad_upload_stops_before_anything_expensive_and_says_why(plant: Plant) -> None:
    told = Told(plant, "bad")
    assert told.run.status is dg.DagsterRunStatus.FAILURE
    assert told.made == ["source_videos"]
    assert told.checks == {}
    (failure,) = (e for e in told.events if e.is_step_failure and e.step_key == "frame_quality")
    told_of = failure.step_failure_data.user_failure_data.metadata
    assert told_of["failure"].value == "too-dark"
    assert "clip.mp4 at 0:00-0:03" in told_of["remedy"].value
    assert store_of(plant.settings).delivery_of(told.job) is None
    reason = json.loads((Path(plant.settings.place("errors")) / "bad.reason.json").read_text())
    assert (reason["class"], reason["failure"], reason["run_id"]) == ("TooDark", "too-dark", told.run.run_id)


def test_the_tables_hold_what_was_said_of_all_three(plant: Plant) -> None:
    store = store_of(plant.settings)
    gates, stages = store.rows(tables.GATES), store.rows(tables.STAGES)
    jobs = {upload: Told(plant, upload).job for upload in UPLOADS}
    assert set(gates["job"]) == {jobs["good"], jobs["marginal"]}
    mine = gates[(gates["job"] == jobs["marginal"]) & (gates["gate"] == "registered_well")]
    assert mine["passed"].tolist() == [False]
    failed = stages[stages["outcome"] == "failure"]
    assert failed["job"].tolist() == [jobs["bad"]]
    assert failed["failure_signature"].iloc[0].startswith("too-dark | frame_quality | <file>")
