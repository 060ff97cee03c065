"""The focal length of images whose poses are known: the one by which their matches lie on the epipolar lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.epipolar import pair_agreement
from splat_pipeline.domain.errors import FewPoints

Float = NDArray[np.float64]

RANGE = (0.35, 3.0)
"""Times the longer side: wider and longer lenses were not seen in phones, drones or action cameras."""
STEPS, ROUNDS = 24, 3
LEAST_MATCHES = 200
PER_PAIR = 150


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedPair:
    """M matches of two images of one camera."""

    a: Float
    """(M, 2) px from the middle of the image."""
    b: Float
    """(M, 2)."""
    b_from_a: Float
    """(4, 4)."""


def focal_px(pairs: Sequence[MatchedPair], longer_side_px: int) -> float:
    """Return the focal length in px, to about a hundredth of its value. Raises ``FewPoints`` with too few matches.

    The median Sampson distance over all matches is least there; a grid in three rounds, for it has several valleys.
    """
    count = sum(len(pair.a) for pair in pairs)
    if count < LEAST_MATCHES:
        raise FewPoints(f"{count} matches do not tell a focal length, {LEAST_MATCHES} are needed")
    few = [_thinned(pair) for pair in pairs]
    low, high = RANGE
    for _ in range(ROUNDS):
        grid = np.geomspace(low, high, STEPS)
        best = int(np.argmin([_cost(few, ratio * longer_side_px) for ratio in grid]))
        low, high = float(grid[max(0, best - 1)]), float(grid[min(STEPS - 1, best + 1)])
    return float(grid[best] * longer_side_px)


def _thinned(pair: MatchedPair) -> MatchedPair:
    step = max(1, -(-len(pair.a) // PER_PAIR))
    return MatchedPair(a=pair.a[::step], b=pair.b[::step], b_from_a=pair.b_from_a)


def _cost(pairs: Sequence[MatchedPair], focal: float) -> float:
    errors = [pair_agreement((pair.a / focal, pair.b / focal), pair.b_from_a, focal).error_px for pair in pairs]
    return float(np.nanmedian(np.concatenate(errors)))
