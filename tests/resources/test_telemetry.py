"""What is scraped is what the tables, the database and the disks say; health fails for each thing that is not well."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from prometheus_client.parser import text_string_to_metric_families

from resources import followed as followed_module
from resources.followed import Followed
from resources.health import DAEMONS, Health
from resources.metrics_server import metrics_server
from resources.stores import FileStore
from resources.telemetry import Figures
from splat_pipeline.domain import tables
from splat_pipeline.domain.costs import Prices, Spent
from splat_pipeline.domain.quality import judge

NOW_S = time.time()
REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("splat_pipeline"), "r")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", tmp_path / "delivered")


def add(store: FileStore, stage: str, outcome: str = "success", **about: Any) -> None:
    empty = {column.name: None for column in tables.STAGES.columns}
    row = {"job": "a", "stage": stage, "run_id": "r", "utc": "2026-11-20T00:00:00Z", "seconds": 1800.0, "attempts": 1}
    sizes = {"peak_rss_bytes": 100, "bytes_in": 1, "bytes_out": 10**9, "product": "gold", "outcome": outcome}
    store.append(tables.STAGES, [{**empty, **row, **sizes, **about}])


def figures(store: FileStore, instance: dg.DagsterInstance) -> Figures:
    return Figures(
        instance=instance,
        stages=Followed(store.place, tables.STAGES),
        gates=Followed(store.place, tables.GATES),
        freed=Followed(store.place, tables.FREED),
        folders=[Path("/")],
        prices=Prices(hour=4.0, gigabyte=0.5, currency="USD"),
        spent=lambda: [Spent(product="gold", state="warned", share=0.9, because="")],
        now_s=lambda: time.time() + 90,
    )


@contextmanager
def served(*, collector: Figures | None = None, health: Health | None = None) -> Iterator[str]:
    class Nothing:
        def collect(self) -> Iterator[Any]:
            return iter(())

    checks = health.checks if health else dict
    with metrics_server(collector or Nothing(), checks, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def scraped(url: str) -> dict[tuple[str, frozenset[str]], float]:
    """Return sample name and label values to value."""
    _, text = get(f"{url}/metrics")
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


def at(found: dict[tuple[str, frozenset[str]], float], name: str, *labels: str) -> Any:
    return found.get((name, frozenset(labels)))


def test_figures_are_those_of_the_tables_the_database_and_the_disk(store: FileStore, instance: dg.DagsterInstance):
    collector = figures(store, instance)
    with served(collector=collector) as url:
        assert at(scraped(url), "splat_outcomes_total", "success", "") == 0, "an empty installation has figures too"
        add(store, "splat", peak_rss_bytes=700, gpu_share=0.5, peak_vram_bytes=9)
        add(store, "splat", peak_rss_bytes=300)
        add(store, "splat", "failure", failure_signature="Diverged", bytes_out=0)
        add(store, "package", product=None)
        verdict = judge("registered_well", 0.5)
        about = {"job": "a", "run_id": "r", "utc": "2026-11-20T00:00:00Z", "stage": "camera_poses"}
        gate = {"gate": verdict.gate, "metric": "m", "value": 0.5, "limit": 0.9, "scene_type": "auto", "because": "x"}
        empty = {column.name: None for column in tables.GATES.columns}
        store.append(tables.GATES, [{**empty, **about, **gate, "severity": "WARN", "passed": False}])
        store.append(
            tables.FREED,
            [{"utc": "x", "kind": "uploads", "product": "p", "job": "a", "name": "n", "size_bytes": 5, "because": "b"}],
        )
        job = dg.Definitions(jobs=[dg.GraphDefinition(name="j").to_job()]).resolve_job_def("j")
        queued = dg.DagsterRunStatus.QUEUED
        instance.create_run_for_job(job, status=queued, remote_job_origin=REPOSITORY.get_job_origin("j"))
        found = scraped(url)
    assert at(found, "splat_stage_runs_total", "splat", "success") == 2
    assert at(found, "splat_stage_seconds_total", "splat", "success") == 3600
    assert at(found, "splat_stage_peak_rss_bytes", "splat") == 700
    assert (at(found, "splat_stage_gpu_share", "splat"), at(found, "splat_stage_peak_vram_bytes", "splat")) == (0.5, 9)
    assert at(found, "splat_stage_gpu_share", "package") is None, "where there is no GPU nothing is said of it"
    assert at(found, "splat_outcomes_total", "success", "") == 1
    assert at(found, "splat_outcomes_total", "failure", "Diverged") == 1
    assert at(found, "splat_outcomes_total", "fallback", "registered_well") == 1
    assert at(found, "splat_cost_total", "gold", "splat", "USD") == pytest.approx(3 * 0.5 * 4 + 2 * 0.5)
    assert at(found, "splat_cost_total", "standard", "package", "USD") == pytest.approx(0.5 * 4 + 0.5)
    assert at(found, "splat_budget_share", "gold") == 0.9
    assert at(found, "splat_freed_bytes_total", "uploads") == 5
    assert at(found, "splat_runs", "queued") == 1
    assert 80 < at(found, "splat_queue_age_seconds") < 600
    assert at(found, "splat_disk_free_bytes", "/") > 10**6


def test_parts_of_a_table_are_read_once_the_newest_first_and_in_bounded_bites(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("resources.followed.AT_ONCE", 2)
    for i in range(5):
        add(store, f"s{i}")
    followed, read = Followed(store.place, tables.STAGES), []
    plain = followed_module.read_part
    monkeypatch.setattr(followed_module, "read_part", lambda path, spec: read.append(path) or plain(path, spec))
    seen = [set(followed.rows()["stage"]) for _ in range(5)]
    assert seen[0] == {"s4", "s3"}
    assert [len(stages) for stages in seen] == [2, 4, 5, 5, 5]
    assert len(read) == len(set(read)) == 5


def tick(instance: dg.DagsterInstance, *, age_s: float) -> None:
    origin = REPOSITORY.get_instigator_origin("uploads")
    if instance.get_instigator_state(origin.get_id(), origin.get_selector().get_id()) is None:
        data = SensorInstigatorData(min_interval=10)
        instance.add_instigator_state(
            InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, data)
        )
    instance.create_tick(
        TickData(
            instigator_origin_id=origin.get_id(),
            selector_id=origin.get_selector().get_id(),
            instigator_name="uploads",
            instigator_type=InstigatorType.SENSOR,
            status=TickStatus.SKIPPED,
            timestamp=NOW_S - age_s,
        )
    )


def beat(instance: dg.DagsterInstance, *, age_s: float) -> None:
    for name in DAEMONS:
        instance.add_daemon_heartbeat(DaemonHeartbeat(NOW_S - age_s, name, "id", []))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with all its storages; the one in memory has none of schedules."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def test_health_names_each_thing_that_is_not_well(database: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    instance = database
    low: list[str | None] = [None]
    health = Health(instance=instance, low=lambda: low[0], tick_s=60, now_s=lambda: NOW_S)

    def amiss() -> set[str]:
        status, body = get(f"{url}/healthz")
        told = json.loads(body)
        bad = {name for name, check in told["checks"].items() if not check["ok"]}
        assert (status, told["ok"]) == ((200, True) if not bad else (503, False))
        return bad

    with served(health=health) as url:
        assert amiss() == {"daemon", "sensor"}, "nothing was started yet"
        beat(instance, age_s=5)
        tick(instance, age_s=5)
        assert amiss() == set()
        beat(instance, age_s=61)
        assert amiss() == {"daemon"}
        beat(instance, age_s=5)
        low[0] = "new runs wait for 1 GB of disk"
        assert amiss() == {"disk"}
        low[0] = None
        later = Health(instance=instance, low=lambda: None, tick_s=60, now_s=lambda: NOW_S + 58)
        assert {name for name, check in later.checks().items() if not check.ok} == {"daemon", "sensor"}

        def refuse(_: object) -> None:
            raise OSError("read-only database")

        monkeypatch.setattr(instance.daemon_cursor_storage, "set_cursor_values", refuse)
        assert amiss() == {"database"}
        assert get(f"{url}/else")[0] == 404
