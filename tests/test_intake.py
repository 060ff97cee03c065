"""From the inbox to the delivery and back out of the inbox, wherever these lie; and through the real daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from object_stores import BUCKET, SECRET

from resources.places import place_of
from splat_pipeline.definitions import JOB
from splat_pipeline.launch import SILENT, make_home
from splat_pipeline.overview import jobs_table, store_of
from splat_pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import intake as benchmark  # noqa: E402
import intake_graph  # noqa: E402


def settings_at(home: str, local: Path) -> Settings:
    return Settings(home=home, local=local, stable_s=0, executor="in_process")


def drop(settings: Settings, tmp_path: Path, *names: str) -> None:
    """Put a good clip, and the same one broken off, into the inbox."""
    benchmark.clip(tmp_path / "clip.mp4", 1)
    whole = (tmp_path / "clip.mp4").read_bytes()
    inbox = place_of(settings.place("inbox"))
    for name in names:
        inbox.write(f"{name}/cam [1] é/a.mp4", whole if name == "good" else whole[:300])


def look(settings: Settings, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Let both sensors look once and run what they ask for, in this process."""
    defs = intake_graph.build(settings)
    requests: list[dg.RunRequest] = []
    sensors = {sensor.name: sensor for sensor in defs.sensors or []}
    for sensor in (sensors["outcomes"], sensors["uploads"]):
        result = sensor(dg.build_sensor_context(instance=instance))
        for added in result.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions("jobs", added.partition_keys)
        requests += result.run_requests or []
    for request in requests:
        defs.resolve_job_def(JOB).execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            tags={**request.tags, "dagster/max_retries": "0"},
            run_config=SILENT,
            raise_on_error=False,
        )
    return requests


def test_a_good_upload_is_delivered_and_a_broken_one_refused_wherever_things_lie(anywhere: str, tmp_path: Path):
    settings = settings_at(anywhere, tmp_path / "local")
    with dg.DagsterInstance.from_config(str(make_home(settings))) as instance:
        drop(settings, tmp_path, "good", "broken")
        requests = {request.tags["splat/upload"]: str(request.partition_key) for request in look(settings, instance)}
        assert set(requests) == {"good", "broken"}
        assert look(settings, instance) == []
    assert place_of(settings.place("inbox")).find() == {}
    reason = json.loads(place_of(settings.place("errors")).read("broken.reason.json"))
    assert (reason["class"], reason["job"]) == ("UnreadableMedia", requests["broken"])
    assert "a.mp4" in reason["file"]
    assert json.loads(place_of(settings.place("processed")).read("good.result.json"))["job"] == requests["good"]
    store = store_of(settings)
    delivered = store.delivery_of(requests["good"])
    assert delivered is not None
    assert json.loads((delivered / "delivery.json").read_text())["title"] == "good"
    assert {name.split("/")[0] for name in place_of(settings.place("delivered")).find()} == {requests["good"]}
    assert store.upload(requests["good"]).location == f"{settings.place('processed')}/good"
    assert set(jobs_table(store)["job"]) == set(requests.values())


def test_no_secret_is_in_the_settings_the_log_or_anything_stored(
    s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0.0)  # three retries, without their waits
    settings = settings_at(f"{s3_server}/secrets", tmp_path / "local")
    lost = settings.model_copy(update={"delivered": "s3://no-such-bucket/x"})
    with dg.DagsterInstance.from_config(str(make_home(settings))) as instance:
        drop(settings, tmp_path, "good")
        look(lost, instance)
        look(settings, instance)
        records = [str(entry) for run in instance.get_runs() for entry in instance.all_logs(run.run_id)]
    assert any("StoreUnavailable" in line for line in records)
    place = place_of(f"{s3_server}/secrets")
    assert json.loads(place.read("error/good.reason.json"))["class"] == "StoreUnavailable"
    stored = [place.read(name) for name in place.find()]
    written = [path.read_bytes() for path in (tmp_path / "local").rglob("*") if path.is_file()]
    said = [repr(settings).encode(), *(line.encode() for line in records)]
    assert not any(SECRET.encode() in data for data in [*stored, *written, *said])
    assert BUCKET.encode() in said[0]


def test_the_real_daemon_ends_every_upload_as_one_result_or_one_classified_error(tmp_path: Path):
    flags = ["--uploads", "10", "--known", "200", "--executor", "in_process", "--limit", "1500"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "intake.py", *flags, "--json", tmp_path / "figures.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    figures = json.loads((tmp_path / "figures.json").read_text())
    daemon, sensors = figures["daemon"], figures["sensors"]
    assert (daemon["lost"], daemon["duplicated"], daemon["wrong"]) == (0, 0, 0)
    assert (daemon["delivered"], daemon["again"], daemon["classified"], daemon["runs"]) == (1, 1, 8, 3)
    assert (sensors["known"], sensors["requested"]) == (200, 25)
    assert sensors["cursor_bytes"] < 20_000
