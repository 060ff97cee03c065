"""What OpenCV measures on analysed frames: sharpness, exposure, corners, and how the picture moved.

Corners are tracked from frame to frame (pyramidal Lucas-Kanade, there and back); tracks live on, so that the
same correspondences also tell what stood still over half a second. All lengths are pixels of the analysed frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.frames import FrameMeasure

Gray = NDArray[np.uint8]
Points = NDArray[np.float32]

CORNERS = 400
"""Asked for in every frame."""
SPACING_PX = 8
LAG_S = 0.5
"""Over which a corner must stand still to count as static."""
STILL_PX = 0.7
"""At 480 px: scaled with the longer side. notes: 0.79 of corners before a fixed camera, 0.00 for moving ones."""
LEAST_TRACKS = 16
"""Fewer tracks tell nothing of a motion."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    pts_s: float
    gray: Gray
    xy: Points
    """(N, 2) corners tracked in this frame."""
    ids: NDArray[np.int64]
    """(N,) name of each track; the same number in another frame is the same corner."""


class Meter:
    """Measures frames of one clip in order of time."""

    def __init__(self, *, lag_s: float = LAG_S) -> None:
        self._lag_s = lag_s
        self._past: deque[_Seen] = deque()
        self._next_id = 0

    def measure(self, frame_index: int, pts_s: float, gray: Gray, thumbnail: NDArray[np.uint8]) -> FrameMeasure:
        """Measure one upright frame. gray (H, W) luma at analysis size."""
        corners = find_corners(gray)
        look: dict[str, Any] = _look(gray)
        before = self._past[-1] if self._past else None
        kept, motion = self._follow(before, gray)
        now = self._renewed(pts_s, gray, kept, corners)
        static_share = self._static_share(now)
        self._remember(now)
        return FrameMeasure(
            frame_index=frame_index,
            pts_s=pts_s,
            **look,
            texture=len(corners) / CORNERS,
            static_share=static_share,
            difference=None if before is None else _difference(before.gray, gray),
            thumbnail=thumbnail,
            **motion,
        )

    def _follow(self, before: _Seen | None, gray: Gray) -> tuple[tuple[Points, NDArray[np.int64]], dict[str, Any]]:
        nothing = np.empty((0, 2), np.float32), np.empty(0, np.int64)
        if before is None or before.gray.shape != gray.shape or len(before.xy) < LEAST_TRACKS:
            return nothing, _motion(nothing[0], nothing[0], gray, tracked_share=None)
        xy, found = track(before.gray, gray, before.xy)
        share = float(found.mean())
        return (xy[found], before.ids[found]), _motion(before.xy[found], xy[found], gray, tracked_share=share)

    def _renewed(self, pts_s: float, gray: Gray, kept: tuple[Points, NDArray[np.int64]], corners: Points) -> _Seen:
        import cv2

        xy, ids = kept
        free = np.full(gray.shape, 1, np.uint8)
        for x, y in xy.astype(int).tolist():
            cv2.circle(free, (x, y), SPACING_PX, 0, -1)
        rows, columns = corners[:, 1].astype(int), corners[:, 0].astype(int)
        new = corners[free[rows, columns] > 0][: max(0, CORNERS - len(xy))]
        new_ids = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        return _Seen(pts_s=pts_s, gray=gray, xy=np.concatenate([xy, new]), ids=np.concatenate([ids, new_ids]))

    def _static_share(self, now: _Seen) -> float | None:
        then = next((seen for seen in reversed(self._past) if now.pts_s - seen.pts_s >= self._lag_s * 0.9), None)
        if then is None or len(then.xy) < LEAST_TRACKS:
            return None
        _, here, there = np.intersect1d(now.ids, then.ids, assume_unique=True, return_indices=True)
        moved = np.linalg.norm(now.xy[here] - then.xy[there], axis=1)
        return float(np.count_nonzero(moved < STILL_PX * max(now.gray.shape) / 480) / len(then.xy))

    def _remember(self, now: _Seen) -> None:
        self._past.append(now)
        while len(self._past) > 2 and now.pts_s - self._past[1].pts_s >= self._lag_s * 0.9:
            self._past.popleft()


