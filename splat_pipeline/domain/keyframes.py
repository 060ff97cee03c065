"""Which frames become keyframes: evenly spaced along the camera's motion, the sharpest of each stretch.

Places along a clip are measured in shares of the picture's longer side that the corners moved, summed up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.recipe import FrameRecipe
from splat_pipeline.domain.rig import KnownCameras, followers, partners
from splat_pipeline.domain.scoring import REFUSED

SPACING = 0.065
"""Between keyframes. Matches figure_orbit: about 110 keyframes of one turn."""
FEW, CLOSEST = 48, 0.03
"""Short clips: the spacing shrinks, down to ``CLOSEST``, until there are ``FEW`` keyframes."""
UNKNOWN_STEP = 0.15
"""Between frames whose tracks were lost."""
LARGEST_GAP = 0.25
"""A stretch of rejected frames up to this long is left out; a longer one is bridged by its best frame."""
GROWTH = 1.08
SHARP_REL = 0.7


@dataclass(frozen=True, kw_only=True)
class Keyframe:
    """One kept frame."""

    keyframe_id: int
    video_id: str
    frame_index: int
    pts_s: float
    segment_id: str
    sharpness_rel: float
    holdout: bool


def select_keyframes(
    frames: pd.DataFrame,
    recipe: FrameRecipe,
    *,
    longer_side_px: Mapping[str, float],
    image_sets: Sequence[str] = (),
    known: KnownCameras | None = None,
) -> list[Keyframe]:
    """Return the keyframes of a job, clip by clip in time, at most ``recipe.max_keyframes``.

    ``frames``: rows of ``tables.FRAMES``, clip by clip; refused clips give nothing. ``longer_side_px``: of the analysed
    frames, by video_id. Of ``image_sets`` every image that is not broken is kept, evenly thinned to the cap.
    ``known``: of a rig the first camera's frames are chosen, and what the others took in the same instants.
    """
    whole = frames["reject_reason"].fillna("").str.startswith(REFUSED)
    frames = frames[~whole].reset_index(drop=True)
    is_set = frames["video_id"].isin(list(image_sets)).to_numpy(bool)
    good = frames["reject_reason"].isna().to_numpy(bool)
    led = followers(known, frames)
    most = recipe.max_keyframes // (1 + frames.loc[led, "video_id"].nunique())
    photos = thinned(np.flatnonzero(is_set & good & ~led).tolist(), most)
    moving = _along_motion(frames[~is_set & ~led], longer_side_px, most=most - len(photos))
    rows = sorted([*moving, *photos])
    if known is not None and led.any():
        rows = sorted([*rows, *partners(known, frames, rows)])
    return [_keyframe(frames.iloc[row], number, recipe) for number, row in enumerate(rows)]


def _keyframe(row: pd.Series[Any], number: int, recipe: FrameRecipe) -> Keyframe:
    return Keyframe(
        keyframe_id=number,
        video_id=str(row["video_id"]),
        frame_index=int(row["frame_index"]),
        pts_s=float(row["pts_s"]),
        segment_id=str(row["segment_id"]),
        sharpness_rel=float(row["sharpness_rel"]),
        holdout=number % recipe.holdout_every == recipe.holdout_every // 2,
    )


def sharp_share(keyframes: Sequence[Keyframe]) -> float:
    """Return the share of keyframes that are about as sharp as what is around them; 0 for none."""
    return float(np.mean([k.sharpness_rel >= SHARP_REL for k in keyframes])) if keyframes else 0.0


def thinned(rows: list[int], most: int) -> list[int]:
    """Return at most ``most`` of ``rows``, evenly spread, first and last among them."""
    if len(rows) <= most:
        return rows
    return [rows[i] for i in np.linspace(0, len(rows) - 1, max(0, most)).round().astype(int)]


def _along_motion(frames: pd.DataFrame, longer_side_px: Mapping[str, float], *, most: int) -> list[int]:
    parts = [part for _, part in frames.groupby("segment_id", sort=False)]
    spacing = SPACING
    rows = _rows_at(parts, longer_side_px, spacing=spacing)
    while len(rows) < min(FEW, most) and spacing > CLOSEST:
        spacing /= GROWTH
        rows = _rows_at(parts, longer_side_px, spacing=spacing)
    while len(rows) > max(most, len(parts)):
        spacing *= GROWTH
        rows = _rows_at(parts, longer_side_px, spacing=spacing)
    return thinned(rows, most)  # matters only when one frame a segment is still too many: the clip is all cuts


def _rows_at(parts: Sequence[pd.DataFrame], longer_side_px: Mapping[str, float], *, spacing: float) -> list[int]:
    return [row for part in parts for row in _pick_rows(part, longer_side_px, spacing=spacing)]


def _pick_rows(part: pd.DataFrame, longer_side_px: Mapping[str, float], *, spacing: float) -> list[int]:
    places = places_of(part["motion_px"].to_numpy(float) / longer_side_px[str(part["video_id"].iloc[0])])
    good = part["reject_reason"].isna().to_numpy(bool)
    rows: list[int] = part.index[pick(places, part["quality"].to_numpy(float), good, spacing=spacing)].tolist()
    return rows


def places_of(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) places of frames from the (N,) steps to each, NaN where the motion is unknown; the first is at 0."""
    known = np.where(np.isnan(steps), UNKNOWN_STEP, steps)
    known[:1] = 0.0
    places: NDArray[np.float64] = np.cumsum(known)
    return places


def pick(
    places: NDArray[np.float64], quality: NDArray[np.float64], good: NDArray[np.bool_], *, spacing: float
) -> list[int]:
    """Return indices of the frames to keep of one segment. places (N,) rising, quality (N,), good (N,).

    From the last kept place p the best good frame in [p + 0.5, p + 1.5] spacings is next; without one the first good
    frame within ``LARGEST_GAP``, or else the best of what there is, so that overlap never breaks for want of quality.
    """
    kept: list[int] = []
    at = places[0] - spacing if len(places) else 0.0
    first = 0
    while first < len(places):
        low = max(first, int(np.searchsorted(places, at + 0.5 * spacing)))
        if low >= len(places):
            break
        high = max(low + 1, int(np.searchsorted(places, at + 1.5 * spacing, side="right")))
        window = np.arange(low, min(high, len(places)))
        if not good[window].any():
            reach = int(np.searchsorted(places, at + max(LARGEST_GAP, 1.5 * spacing), side="right"))
            later = np.flatnonzero(good[low:reach])
            window = window if not len(later) else np.array([low + later[0]])
        usable = window[good[window]] if good[window].any() else window
        best = int(usable[np.argmax(quality[usable])])
        kept.append(best)
        at, first = places[best], best + 1
    return kept
