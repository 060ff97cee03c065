"""kill -9, again and again, of whatever is at work: every upload ends as one right package or one classified error."""

from __future__ import annotations

import os
import random
from pathlib import Path

from harm import PATIENT, count, storm, uploads
from plant import Plant

KILLS = int(os.environ.get("SPLAT_FAULTS", "6"))


def test_nothing_is_lost_doubled_torn_or_wrong_whatever_is_killed(tmp_path: Path):
    rng = random.Random(KILLS)
    contents = uploads(max(3, KILLS // 3), rng)
    with Plant(home=tmp_path, module="cheap", instance=PATIENT).running() as plant:
        harm = count(plant, contents, storm(plant, contents, kills=KILLS, rng=rng))
        told = f"{harm}\n{plant.told()}"
    assert not harm.broken, told
    assert harm.kills > KILLS // 2, told
