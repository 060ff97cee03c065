"""Over all jobs: what recurs, what succeeds, what had to be corrected, what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from typer.testing import CliRunner

from resources.stores import FileStore
from splat_pipeline.assets.overview import ALL_JOBS, failure_overview, markdown, overview_of
from splat_pipeline.cli import app
from splat_pipeline.domain import tables
from splat_pipeline.domain.alike import signature_of
from splat_pipeline.domain.errors import DiskFull, TooDark
from splat_pipeline.domain.failure_overview import per_segment
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return store_of(Settings(home=tmp_path))


def stage(job: str, name: str, error: Exception | None = None, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys((column.name for column in tables.STAGES.columns), None)
    row |= {"job": job, "stage": name, "run_id": "r", "utc": "2026-01-01T00:00:00Z", "seconds": 2.0}
    row |= {"peak_rss_bytes": 5_000_000, "bytes_in": 0, "bytes_out": 0, "attempts": 1}
    row |= {"outcome": "failure" if error else "success"}
    return row | {"failure_signature": signature_of(error, name) if error else None} | more


def gate(job: str, name: str, *, passed: bool, scene: str, severity: str = "ERROR") -> dict[str, Any]:
    return {
        "job": job, "run_id": "r", "utc": "2026-01-01T00:00:01Z", "stage": "camera_poses", "gate": name, "metric": "m",
        "value": 0.1, "limit": 0.4, "scene_type": scene, "severity": severity, "passed": passed, "because": "so",
        "lifted": None,
    }  # fmt: skip


def segment(job: str, attempts: int, utc: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {
        "job": job, "run_id": "r", "utc": utc, "segment": "window_0000", "attempts": attempts,
        "registered": 9, "of": 10,
    }  # fmt: skip


@pytest.fixture
def filled(store: FileStore) -> FileStore:
    dark = [
        TooDark(f"{name}: median brightness {luma} of 255", file=name) for name, luma in (("a.mp4", 3), ("b.mov", 9))
    ]
    store.append(
        tables.STAGES,
        [
            stage("a", "frame_quality", dark[0]),
            stage("b", "frame_quality", dark[1], utc="2026-01-02T00:00:00Z"),
            stage("c", "frame_quality"),
            stage("c", "exports", outcome="reused", seconds=0.1),
            stage("c", "window_0000", seconds=10.0, peak_vram_bytes=7, gpu_share=0.5),
            stage("c", "window_0001", seconds=20.0, peak_rss_bytes=9_000_000),
            stage("d", "exports", DiskFull("no space left on /srv/x")),
            stage("d", "exports", DiskFull("no space left on /srv/y")),
        ],
    )
    store.append(
        tables.GATES,
        [
            gate("c", "registered", passed=False, scene="indoor"),
            gate("c", "registered_well", passed=False, scene="indoor", severity="WARN"),
            gate("d", "registered", passed=True, scene="aerial"),
        ],
    )
    store.append(tables.CORRECTIONS, [segment("c", 4), segment("d", 1), segment("c", 2, "2026-01-03T00:00:00Z")])
    return store


def test_what_most_jobs_had_comes_first_and_says_what_to_do(filled: FileStore):
    found = overview_of(filled).failures
    ranked = found[["failure", "jobs", "times"]].to_numpy().tolist()
    assert ranked == [["too-dark", 2, 2], ["disk-full", 1, 2], ["few-registered", 1, 1]]
    assert found["person"].iloc[0] == TooDark.remedy
    assert found["operator"].iloc[1] == DiskFull.remedy
    assert (found["a_job"].iloc[0], found["last_utc"].iloc[0]) == ("b", "2026-01-02T00:00:00Z")
    assert found["signature"].iloc[2] == "few-registered | camera_poses | gate registered", "it raised nothing"


def test_stages_are_ranked_by_success_and_windows_are_one_stage(filled: FileStore):
    assert overview_of(filled).stages.to_numpy().tolist() == [
        ["exports", 3, 1, 0.3333], ["frame_quality", 3, 1, 0.3333], ["window", 2, 2, 1.0],
    ]  # fmt: skip


def test_the_last_run_of_a_segment_counts(filled: FileStore):
    shown = overview_of(filled).corrections[["job", "segment", "attempts"]].to_numpy().tolist()
    assert shown == [["c", "window_0000", 2], ["d", "window_0000", 1]]
    assert per_segment(filled.rows(tables.CORRECTIONS)[:2])["attempts"].tolist() == [4, 1]


def test_cost_is_by_type_of_scene_with_the_gpu_where_there_is_one(filled: FileStore):
    cost = overview_of(filled).cost.set_index(["scene_type", "stage"])
    assert cost.loc[("indoor", "window")].tolist() == [2, 15.0, 9_000_000, 7, 0.5]
    assert cost.loc[("aerial", "exports")].tolist() == [2, 2.0, 5_000_000, None, None]
    assert ("unknown", "frame_quality") in cost.index


def test_the_asset_shows_the_tables_and_keeps_them(filled: FileStore, instance: dg.DagsterInstance):
    done = dg.materialize([failure_overview], resources={"store": filled}, instance=instance)
    (made,) = done.asset_materializations_for_node("failure_overview")
    assert made.metadata["kinds_of_failure"].value == 3
    assert made.metadata["jobs"].value == 4
    assert made.metadata["corrections_per_segment"].value == 0.5
    assert "too-dark · frame_quality" in made.metadata["failures"].value
    folder = filled.fetch(ALL_JOBS, "failure_overview").folder
    assert pd.read_parquet(folder / "failures.parquet")["jobs"].tolist() == [2, 1, 1]
    assert pd.read_parquet(folder / "cost.parquet")["gpu_share"].notna().sum() == 1


def test_nothing_ran_yet(store: FileStore, instance: dg.DagsterInstance):
    assert dg.materialize([failure_overview], resources={"store": store}, instance=instance).success
    assert all(len(part) == 0 for part in vars(overview_of(store)).values())
    assert markdown(pd.DataFrame(columns=["a", "b"])) == "| a | b |\n|---|---|"


def test_the_command_shows_each_part(filled: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPLAT__HOME", str(tmp_path))
    assert "too-dark" in CliRunner().invoke(app, ["failures"]).stdout
    rows = json.loads(CliRunner().invoke(app, ["failures", "cost", "--json"]).stdout)
    assert {row["scene_type"] for row in rows} == {"indoor", "aerial", "unknown"}
    refused = CliRunner().invoke(app, ["failures", "nonsense"])
    assert "nonsense is no part of the overview" in str(refused.exception)
