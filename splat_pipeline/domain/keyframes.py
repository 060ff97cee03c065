"""Which frames become keyframes: evenly spaced along the camera's way, the best of each stretch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.budget import Budget
from splat_pipeline.domain.places import Float, places_of
from splat_pipeline.domain.rig import KnownCameras, followers, partners
from splat_pipeline.domain.scoring import REFUSED

SPACING = 0.065
"""Between keyframes. Matches figure_orbit: about 110 keyframes of one turn."""
FEW, CLOSEST = 48, 0.03
"""Short clips: the spacing shrinks, down to ``CLOSEST``, until there are ``FEW`` keyframes."""
LARGEST_GAP = 0.25
"""A stretch of rejected frames up to this long is left out; a longer one is bridged by its best frame."""
WIDEST = LARGEST_GAP / 1.5
"""The spacing at which overlap ends: a wish for fewer keyframes stops here, only a limit goes on."""
OFF_PLACE = 0.3
"""Of a window's best quality, what a frame loses that is a whole spacing off its place: gaps cost views, too."""
GROWTH = 1.08
YIELDS, FAINT = 0.8, 0.01
"""Where lost tracks ask for too many frames, their weight falls to this part of itself, again and again, until it is
faint: then they are not asked."""
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
    bridge: bool
    """Kept although it is poor, because overlap would break without it."""


def select_keyframes(
    frames: pd.DataFrame,
    budget: Budget,
    *,
    holdout_every: int,
    longer_side_px: Mapping[str, float],
    image_sets: Sequence[str] = (),
    known: KnownCameras | None = None,
) -> list[Keyframe]:
    """Return the keyframes of a job, clip by clip in time, at most ``budget.most``.

    ``frames``: rows of ``tables.FRAMES``, clip by clip; refused clips give nothing. ``longer_side_px``: of the analysed
    frames, by video_id. Of ``image_sets`` every image that is not rejected is kept, evenly thinned to the budget.
    ``known``: of a rig the first camera's frames are chosen, and what the others took in the same instants.
    """
    whole = frames["reject_reason"].fillna("").str.startswith(REFUSED)
    frames = frames[~whole].reset_index(drop=True)
    is_set = frames["video_id"].isin(list(image_sets)).to_numpy(bool)
    good = frames["reject_reason"].isna().to_numpy(bool)
    led = followers(known, frames)
    cameras = 1 + frames.loc[led, "video_id"].nunique()
    wanted, most = budget.wanted // cameras, budget.most // cameras
    photos = thinned(np.flatnonzero(is_set & good & ~led).tolist(), wanted)
    left = Budget(wanted=max(0, wanted - len(photos)), most=most - len(photos))
    moving = _along_motion(frames[~is_set & ~led], longer_side_px, left)
    rows = sorted([*moving, *photos])
    if known is not None and led.any():
        rows = sorted([*rows, *partners(known, frames, rows)])
    return [_keyframe(frames.iloc[row], number, holdout_every) for number, row in enumerate(rows)]


def _keyframe(row: pd.Series[Any], number: int, holdout_every: int) -> Keyframe:
    return Keyframe(
        keyframe_id=number,
        video_id=str(row["video_id"]),
        frame_index=int(row["frame_index"]),
        pts_s=float(row["pts_s"]),
        segment_id=str(row["segment_id"]),
        sharpness_rel=float(row["sharpness_rel"]),
        holdout=number % holdout_every == holdout_every // 2,
        bridge=bool(pd.notna(row["reject_reason"])),
    )


def sharp_share(keyframes: Sequence[Keyframe]) -> float:
    """Return the share of keyframes that are about as sharp as what is around them; 0 for none."""
    return share_of_sharp([keyframe.sharpness_rel for keyframe in keyframes])


def share_of_sharp(sharpness_rel: Sequence[float]) -> float:
    """Return the share of frames of such relative sharpness that are about as sharp as what is around them."""
    return float(np.mean([sharp >= SHARP_REL for sharp in sharpness_rel])) if len(sharpness_rel) else 0.0


def thinned(rows: list[int], most: int) -> list[int]:
    """Return at most ``most`` of ``rows``, evenly spread, first and last among them."""
    if len(rows) <= most:
        return rows
    return [rows[i] for i in np.linspace(0, len(rows) - 1, max(0, most)).round().astype(int)]


