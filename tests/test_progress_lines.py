"""Programs are told how far a run is: lines of JSON whose percentage never falls, with the files that are there."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from receiver import receiving

from resources.outlet import Outlet
from resources.webhooks import Webhook
from splat_pipeline.domain.backoff import Backoff
from splat_pipeline.domain.progress import Progress
from splat_pipeline.domain.report import STAGE_ORDER
from splat_pipeline.progress_lines import JsonProgress, to_stdout, to_webhook


def listened(folder: Path, lines: list[dict[str, Any]], *, fails: str = "") -> None:
    """Run a graph of three stages whose events are listened to."""
    at = Progress(
        iteration=50, iterations=100, loss=0.1, psnr_db=20.0, gaussians=9, factor=1, seconds=1.0, seconds_left=1.0
    )
    (folder / "preview.mp4").write_bytes(b"film")

    def made(name: str, after: list[str]) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=after)
        def body(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            if name == fails:
                raise dg.Failure("no")
            if name == "splat":
                context.log.info(at.line())
            return dg.MaterializeResult(metadata={"artifact": dg.MetadataValue.path(str(folder))})

        return body

    assets = [made("keyframes", []), made("splat", ["keyframes"]), made("preview", ["splat"])]
    with dg.DagsterInstance.ephemeral() as instance, JsonProgress(lambda line: lines.append(dict(line))) as progress:
        instance.add_event_listener("00000000-0000-4000-8000-000000000000", progress)
        job = dg.Definitions(assets=assets).resolve_implicit_global_asset_job_def()
        job.execute_in_process(instance=instance, run_id="00000000-0000-4000-8000-000000000000", raise_on_error=False)


def test_every_stage_is_told_and_the_percentage_never_falls(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    listened(tmp_path, lines)
    seen = [(line["stage"], line["status"]) for line in lines]
    assert seen == [
        ("", "started"),
        ("keyframes", "running"),
        ("keyframes", "done"),
        ("splat", "running"),
        ("splat", "running"),
        ("splat", "done"),
        ("preview", "running"),
        ("preview", "done"),
    ]
    percents = [line["percent"] for line in lines]
    assert percents == sorted(percents)
    assert percents[3] < percents[4] < percents[5] < 100
    assert lines[-1]["artifacts"] == {"preview": str(tmp_path / "preview.mp4")}
    assert lines[5]["artifacts"] == {}


def test_a_failure_is_told(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    listened(tmp_path, lines, fails="splat")
    assert (lines[-1]["stage"], lines[-1]["status"]) == ("splat", "failed")


def test_all_stages_together_are_a_hundred_percent() -> None:
    lines: list[dict[str, Any]] = []
    progress = JsonProgress(lambda line: lines.append(dict(line)))
    progress._done.update(STAGE_ORDER)
    progress._tell("package", "done")
    assert lines[-1]["percent"] == 100


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    to_stdout({"percent": 3, "stage": "a", "status": "done", "artifacts": {}})
    assert json.loads(capsys.readouterr().out) == {"percent": 3, "stage": "a", "status": "done", "artifacts": {}}


def test_a_webhook_gets_beginnings_and_ends_and_a_deaf_one_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"percent": 1, "stage": "splat", "status": "running", "artifacts": {}}
    with receiving() as receiver:
        quick = Backoff(first_s=0.001, longest_s=0.001, budget_s=0.01)
        send = to_webhook(Outlet(webhook=Webhook(url=receiver.url, secret=b"x" * 16, backoff=quick)), "job-1")
        for percent in (1, 2, 3):
            send({**line, "percent": percent})
        send({**line, "status": "done"})
        receiver.answers = [(503, {})] * 100
        send({**line, "stage": "exports"})
    assert [json.loads(body)["status"] for _, body in receiver.taken[:2]] == ["running", "done"]
    assert json.loads(receiver.taken[0][1])["uuid"] == "job-1"
    assert receiver.taken[0][0]["Splat-Event"] == "progress"
    assert "WebhookFailed" in capsys.readouterr().err
