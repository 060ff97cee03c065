"""A secret of the environment is in nothing that a sensor logs or fails with."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from resources.clocks import now
from resources.places import place_of
from resources.shelves import Shelves
from resources.stores import FileStore
from sensors.discreet import discreet
from sensors.uploads import Door, uploads_sensor
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.domain.uploads import Upload

CANARY = "cAnArY-0123456789"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN", CANARY)


def fails(_instance: dg.DagsterInstance, _upload: Upload, _beside: int) -> str | None:
    """Fail as a library does that has the secret in its text, with a cause that has it too."""
    try:
        raise ConnectionError(f"refused: https://user:{CANARY}@bucket.example")  # noqa: TRY301  # a cause to be told of
    except ConnectionError as error:
        raise RuntimeError(f"token {CANARY}") from error


def test_a_tick_that_fails_with_a_secret_tells_of_all_but_the_secret(tmp_path: Path, instance: dg.DagsterInstance):
    place_of(tmp_path / "inbox").write("garden/a.mp4", b"film")
    place_of(tmp_path / "inbox").write("garden/.done", b"")
    shelves = Shelves(**{name: place_of(tmp_path / name) for name in ("inbox", "processed", "errors")})
    store = FileStore(tmp_path / "store", tmp_path / "delivered")
    door = Door(shelves=shelves, store=store, job_name="j", stable_s=0, now=now, utc=lambda: "x", hold=fails)
    with pytest.raises(SplatError) as told:
        uploads_sensor(door, poll_s=5, inbox="x")(dg.build_sensor_context(instance=instance))
    text = "".join(traceback.format_exception(told.value))
    assert CANARY not in text
    assert "RuntimeError: token ***" in text
    assert "bucket.example" in text
    calm = uploads_sensor(replace(door, hold=lambda *_: None), poll_s=5, inbox="x")
    assert len(calm(dg.build_sensor_context(instance=instance)).run_requests) == 1


def test_a_tick_that_fails_without_a_secret_fails_as_it_did_and_logs_without_secrets(
    instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
):
    def tick(context: dg.SensorEvaluationContext) -> None:
        context.log.warning("asking %s", f"https://user:{CANARY}@bucket.example")
        raise KeyError("plain")

    with pytest.raises(KeyError, match="plain"):
        discreet(tick)(dg.build_sensor_context(instance=instance))
    logged = capfd.readouterr().err
    assert "bucket.example" in logged
    assert CANARY not in logged
