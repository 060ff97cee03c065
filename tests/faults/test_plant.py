"""The plant that the faults are done to works, and stops when it is told to."""

from __future__ import annotations

from pathlib import Path

from cheap_stages import BAD, expected
from plant import Plant

STOP_S = 120


def test_an_upload_becomes_a_package_and_a_service_manager_can_stop_all_of_it(tmp_path: Path):
    good = {"a.mp4": b"film", "b.mp4": b"more"}
    with Plant(home=tmp_path, module="cheap").running() as plant:
        plant.drop("good", good)
        plant.drop("bad", {"a.mp4": BAD})
        plant.until(plant.ended, within_s=900)
        (result,) = plant.place("delivered").glob("good-*/latest/result.txt")
        assert result.read_text() == expected(good)
        assert (plant.place("errors") / "bad.reason.json").is_file()
        assert plant.stop(within_s=STOP_S) < STOP_S
