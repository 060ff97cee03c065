"""A small capture with known truth goes through the whole graph, as production runs it, and comes out as a package."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from plyfile import PlyData
from typer.testing import CliRunner

from resources.inbox import list_upload
from resources.sample import SAMPLE, TRUTH, make_sample
from splat_pipeline.cli import app
from splat_pipeline.definitions import JOB, build
from splat_pipeline.demo import against_truth
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.intake import OWNER_TAG
from splat_pipeline.domain.quality import LIMITS
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.launch import make_home, run_job, run_upload
from splat_pipeline.overview import store_of, summary_of
from splat_pipeline.passes import run_passes
from splat_pipeline.settings import Settings

SMALL: dict[str, Any] = {
    "detail": "preview",
    "frames": {"analysis_fps": 5, "longer_side_px": 320},
    "training": {"iterations": 200, "longer_side_px": 240, "max_gaussians": 8000},
    "preview": {"width_px": 160, "height_px": 90, "seconds": 1, "fps": 10},
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), recipe=Recipe().overridden(SMALL, source="test"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sample")
    make_sample(made, seconds=6, width=480, height=270, fps=5, say=lambda _: None)
    return made


@pytest.fixture(scope="module")
def job(settings: Settings, folder: Path) -> str:
    """The key of a job that ran from upload to package."""
    upload = list_upload(folder / SAMPLE, title="Small <scene>")
    success, reason = run_upload(settings, upload, config={}, listener=lambda _: None)
    assert success, reason
    return upload.job


@pytest.fixture(scope="module")
def instance(settings: Settings, job: str):
    with dg.DagsterInstance.from_config(str(make_home(settings))) as opened:
        yield opened


def test_the_cameras_and_the_picture_are_recovered(settings: Settings, job: str, folder: Path):
    summary = summary_of(settings, job)
    assert summary["status"] == "delivered"
    assert summary["detail"] == "preview"
    assert summary["registered"] == summary["keyframes"] >= 20
    assert 0 < summary["rms_px"] < 1.5
    assert summary["psnr_heldout"] > 18
    assert 0.3 < summary["ssim_heldout"] < 1
    truth = against_truth(settings, job, folder / TRUTH)
    assert 0 < truth["ate_share_of_extent"] < 0.003
    assert truth["rotation_error_deg"] < 0.5  # 0.17; 1.06 at 320x180, where roundings decide on loops_closed


def test_what_is_delivered_is_what_delivery_json_says(settings: Settings, job: str):
    folder = store_of(settings).delivery_of(job)
    assert folder is not None
    delivery = json.loads((folder / "delivery.json").read_text())
    for file in delivery["files"]:
        content = (folder / file["name"]).read_bytes()
        assert len(content) == file["size_bytes"]
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
    kinds = {file["data_type"] for file in delivery["files"]}
    assert {"splat_data", "splat_preview_video"} <= kinds
    assert delivery["title"] == "Small <scene>"
    assert "Small &lt;scene&gt;" in (folder / "report.html").read_text()
    assert "Small <scene>" not in (folder / "report.html").read_text()
    snapshot = json.loads((folder / "snapshot.json").read_text())
    assert snapshot["recipe"]["training"]["iterations"] == SMALL["training"]["iterations"]


def test_other_programs_read_the_splat_and_the_film(settings: Settings, job: str):
    outputs = summary_of(settings, job)["outputs"]
    vertices = PlyData.read(outputs["ply"])["vertex"]
    assert len(vertices) * 32 == Path(outputs["splat"]).stat().st_size
    assert all(np.isfinite(vertices[name]).all() for name in ("x", "y", "z", "opacity", "scale_0", "rot_0"))
    command = [get_ffmpeg_exe(), "-i", outputs["preview"], "-f", "null", "-"]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    assert probe.returncode == 0
    assert "h264" in probe.stderr
    assert "yuv420p" in probe.stderr
    assert "160x90" in probe.stderr


def test_every_gate_is_recorded_for_this_partition(instance: dg.DagsterInstance, settings: Settings, job: str):
    seen = {
        event.asset_check_evaluation_data.check_name
        for run in instance.get_runs()
        for record in instance.all_logs(run.run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        if (event := record.dagster_event) is not None and event.asset_check_evaluation_data.partition == job
    }
    assert seen == set(LIMITS)
    gates = store_of(settings).rows(tables.GATES)
    assert set(gates["gate"]) == set(LIMITS)
    assert set(gates["job"]) == {job}


def test_every_stage_has_a_row_with_its_cost(settings: Settings, job: str):
    stages = store_of(settings).rows(tables.STAGES)
    graph = build(settings).resolve_asset_graph()
    assets = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned}
    assert assets <= set(stages["stage"])
    assert (stages["seconds"] > 0).all()
    assert (stages["peak_rss_bytes"] > 1_000_000).all()
    assert (stages["bytes_in"] > 0).all()
    assert (stages["bytes_out"] > 0).all()
    assert set(stages["outcome"]) == {"success"}
    assert pd.read_parquet(Path(settings.place("store")) / "tables" / "stages.parquet").shape[0] >= len(stages)


def test_data_versions_are_the_digests_of_the_artifacts(instance: dg.DagsterInstance, settings: Settings, job: str):
    for asset in ("keyframes", "local_reconstructions", "splat", "package"):
        record = instance.get_latest_data_version_record(dg.AssetKey(asset), partition_key=job)
        assert record is not None
        tags = record.asset_materialization.tags  # type: ignore[union-attr]
        assert tags["dagster/data_version"] == store_of(settings).fetch(job, asset).digest


def test_a_stage_is_computed_again_from_the_command_line_with_all_that_follows(
    settings: Settings, job: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPLAT__HOME", str(settings.home))
    store = store_of(settings)
    before = store.fetch(job, "package").version
    rows = len(store.rows(tables.STAGES))
    result = CliRunner().invoke(app, ["materialize", "exports", "--job", job, "--downstream"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["assets"] == ["exports", "report", "package"]
    assert store.fetch(job, "package").version != before
    assert len(store.rows(tables.STAGES)) == rows + 3


def test_after_a_change_of_the_training_nothing_before_its_plan_is_computed(settings: Settings, job: str, folder: Path):
    store = store_of(settings)
    rows = len(store.rows(tables.STAGES))
    changed = {"recipe": settings.recipe.overridden({"training": {"iterations": 250}}, source="test")}
    told: list[str] = []
    success, reason = run_upload(
        settings.model_copy(update=changed),
        list_upload(folder / SAMPLE, title="Small <scene>"),
        config={},
        listener=lambda entry: told.append(entry.user_message),
        reuse=True,
    )
    assert success, reason
    outcomes = store.rows(tables.STAGES).iloc[rows:].groupby("outcome")["stage"].agg(set)
    assert outcomes["success"] == {
        "training_plan",
        "splat",
        "cleaned",
        "exports",
        "preview",
        "viewer",
        "report",
        "package",
    }
    before = {"source_videos", "frame_quality", "keyframes", "features", "match_graph", "linking_frames"}
    assert outcomes["reused"] == before | {"window_0000", "local_reconstructions", "camera_poses", "point_cloud"}
    version = store.fetch(job, "keyframes").version
    assert any(line.startswith(f"keyframes: reused from {version}") for line in told)
    plan = json.loads((store.fetch(job, "splat").folder / "plan.json").read_text())
    assert plan["iterations"] == 250


def replayed(settings: Settings, job: str, monkeypatch: pytest.MonkeyPatch, *more: str) -> dict[str, Any]:
    monkeypatch.setenv("SPLAT__HOME", str(settings.home))
    result = CliRunner().invoke(app, ["replay", job, *more])
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return told


def test_a_replay_of_the_training_gives_the_same_bytes_in_a_partition_of_its_own(
    settings: Settings, job: str, monkeypatch: pytest.MonkeyPatch
):
    told = replayed(settings, job, monkeypatch, "--from", "splat")
    assert told["job"] != told["replayed"] == job
    assert (told["verdict"], told["environment"]) == ("same", [])
    store = store_of(settings)
    first, again = (store.fetch(name, "splat").folder / "gaussians.ply" for name in (job, told["job"]))
    assert first.read_bytes() == again.read_bytes()
    assert told["stages"]["camera_poses"]["verdict"] == "equal"
    assert told["stages"]["splat"]["verdict"] == "same"  # but for the seconds in training.parquet
    assert all(about["before"] == about["after"] for about in told["metrics"].values())


def test_a_replay_with_another_setting_uses_it_and_says_what_became_different(
    settings: Settings, job: str, monkeypatch: pytest.MonkeyPatch
):
    told = replayed(settings, job, monkeypatch, "--from", "cleaned", "--set", 'exports.formats=["splat"]')
    assert told["verdict"] == "differs"
    assert told["stages"]["exports"]["verdict"] == "differs"
    assert told["stages"]["splat"]["verdict"] == "equal"
    folder = store_of(settings).delivery_of(told["job"])
    assert folder is not None
    assert [path.suffix for path in folder.glob("model-*")] == [".splat"]
    result = CliRunner().invoke(app, ["replay", job, "--set", "exports.format=1"])
    assert isinstance(result.exception, BadJobFile)
    assert "exports.format" in str(result.exception)


def test_what_the_launchpad_said_is_in_the_snapshot_and_a_replay_says_it_again(
    settings: Settings, job: str, monkeypatch: pytest.MonkeyPatch
):
    copy = replayed(settings, job, monkeypatch, "--from", "package")["job"]
    said = {"cleaned": {"config": {"keep_all": True}}, "exports": {"config": {"lift": ["same_box"]}}}
    after = ["cleaned", "exports", "preview", "viewer", "report", "package"]
    success, reason = run_job(settings, copy, assets=after, config=said, listener=lambda event: None)
    assert success, reason
    asked = {"cleaned": {"keep_all": True}, "exports": {"lift": ["same_box"]}}
    store = store_of(settings)
    assert json.loads((store.fetch(copy, "package").folder / "snapshot.json").read_text())["asked"] == asked
    told = replayed(settings, copy, monkeypatch, "--from", "cleaned", "--set", "exports.crop=50")
    package = store.fetch(told["job"], "package").folder
    assert json.loads((package / "snapshot.json").read_text())["asked"] == asked
    rules = pd.read_parquet(package / "cleaning.parquet")
    assert set(rules["because"]) == {"exports.keep_all is set"}


def test_the_command_line_shows_the_job_and_its_stages(settings: Settings, job: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPLAT__HOME", str(settings.home))
    assert job in CliRunner().invoke(app, ["status"]).stdout
    shown = CliRunner().invoke(app, ["status", job]).stdout
    assert "camera_poses" in shown
    assert "success" in shown


def test_a_command_that_was_killed_does_not_block_the_next(
    settings: Settings, job: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    dead = f"{socket.gethostname()}/{os.getpid()}/1"  # this number, at another time
    run = instance.create_run_for_job(
        build(settings).resolve_job_def(JOB), status=dg.DagsterRunStatus.STARTED, tags={OWNER_TAG: dead}
    )
    claim = instance.event_log_storage.claim_concurrency_slot("train_cpu", run.run_id, "splat")
    assert claim.is_claimed
    monkeypatch.setenv("SPLAT__HOME", str(settings.home))
    result = CliRunner().invoke(app, ["materialize", "splat", "--job", job])
    assert result.exit_code == 0, result.output
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]


def test_a_draft_is_delivered_first_and_the_final_result_takes_over_all_but_the_training(
    settings: Settings, folder: Path, job: str
):
    config: dict[str, Any] = {
        "source_videos": {"config": {"recipe": {"delivery": "draft+final", "exports": {"formats": ["ply"]}}}},
        "training_plan": {"config": {"detail": "reduced"}},
    }
    upload = list_upload(folder / SAMPLE, title="Small <scene>")
    passes = run_passes(settings, upload, config=config, watch=lambda: nullcontext(lambda _: None), reuse=True)
    made = [(summary, str(store_of(settings).delivery_of(job))) for summary, _ in passes]
    (draft, first), (final, second) = made
    assert (draft["detail"], draft["draft"]) == ("preview", True)
    assert (final["detail"], final.get("draft")) == ("reduced", None)
    assert first != second
    stages = store_of(settings).rows(tables.STAGES)
    last = stages[stages["run_id"] == stages["run_id"].iloc[-1]]
    computed = set(last.loc[last["outcome"] == "success", "stage"])
    assert {"training_plan", "splat", "package"} <= computed
    assert not computed & {"source_videos", "frame_quality", "keyframes", "features", "camera_poses", "point_cloud"}
