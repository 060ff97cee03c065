"""Where along its way each frame of a clip was taken.

Places are measured in shares of the picture's longer side that the corners moved, summed up, and evened out towards
equal steps of time. Where corners were lost between two frames the step is taken to be large: what is left of the
tracks are then often the slow ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Float = NDArray[np.float64]

UNKNOWN_STEP = 0.15
"""Between frames of which nobody knows how many tracks were lost."""
LOSS = 0.12
"""The step at which e, 2.7, times fewer tracks are left. Measured: see the lab notes on selecting."""
USUAL = 0.9
"""Share of tracks that is left when nothing is lost to motion: noise, and corners that were none, end some."""
LEAST_LEFT = 0.02
"""Share of tracks that is taken to be left when none is."""
EVENED = 0.8
"""How far the steps of a moving camera are drawn to their segment's mean: 0 is equal steps of the way, 1 of time.
Measured: see the lab notes."""
STANDS = 0.1
"""Of the median step: a smaller one is no motion, and counts as it is."""
TURNING = 0.6
"""What a step counts that a turn on the spot explains: it shows nothing of depth."""
LEAST_SHARE = 0.39
"""Of its motion that a step counts at least. Keyframes at their usual distance then still overlap, however fast the
camera was: ``SPACING`` over ``WIDEST`` of ``keyframes``."""


def places_of(part: pd.DataFrame, longer_side_px: float) -> Float:
    """Return (N,) places of the frames of one segment, rows of ``tables.FRAMES``; the first is at 0."""
    turning = part["rotation_only"].fillna(value=False).to_numpy(bool)
    moved = part["motion_px"].to_numpy(float) / longer_side_px * np.where(turning, TURNING, 1.0)
    steps = steps_of(evened(moved), part["tracked_share"].to_numpy(float))
    steps[:1] = 0.0
    places: Float = np.cumsum(steps)
    return places


def evened(moved: Float) -> Float:
    """Return (N,) motion drawn to its mean while the camera moves, NaN where unknown.

    What is filmed slowly is filmed for its sake: spaced by motion alone, stretches where the camera lingers get few
    frames, and their views are learned badly.
    """
    known = moved[np.isfinite(moved)]
    known = known[known > STANDS * np.median(known)] if len(known) else known
    if not len(known):
        return moved
    moves = moved > STANDS * np.median(known)
    drawn = (1 - EVENED) * moved + EVENED * known.mean()
    return np.where(moves, np.maximum(drawn, LEAST_SHARE * moved), moved)


def steps_of(moved: Float, tracked: Float) -> Float:
    """Return (N,) steps from (N,) motion in longer sides and (N,) shares of tracks found again; NaN where unknown.

    A step is the motion, or what the loss of tracks stands for where that is more: -LOSS ln(share / USUAL). These add
    up as shares of surviving tracks multiply: places measure how much two frames far apart still have in common.
    """
    lost = -LOSS * np.log(np.clip(tracked / USUAL, LEAST_LEFT, 1.0))
    unknown = np.where(np.isnan(lost), UNKNOWN_STEP, lost)
    steps: Float = np.where(np.isnan(moved), unknown, np.fmax(moved, lost))
    return steps