def _along_motion(frames: pd.DataFrame, longer_side_px: Mapping[str, float], budget: Budget) -> list[int]:
    """Space frames by motion for as many as are wanted; what lost tracks ask for comes on top, up to the limit.

    What is given to lost tracks within the limit would be missing where the camera sees something.
    """
    parts = [part for _, part in frames.groupby("segment_id", sort=False)]
    clean = [_Stretch.of(part.assign(tracked_share=1.0), longer_side_px) for part in parts]
    spacing, least = SPACING, len(parts)
    rows = _rows_at(clean, spacing)
    while len(rows) < min(FEW, budget.wanted) and spacing > CLOSEST:
        spacing /= GROWTH
        rows = _rows_at(clean, spacing)
    while len(rows) > max(budget.wanted, least) and spacing < WIDEST:
        spacing = min(WIDEST, spacing * GROWTH)
        rows = _rows_at(clean, spacing)
    lossy = [_Stretch.of(part, longer_side_px) for part in parts]
    weight, on_top = 1.0, _rows_at(lossy, spacing)
    while len(on_top) > max(budget.most, least) and weight > FAINT:
        weight *= YIELDS
        on_top = _rows_at([each.towards(other, weight) for each, other in zip(clean, lossy, strict=True)], spacing)
    rows = on_top if weight > FAINT else rows
    while len(rows) > max(budget.most, least):
        spacing *= GROWTH
        rows = _rows_at(clean, spacing)
    return thinned(rows, budget.most)  # matters only when one frame a segment is too many: the clip is all cuts


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stretch:
    """One segment: what its frames are called, where they are, and how good."""

    rows: NDArray[np.int64]
    places: Float
    quality: Float
    good: NDArray[np.bool_]

    @classmethod
    def of(cls, part: pd.DataFrame, longer_side_px: Mapping[str, float]) -> _Stretch:
        return cls(
            rows=part.index.to_numpy(np.int64),
            places=places_of(part, longer_side_px[str(part["video_id"].iloc[0])]),
            quality=part["quality"].to_numpy(float),
            good=part["reject_reason"].isna().to_numpy(bool),
        )

    def towards(self, other: _Stretch, weight: float) -> _Stretch:
        """Return the segment with its places moved by ``weight``, 0 to 1, to those of ``other``."""
        return replace(self, places=(1 - weight) * self.places + weight * other.places)


def _rows_at(stretches: Sequence[_Stretch], spacing: float) -> list[int]:
    return [
        int(each.rows[i]) for each in stretches for i in pick(each.places, each.quality, each.good, spacing=spacing)
    ]


def pick(places: Float, quality: Float, good: NDArray[np.bool_], *, spacing: float) -> list[int]:
    """Return indices of the frames to keep of one segment. places (N,) rising, quality (N,), good (N,).

    From the last kept place p the best good frame in [p + 0.5, p + 1.5] spacings is next, where being off p + 1 counts
    against it; without one the first good frame within ``LARGEST_GAP``, or else the best of what there is, so that
    overlap never breaks for want of quality. Before a leap that is longer than this the last frame is kept, and the
    first after it.
    """
    kept: list[int] = []
    at = places[0] - spacing if len(places) else 0.0
    first = 0
    while first < len(places):
        low = max(first, int(np.searchsorted(places, at + 0.5 * spacing)))
        if low >= len(places):
            break
        if low > first and places[low] - at > max(LARGEST_GAP, 1.5 * spacing):
            low -= 1  # the last frame before a leap has most in common with what follows
        high = max(low + 1, int(np.searchsorted(places, at + 1.5 * spacing, side="right")))
        window = np.arange(low, min(high, len(places)))
        if not good[window].any():
            reach = int(np.searchsorted(places, at + max(LARGEST_GAP, 1.5 * spacing), side="right"))
            later = np.flatnonzero(good[low:reach])
            window = window if not len(later) else np.array([low + later[0]])
        usable = window[good[window]] if good[window].any() else window
        off = np.abs((places[usable] - at) / spacing - 1.0)
        best = int(usable[np.argmax(quality[usable] / max(quality[usable].max(), 1e-9) - OFF_PLACE * off)])
        kept.append(best)
        at, first = places[best], best + 1
    return kept
