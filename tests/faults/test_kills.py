"""kill -9, again and again, of whatever is at work: every upload ends as one right package or one classified error."""

from __future__ import annotations

import os
import random
from pathlib import Path

from harm import PATIENT, Storm, count
from plant import Plant

KILLS = int(os.environ.get("SPLAT_FAULTS", "50"))
PAUSE_S = 0.4, 2.0
BOUND_S = 1200
"""No more kills after so long, which an idle machine is far from; what hangs then ends after ``PATIENCE_S``."""


def test_nothing_is_lost_doubled_torn_or_wrong_whatever_is_killed(tmp_path: Path):
    storm = Storm(kills=KILLS, rng=random.Random(KILLS), pause_s=PAUSE_S, at_once=4, seconds=BOUND_S)
    with Plant(home=tmp_path, module="cheap", instance=PATIENT).running() as plant:
        harm = count(plant, storm.contents, storm.rage(plant))
        told = f"{harm}\n{plant.told()}"
    assert not harm.broken, told
    assert harm.kills == KILLS, told
