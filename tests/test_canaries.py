"""A secret of the environment is found nowhere after steps that failed with it in every way that we know of."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dagster as dg
import pytest

from resources.logs import json_lines
from resources.machine import LocalMachine
from resources.sandbox import run_child
from resources.stores import FileStore
from splat_pipeline.assets.failures import explain
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.stages import Machines, Result, Stores, job_asset, stage
from splat_pipeline.domain.errors import StoreUnavailable

JOB = "scene-00000000"
CANARY = "cAnArY-0123456789"
URL = f"https://user:{CANARY}@bucket.example/a?X-Amz-Signature={CANARY}"


@job_asset()
def says(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> Result:
    """Tells the secret in its log, on both streams and in its metadata, and succeeds."""
    with stage(context, store, machine) as work:
        context.log.warning("asking %s", URL)
        work.log(f"token {CANARY}")
        sys.stdout.write(f"{URL}\n")
        sys.stderr.write(f"password={CANARY}\n")
        run_child([sys.executable, "-c", "import os; print(os.environ['CANARY_TOKEN'])"], time_limit_s=60, say=work.log)
        (work.folder / "a.txt").write_text("nothing")
        work.publish(metadata={"address": URL})
    return work.result()


@job_asset()
def knows_its_error(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> Result:
    """Fails with an error of ours."""
    with stage(context, store, machine):
        raise StoreUnavailable(f"no answer from {URL}", file=f"{CANARY}.mp4", remedy=f"Look at {URL}")


@job_asset()
def is_surprised(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> Result:
    """Fails with an error that only its cause gives away."""
    with stage(context, store, machine):
        try:
            raise LookupError(f"not known: {URL}")  # noqa: TRY301  # a cause is what this is about
        except LookupError as error:
            raise RuntimeError("something else") from error


@job_asset()
def has_a_tool_that_crashes(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> Result:
    """Fails with the last lines of a tool."""
    with stage(context, store, machine) as work:
        code = "import os, sys; print(os.environ['CANARY_TOKEN']); sys.exit('bearer ' + os.environ['CANARY_TOKEN'])"
        run_child([sys.executable, "-c", code], time_limit_s=60, say=work.log)
        raise AssertionError


ALL = [says, knows_its_error, is_surprised, has_a_tool_that_crashes]


def test_the_secret_is_found_in_no_log_no_event_no_reason_and_no_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("CANARY_TOKEN", CANARY)
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    store = FileStore(tmp_path / "store", tmp_path / "delivered")
    defs = dg.Definitions(
        assets=ALL,
        jobs=[dg.define_asset_job("all", selection=ALL)],
        resources={"store": store, "machine": LocalMachine()},
        loggers={"console": json_lines},
    )
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        instance.add_dynamic_partitions(str(jobs.name), [JOB])
        result = defs.resolve_job_def("all").execute_in_process(
            instance=instance,
            partition_key=JOB,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "DEBUG"}}}},
        )
        steps = {e.step_key: e for e in result.all_events if e.is_step_failure}
        reasons = [explain([event]) for event in steps.values()]
        (tmp_path / "reasons.json").write_text(json.dumps(reasons))
        (tmp_path / "events.txt").write_text("\n".join(str(e) for e in instance.all_logs(result.run_id)))
    assert steps.keys() == {"knows_its_error", "is_surprised", "has_a_tool_that_crashes"}
    assert {r["class"] for r in reasons} == {"StoreUnavailable", "SplatError", "ToolCrashed"}
    shown = capfd.readouterr()
    (tmp_path / "out.txt").write_text(shown.out + shown.err)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"index.db", "a.txt", "reasons.json"} <= {path.name for path in files}
    assert any("compute_logs" in str(path) for path in files) or any(path.suffix == ".err" for path in files)
    assert [str(path.relative_to(tmp_path)) for path in files if CANARY.encode() in path.read_bytes()] == []
    told = (tmp_path / "events.txt").read_text()
    assert "https://***@bucket.example" in told, "what is no secret is still told"
    lines = [json.loads(line) for line in shown.err.splitlines() if line.startswith("{")]
    logged = next(line for line in lines if line["event"].startswith("asking"))
    assert (logged["job"], logged["stage"], logged["attempt"], logged["level"]) == (JOB, "says", 1, "warning")
    assert logged["run"] == result.run_id
    assert all("time" in line for line in lines)
