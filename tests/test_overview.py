"""What the command shows of jobs and stages is what the tables say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resources.stores import FileStore
from splat_pipeline.domain import tables
from splat_pipeline.domain.costs import Prices
from splat_pipeline.domain.report import data_type_of
from splat_pipeline.domain.uploads import Upload, UploadFile
from splat_pipeline.overview import jobs_table, stages_table, store_of, summary_of
from splat_pipeline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def ran(store: FileStore, job: str, stage: str, failure: str | None = None) -> None:
    row = dict.fromkeys((c.name for c in tables.STAGES.columns), None)
    row |= {"job": job, "stage": stage, "run_id": "r", "utc": "2026-01-01T00:00:00Z", "seconds": 1.0}
    row |= {"peak_rss_bytes": 5_000_000, "bytes_in": 0, "bytes_out": 0, "attempts": 1}
    row |= {"outcome": "failure" if failure else "success", "failure_signature": failure}
    store.append(tables.STAGES, [row])


def upload(store: FileStore, job: str) -> None:
    files = (UploadFile(name="x.mp4", size_bytes=3),)
    store.register(Upload(job=job, title=f"title of {job}", location="/a", files=files))


def test_a_job_shows_its_last_stage_even_when_two_ended_in_one_second(settings: Settings):
    store = store_of(settings)
    for job in ("a", "b", "c"):
        upload(store, job)
    for stage in ("keyframes", "report", "package"):
        ran(store, "a", stage)
    ran(store, "b", "frame_quality", "too-dark | frame_quality | <file>: median brightness #")
    shown = jobs_table(store).set_index("job")["last stage"]
    assert dict(shown) == {"a": "package: success", "b": "frame_quality: too-dark", "c": ""}


def test_a_stage_that_ran_twice_shows_the_last_time(settings: Settings):
    store = store_of(settings)
    upload(store, "a")
    ran(store, "a", "splat", "Diverged")
    ran(store, "a", "splat")
    assert list(stages_table(store, "a")["outcome"]) == ["success"]


def test_a_stage_shows_what_all_its_times_cost_where_prices_are_set(settings: Settings):
    store = store_of(settings)
    upload(store, "a")
    for stage in ("splat", "splat", "exports"):
        ran(store, "a", stage)
    shown = stages_table(store, "a", Prices(hour=3600, currency="USD")).set_index("stage")
    assert shown["USD"].to_dict() == {"splat": 2.0, "exports": 1.0}
    assert "EUR" not in stages_table(store, "a", Prices()).columns


def test_the_summary_names_outputs_by_kind(settings: Settings):
    store = store_of(settings)
    names = ["model-20260101000000.ply", "model-20260101000000.splat", "preview.mp4", "report.html"]
    metrics = {"registered": 9, "psnr_heldout": 30.123456, "ssim_heldout": None}
    facts: dict[str, Any] = {"status": "delivered", "detail": "full", "metrics": metrics}
    facts["files"] = [{"name": name, "data_type": data_type_of(name)} for name in names]
    with store.scratch("a", "package") as folder:
        (folder / "delivery.json").write_text(json.dumps(facts))
        store.deliver(store.publish("a", "package", folder, provenance={}))
    summary = summary_of(settings, "a")
    assert {kind: Path(path).name for kind, path in summary["outputs"].items()} == dict(
        zip(["ply", "splat", "preview", "report"], names, strict=True)
    )
    assert (summary["registered"], summary["psnr_heldout"], summary["ssim_heldout"]) == (9, 30.1235, None)
