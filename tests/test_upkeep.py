"""The verbs of upkeep, on a real instance."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from resources.machine import LocalMachine
from resources.stores import FileStore
from splat_pipeline.cli import app
from splat_pipeline.domain import tables
from splat_pipeline.domain.costs import Budget
from splat_pipeline.domain.errors import DiskFull
from splat_pipeline.domain.plans import CPU_LADDER, GPU_LADDER, Detail
from splat_pipeline.domain.room import GAUSSIAN_BYTES, MARGIN, DiskRules
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.domain.wishes import Wishes
from splat_pipeline.launch import run_upload
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings, load
from splat_pipeline.upkeep import Watch, guard_of


def test_a_dry_run_lists_what_would_go_and_only_the_real_one_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPLAT__HOME", str(tmp_path))
    dry, real = ["retention", "--dry-run"], ["retention"]
    nothing = CliRunner().invoke(app, dry)
    assert (nothing.exit_code, nothing.stdout.splitlines()[-1]) == (0, "0 of 0 things would go, 0.0 MB")
    checkpoint = store_of(load()).ongoing("a-00000000", "splat", "k" * 8) / "checkpoint.npz"
    checkpoint.write_bytes(b"x" * 2_000_000)
    young = CliRunner().invoke(app, [*dry, "--json"])
    assert [row["because"] for row in json.loads(young.stdout)] == ["within its budgets"]
    os.utime(checkpoint, (time.time() - 9 * 86_400,) * 2)
    for _ in range(2):
        shown = CliRunner().invoke(app, dry).stdout
        assert "older than 3 days" in shown
        assert shown.splitlines()[-1] == "1 of 1 things would go, 2.0 MB"
        assert checkpoint.exists()
    assert CliRunner().invoke(app, real).stdout.splitlines()[-1] == "1 of 1 things went, 2.0 MB"
    assert not checkpoint.exists()


def row(store: FileStore, product: str, seconds: float) -> None:
    empty = {column.name: None for column in tables.STAGES.columns}
    about = {
        "job": "a",
        "stage": "splat",
        "run_id": "r",
        "utc": LocalMachine().utc(),
        "attempts": 1,
        "outcome": "success",
    }
    sizes = {"seconds": seconds, "peak_rss_bytes": 1, "bytes_in": 1, "bytes_out": 1, "product": product}
    store.append(tables.STAGES, [{**empty, **about, **sizes}])


def test_a_budget_that_is_used_up_warns_and_then_holds_uploads_of_its_class_only(
    tmp_path: Path, instance: dg.DagsterInstance
):
    clock = [0.0]
    settings = Settings(home=str(tmp_path), budgets={"gold": Budget(hours=1)}, disk=DiskRules(floor_gb=0))
    watch = Watch(settings=settings, job_name="j", clock=lambda: clock[0])
    uploads = {
        name: Upload(job=name, title=name, location="x", files=(), wishes=Wishes(product=name))
        for name in ("gold", "standard")
    }
    store, states = store_of(settings), []
    for _ in range(3):
        row(store, "gold", 1500)
        row(store, "standard", 10**6)
        clock[0] += 61
        held = {name: watch.hold(instance, upload, 0) for name, upload in uploads.items()}
        states.append((sorted(watch.warnings(instance)), held["gold"], held["standard"]))
    assert states == [
        ([], None, None),
        (["budget_warned:gold"], None, None),
        (["budget_held:gold"], "the budget is used up: gold used 1.25 of 1 machine hours in 30 days", None),
    ]


def test_a_job_for_which_there_is_no_room_is_not_begun(tmp_path: Path):
    settings = Settings(home=str(tmp_path), disk=DiskRules(floor_gb=10**6))
    upload = Upload(job="a-00000000", title="a", location="x", files=())
    with pytest.raises(DiskFull, match=r"the job needs \d+.\d+ GB of disk"):
        run_upload(settings, upload, config={}, listener=lambda _: None)
    assert store_of(settings).jobs() == []


def test_room_is_kept_for_what_a_gpu_trains_where_there_is_one(tmp_path: Path, monkeypatch):
    def lacking(gpu: bool) -> int:
        monkeypatch.setattr("splat_pipeline.upkeep.has_nvidia_gpu", lambda: gpu)
        guard = guard_of(Settings(home=str(tmp_path), disk=DiskRules(floor_gb=10**6)))
        return guard.lack(Upload(job="j", title="j", location="/nowhere", files=()))[1].size_bytes

    more = GPU_LADDER[Detail.FULL].max_gaussians - CPU_LADDER[Detail.FULL].max_gaussians
    assert lacking(gpu=True) - lacking(gpu=False) == pytest.approx(MARGIN * GAUSSIAN_BYTES * more, rel=0.1)


def test_figures_and_health_are_served_until_the_process_is_asked_to_stop(tmp_path: Path):
    command = [sys.executable, "-c", "from splat_pipeline.cli import main; main()", "metrics", "--port", "0"]
    env = {**os.environ, "SPLAT__HOME": str(tmp_path), "DAGSTER_HOME": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as server:
        assert server.stdout is not None
        metrics, healthz = server.stdout.readline().split()
        assert metrics.startswith("http://127.0.0.1:"), "loopback by default"
        with urllib.request.urlopen(metrics, timeout=120) as answer:
            assert 'splat_runs{status="success"} 0.0' in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError) as told:
            urllib.request.urlopen(healthz, timeout=120)
        assert json.loads(told.value.read())["checks"]["database"]["ok"], "the daemon is not there, the database is"
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
