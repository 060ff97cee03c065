"""Random numbers that depend on a seed, a purpose and a step only: nothing to store, nothing for threads to change."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What is drawn: each has random numbers of its own."""

    BACKGROUND = 1
    MOVING = 2
    STIRRING = 3


def dice(seed: int, purpose: Purpose, step: int) -> np.random.Generator:
    """Return the generator for ``purpose`` at ``step``. Philox (Salmon et al. 2011) is counter-based."""
    return np.random.Generator(np.random.Philox(key=[seed, int(purpose)], counter=[0, 0, 0, step]))
