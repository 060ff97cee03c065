"""What OpenCV measures on analysed frames: how each looks, and how the picture moved between them.

Corners are tracked from frame to frame; tracks live on, so that the same correspondences also tell what stood still
and what a longer baseline shows. All lengths are pixels of the analysed frame. It must cost little beside decoding: see
``benchmarks/scoring.py``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.looks import difference_of, hash_of, look_at
from resources.motions import LEAST_TRACKS, TELLS, UNKNOWN, geometry_of, shear_of
from resources.tracks import CORNERS, NO_TRACKS, Points, Tracks, common, followed, refreshed, shrink_of, shrunk
from splat_pipeline.domain.frames import FrameMeasure

Gray = NDArray[np.uint8]

LAG_S = 0.5
"""Over which a corner must stand still to count as static."""
BASELINES = (1, 2, 4)
"""Times ``LAG_S``, over which planes and lines are looked at: the first over which the picture moved enough."""
STILL_PX = 0.7
"""At 480 px: scaled with the longer side. notes: 0.79 of corners before a fixed camera, 0.00 for moving ones."""
BASELINE_SHARE = 0.35
"""Of ``CORNERS``: so many tracks must span a baseline, or a shorter one is looked at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Frame:
    """The frame before."""

    gray: Gray
    small: Gray
    tracks: Tracks
    flow_px: NDArray[np.float64] | None
    """(2,) median motion since the one before it."""


class Meter:
    """Measures frames of one clip in order of time."""

    def __init__(self, *, lag_s: float = LAG_S) -> None:
        self._lag_s = lag_s
        self._before: _Frame | None = None
        self._past: deque[tuple[float, Tracks]] = deque()
        self._next_id = 0

    def measure(self, frame_index: int, pts_s: float, gray: Gray, thumbnail: NDArray[np.uint8]) -> FrameMeasure:
        """Measure one upright frame. gray (H, W) luma at analysis size."""
        before = self._before if self._before is not None and self._before.gray.shape == gray.shape else None
        if before is None:
            self._past.clear()
        small = shrunk(gray)
        kept, motion, flow_px = _followed(before, small)
        tracks = refreshed(kept, small, self._next_id)
        self._next_id += len(tracks) - len(kept)
        over_time = {"static_share": self._static_share(pts_s, tracks, gray), **self._geometry(pts_s, tracks, gray)}
        self._before = _Frame(gray=gray, small=small, tracks=tracks, flow_px=flow_px)
        self._remember(pts_s, tracks)
        return FrameMeasure(
            frame_index=frame_index,
            pts_s=pts_s,
            **look_at(gray),
            texture=min(1.0, len(tracks) / CORNERS),
            phash=hash_of(small),
            difference=None if before is None else difference_of(before.gray, gray),
            thumbnail=thumbnail,
            **motion,
            **over_time,
        )

    def _geometry(self, pts_s: float, tracks: Tracks, gray: Gray) -> dict[str, Any]:
        """Look at the first baseline that tells, or else the longest: neighbours show nothing."""
        found, smaller = None, shrink_of(gray.shape)
        for times in BASELINES:
            then = self._tracks_before(pts_s - times * self._lag_s * 0.9)
            spanning = None if then is None else common(then, tracks)
            if spanning is None or len(spanning[0]) < BASELINE_SHARE * CORNERS:
                break
            found = spanning
            if smaller * np.median(np.linalg.norm(found[1] - found[0], axis=1)) >= TELLS * max(gray.shape):
                break
        found = found or self._shorter(tracks)
        return dict(UNKNOWN) if found is None else geometry_of(smaller * found[0], smaller * found[1], gray.shape)

    def _shorter(self, tracks: Tracks) -> tuple[Points, Points] | None:
        """Return the longest baseline that enough tracks span, or that to the frame before."""
        for i, (_, then) in enumerate(self._past):
            spanning = common(then, tracks)
            if len(spanning[0]) >= BASELINE_SHARE * CORNERS or i == len(self._past) - 1:
                return spanning
        return None

    def _static_share(self, pts_s: float, tracks: Tracks, gray: Gray) -> float | None:
        then = self._tracks_before(pts_s - 0.9 * self._lag_s)
        if then is None or len(then) < LEAST_TRACKS:
            return None
        xy_then, xy_now = common(then, tracks)
        moved_px = shrink_of(gray.shape) * np.linalg.norm(xy_now - xy_then, axis=1)
        return float(np.count_nonzero(moved_px < STILL_PX * max(gray.shape) / 480) / len(then))

    def _tracks_before(self, latest_s: float) -> Tracks | None:
        return next((tracks for pts_s, tracks in reversed(self._past) if pts_s <= latest_s), None)

    def _remember(self, pts_s: float, tracks: Tracks) -> None:
        self._past.append((pts_s, tracks))
        while len(self._past) > 2 and pts_s - self._past[1][0] >= BASELINES[-1] * self._lag_s * 0.9:
            self._past.popleft()


def _followed(before: _Frame | None, small: Gray) -> tuple[Tracks, dict[str, Any], NDArray[np.float64] | None]:
    """Return what is left of the tracks of the frame before, how they moved, and their median motion."""
    unknown = {"tracked_share": None, "motion_px": None, "shake_px": None, "shear_px": None}
    if before is None or len(before.tracks) < LEAST_TRACKS:
        return NO_TRACKS, unknown, None
    kept = followed(before.small, small, before.tracks)
    share = {"tracked_share": len(kept) / len(before.tracks)}
    if len(kept) < LEAST_TRACKS:
        return kept, unknown | share, None
    xy_before, xy_now = (shrink_of(before.gray.shape) * xy for xy in common(before.tracks, kept))
    flow = xy_now - xy_before
    flow_px = np.median(flow, axis=0).astype(float)
    motion = {
        "motion_px": float(np.median(np.linalg.norm(flow, axis=1))),
        "shake_px": None if before.flow_px is None else float(np.linalg.norm(flow_px - before.flow_px)),
        "shear_px": shear_of(xy_before, xy_now, before.gray.shape),
    }
    return kept, motion | share, flow_px