def _look(gray: Gray) -> dict[str, float]:
    import cv2

    counts = np.bincount(gray.ravel(), minlength=256) / gray.size
    levels = np.arange(256)
    mean = float(counts @ levels)
    return {
        "sharpness": float(cv2.Laplacian(gray, cv2.CV_32F, ksize=1).var()),
        "luma_mean": mean,
        "clipped_low": float(counts[:4].sum()),
        "clipped_high": float(counts[252:].sum()),
        "contrast": float(np.sqrt(counts @ (levels - mean) ** 2)),
    }


def find_corners(gray: Gray) -> Points:
    """Return (N, 2) corners, best first, N <= ``CORNERS``."""
    import cv2

    found = cv2.goodFeaturesToTrack(gray, CORNERS, 0.01, SPACING_PX)
    return np.empty((0, 2), np.float32) if found is None else found.reshape(-1, 2).astype(np.float32)


def track(before: Gray, now: Gray, xy: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Follow (N, 2) corners into the next frame; return their places and which came back to where they started."""
    import cv2

    options: dict[str, Any] = {"winSize": (15, 15), "maxLevel": 4}
    there, ok, _ = cv2.calcOpticalFlowPyrLK(before, now, xy.reshape(-1, 1, 2), None, **options)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(now, before, there, None, **options)
    places = there.reshape(-1, 2)
    height, width = now.shape
    inside = (places >= 0).all(axis=1) & (places[:, 0] < width - 1) & (places[:, 1] < height - 1)
    returned = np.linalg.norm(back.reshape(-1, 2) - xy, axis=1) < 1.0
    return places, (ok.ravel() > 0) & (ok_back.ravel() > 0) & inside & returned


def _motion(before: Points, now: Points, gray: Gray, *, tracked_share: float | None) -> dict[str, Any]:
    """Compare a homography (one plane, or a turn on the spot) with a fundamental matrix (any static scene)."""
    import cv2

    unknown = {"motion_px": None, "parallax": None, "rotation_only": None, "dynamic_share": None}
    if len(before) < LEAST_TRACKS:
        return {**unknown, "tracked_share": tracked_share}
    motion_px = float(np.median(np.linalg.norm(now - before, axis=1)))
    scale = max(gray.shape) / 480
    H, _ = cv2.findHomography(before, now, cv2.RANSAC, 3.0 * scale, maxIters=300, confidence=0.99)
    F, by_f = cv2.findFundamentalMat(before, now, cv2.USAC_FAST, 1.5 * scale, 0.99, 300)
    if H is None or F is None or by_f is None:
        return {**unknown, "motion_px": motion_px, "tracked_share": tracked_share}
    error = np.linalg.norm(cv2.perspectiveTransform(before.reshape(-1, 1, 2), H).reshape(-1, 2) - now, axis=1)
    by_h, epipolar = error < 3.0 * scale, by_f.ravel() > 0
    residual = float(np.sqrt(np.mean(error[by_h] ** 2))) if by_h.any() else np.inf
    beyond, inliers = np.count_nonzero(epipolar & ~by_h), np.count_nonzero(epipolar)
    return {
        "motion_px": motion_px,
        "parallax": float(beyond) / max(1.0, float(inliers)),
        "rotation_only": bool(by_h.mean() >= 0.95 and residual < 1.2 * scale and motion_px > 2.0 * scale),
        "dynamic_share": float(np.mean(~by_h & ~epipolar)),
        "tracked_share": tracked_share,
    }


def _difference(before: Gray, now: Gray) -> float | None:
    import cv2

    return None if before.shape != now.shape else float(cv2.absdiff(before, now).mean())
