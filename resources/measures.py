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
from resources.motions import LEAST_TRACKS, UNKNOWN, geometry_of, shear_of
from resources.tracks import CORNERS, NO_TRACKS, SHRINK, Tracks, common, followed, refreshed, shrunk
from splat_pipeline.domain.frames import FrameMeasure

Gray = NDArray[np.uint8]

LAG_S = 0.5
"""Over which a corner must stand still to count as static, and which planes and lines are looked at over at most."""
STILL_PX = 0.7
"""At 480 px: scaled with the longer side. notes: 0.79 of corners before a fixed camera, 0.00 for moving ones."""
BASELINE_SHARE = 0.35
"""Of ``CORNERS``: so many tracks must span a baseline, or a shorter one is looked at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    pts_s: float
    gray: Gray
    small: Gray
    tracks: Tracks
    flow_px: NDArray[np.float64] | None
    """(2,) median motion since the frame before."""


class Meter:
    """Measures frames of one clip in order of time."""

    def __init__(self, *, lag_s: float = LAG_S) -> None:
        self._lag_s = lag_s
        self._past: deque[_Seen] = deque()
        self._next_id = 0

    def measure(self, frame_index: int, pts_s: float, gray: Gray, thumbnail: NDArray[np.uint8]) -> FrameMeasure:
        """Measure one upright frame. gray (H, W) luma at analysis size."""
        before = self._past[-1] if self._past and self._past[-1].gray.shape == gray.shape else None
        if before is None:
            self._past.clear()
        small = shrunk(gray)
        kept, motion, flow_px = _followed(before, small)
        tracks = refreshed(kept, small, self._next_id)
        self._next_id += len(tracks) - len(kept)
        now = _Seen(pts_s=pts_s, gray=gray, small=small, tracks=tracks, flow_px=flow_px)
        over_time = {"static_share": self._static_share(now), **self._geometry(now)}
        self._remember(now)
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

    def _geometry(self, now: _Seen) -> dict[str, Any]:
        """Look at the longest baseline that enough tracks span: at ten frames a second neighbours show no depth."""
        for then in self._past:
            xy_then, xy_now = common(then.tracks, now.tracks)
            if len(xy_now) >= BASELINE_SHARE * CORNERS or then is self._past[-1]:
                return geometry_of(SHRINK * xy_then, SHRINK * xy_now, now.gray.shape)
        return dict(UNKNOWN)

    def _static_share(self, now: _Seen) -> float | None:
        then = next((seen for seen in reversed(self._past) if now.pts_s - seen.pts_s >= self._lag_s * 0.9), None)
        if then is None or len(then.tracks) < LEAST_TRACKS:
            return None
        xy_then, xy_now = common(then.tracks, now.tracks)
        moved_px = SHRINK * np.linalg.norm(xy_now - xy_then, axis=1)
        return float(np.count_nonzero(moved_px < STILL_PX * max(now.gray.shape) / 480) / len(then.tracks))

    def _remember(self, now: _Seen) -> None:
        self._past.append(now)
        while len(self._past) > 2 and now.pts_s - self._past[1].pts_s >= self._lag_s * 0.9:
            self._past.popleft()


def _followed(before: _Seen | None, small: Gray) -> tuple[Tracks, dict[str, Any], NDArray[np.float64] | None]:
    """Return what is left of the tracks of the frame before, how they moved, and their median motion."""
    unknown = {"tracked_share": None, "motion_px": None, "shake_px": None, "shear_px": None}
    if before is None or len(before.tracks) < LEAST_TRACKS:
        return NO_TRACKS, unknown, None
    kept = followed(before.small, small, before.tracks)
    share = {"tracked_share": len(kept) / len(before.tracks)}
    if len(kept) < LEAST_TRACKS:
        return kept, unknown | share, None
    xy_before, xy_now = (SHRINK * xy for xy in common(before.tracks, kept))
    flow = xy_now - xy_before
    flow_px = np.median(flow, axis=0).astype(float)
    motion = {
        "motion_px": float(np.median(np.linalg.norm(flow, axis=1))),
        "shake_px": None if before.flow_px is None else float(np.linalg.norm(flow_px - before.flow_px)),
        "shear_px": shear_of(xy_before, xy_now, before.gray.shape),
    }
    return kept, motion | share, flow_px
