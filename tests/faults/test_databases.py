"""PostgreSQL goes down in the middle of runs and comes back: every upload still ends as one right result."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from cheap_stages import HOLD
from harm import PATIENCE_S, PATIENT, Harm, count, upload
from plant import Plant, over
from postgres import postgres

UPLOADS = 2
AWAY_S = (0, 12)
"""Of the database: a crash, and longer than Dagster's processes ask for it before they give up."""


@pytest.mark.parametrize("away_s", AWAY_S)
def test_uploads_outlive_a_crash_of_the_database_under_their_runs(tmp_path: Path, away_s: float):
    hold = tmp_path / "hold"
    hold.touch()
    contents = {f"upload {i}": upload(i, random.Random(i)) for i in range(UPLOADS)}
    with postgres() as database:
        instance = over(PATIENT, database.dagster_yaml)
        plant = Plant(home=tmp_path, module="cheap", instance=instance, environ={HOLD: str(hold)})
        with plant.running():
            for name, files in contents.items():
                plant.drop(name, files)
            plant.until(lambda: "tool" in plant.processes().values(), within_s=PATIENCE_S)
            tools = {pid for pid, role in plant.processes().items() if role == "tool"}
            database.stop()
            back_s = time.monotonic() + away_s
            hold.unlink()  # the step at work goes on, and has nowhere to tell what came of it
            plant.until(lambda: not tools & plant.processes().keys(), within_s=PATIENCE_S)
            plant.until(lambda: time.monotonic() >= back_s, within_s=PATIENCE_S)
            database.start()
            plant.until(plant.ended, within_s=PATIENCE_S)
            harm = count(plant, contents, Harm())
            told = f"{harm}\n{plant.told()}"
    assert not harm.broken, told
    assert harm.delivered == UPLOADS
