"""Corners that are followed from picture to picture: pyramidal Lucas-Kanade, there and back.

All of it happens in pictures of half the analysed size: a quarter of the pixels, twice the reach, and half the blur.
Small pictures are taken as they are, for a tracker errs by a tenth of the pixels that it sees. Places and lengths in
this module are pixels of the picture that is tracked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Points = NDArray[np.float32]
Ids = NDArray[np.int64]

HALVED_FROM_PX = 400
"""Longer side from which on half a picture is enough."""
CORNERS = 200
"""Asked for in every frame."""
SPACING_PX = 5
REFRESH_BELOW = 0.8
"""Corners are looked for again when fewer tracks than this share of ``CORNERS`` are left."""
RETURNS_PX = 0.5
"""A track is believed that comes back so near to where it started."""
RETRY_BELOW = 0.4
"""Share of tracks found again below which the shift of the whole picture is looked for, and the tracks with it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """N corners that are being followed, in one picture."""

    xy: Points
    """(N, 2)."""
    ids: Ids
    """(N,) rising: the name of each track; the same number in another frame is the same corner."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.ids)


NO_TRACKS = Tracks(xy=np.empty((0, 2), np.float32), ids=np.empty(0, np.int64))


def shrink_of(shape: tuple[int, ...]) -> int:
    """Return how many times smaller the tracked picture is than an analysed one of (H, W)."""
    return 2 if max(shape) >= HALVED_FROM_PX else 1


def shrunk(gray: Gray) -> Gray:
    """Return the luma that is tracked, (H // n, W // n) where n is ``shrink_of``."""
    import cv2

    times = shrink_of(gray.shape)
    if times == 1:
        return gray
    size = max(1, gray.shape[1] // times), max(1, gray.shape[0] // times)
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)


def followed(before: Gray, now: Gray, tracks: Tracks) -> Tracks:
    """Return those of ``tracks`` that are found again in ``now``, at their new places."""
    found, places = _tracked(before, now, tracks.xy, tracks.xy)
    if found.mean() < RETRY_BELOW:
        shift = _shift(before, now)
        found_so, places_so = _tracked(before, now, tracks.xy, tracks.xy + shift)
        if found_so.sum() > found.sum():
            found, places = found_so, places_so
    return Tracks(xy=places[found], ids=tracks.ids[found])


def _tracked(before: Gray, now: Gray, xy: Points, guess: Points) -> tuple[NDArray[np.bool_], Points]:
    import cv2

    options: dict[str, Any] = {
        "winSize": (11, 11),
        "maxLevel": 4,
        "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.03),
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
    }
    start, first = xy.reshape(-1, 1, 2), guess.reshape(-1, 1, 2).astype(np.float32)
    there, ok, _ = cv2.calcOpticalFlowPyrLK(before, now, start, first.copy(), **options)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(now, before, there, there + start - first, **options)
    places: Points = there.reshape(-1, 2)
    height, width = now.shape
    inside = (places >= 0).all(axis=1) & (places[:, 0] < width - 1) & (places[:, 1] < height - 1)
    returned = np.linalg.norm(back.reshape(-1, 2) - xy, axis=1) < RETURNS_PX
    return (ok.ravel() > 0) & (ok_back.ravel() > 0) & inside & returned, places


def _shift(before: Gray, now: Gray) -> Points:
    """Return (2,) by how much most of the picture moved: where the correlation of phases peaks (Kuglin, Hines 1975)."""
    import cv2

    window = cv2.createHanningWindow(now.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(before.astype(np.float32), now.astype(np.float32), window)
    return np.array([x, y], np.float32)


def refreshed(tracks: Tracks, small: Gray, next_id: int) -> Tracks:
    """Return ``tracks`` with new corners where none are near, up to ``CORNERS``, when too few are left."""
    import cv2

    if len(tracks) >= REFRESH_BELOW * CORNERS:
        return tracks
    found = cv2.goodFeaturesToTrack(small, CORNERS, 0.01, SPACING_PX)
    corners = np.empty((0, 2), np.float32) if found is None else found.reshape(-1, 2).astype(np.float32)
    taken = np.zeros(small.shape, np.uint8)
    columns, rows = tracks.xy.astype(np.intp).T
    taken[rows, columns] = 1
    near = cv2.dilate(taken, np.ones((2 * SPACING_PX - 1, 2 * SPACING_PX - 1), np.uint8))
    columns, rows = corners.astype(np.intp).T
    new = corners[near[rows, columns] == 0][: CORNERS - len(tracks)]
    ids = np.arange(next_id, next_id + len(new), dtype=np.int64)
    return Tracks(xy=np.concatenate([tracks.xy, new]), ids=np.concatenate([tracks.ids, ids]))


def common(then: Tracks, now: Tracks) -> tuple[Points, Points]:
    """Return the places, (M, 2) then and (M, 2) now, of the tracks that both have."""
    _, first, second = np.intersect1d(then.ids, now.ids, assume_unique=True, return_indices=True)
    return then.xy[first], now.xy[second]
