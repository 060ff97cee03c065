"""How the picture moved, from the places of the same corners in two frames: planes, turns, parallax, shake.

All lengths are pixels of the analysed frame; N corners, (N, 2) places before and now.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Float = NDArray[np.float64]

LEAST_TRACKS = 16
"""Fewer tracks tell nothing of a motion."""
PLANE_PX, EPIPOLAR_PX = 3.0, 2.0
"""At 480 px, as all of these: scaled with the longer side. Farther from the plane's place, or from the line, is out."""
TURN_PX = 1.0
LEAST_EPIPOLAR_PX, LEAST_TURN_PX = 1.5, 1.0
"""However small the picture: trackers err by so much over a second or two."""
TELLS = 0.08
"""Motion in longer sides that tells a turn on the spot from a walk along a wall: less looks the same."""
STANDS_PX = 0.5
"""A median motion below tells nothing of planes and lines: what moved at all did so by itself."""
PLANE_SHARE = 0.95
"""Of the tracks: so many in one plane's place are all of them."""
ROUNDS = 200
"""Samples that are drawn at most."""
FOCALS = np.geomspace(0.5, 1.5, 12)
"""Tried for a camera whose lens nobody knows, in longer sides: 90 to 37 degrees across."""

UNKNOWN: dict[str, Any] = {
    "parallax": None, "rotation_only": None, "dynamic_share": None, "homography_share": None, "epipolar_share": None,
}  # fmt: skip


def geometry_of(before: Points, now: Points, shape: tuple[int, ...]) -> dict[str, Any]:
    """Compare a homography (one plane, or a turn on the spot) with a fundamental matrix (any scene that stands still).

    ``shape``: (H, W) of the frame. Returns the columns of ``UNKNOWN``, None each where too few corners tell.
    """
    import cv2

    if len(before) < LEAST_TRACKS:
        return dict(UNKNOWN)
    scale = max(shape) / 480
    moved = np.linalg.norm(now - before, axis=1)
    if np.median(moved) < STANDS_PX * scale:
        stands = float(np.mean(moved < PLANE_PX * scale))
        return {
            "parallax": 0.0,
            "rotation_only": False,
            "dynamic_share": 1.0 - stands,
            "homography_share": stands,
            "epipolar_share": stands,
        }
    H, _ = _or_none(cv2.findHomography, before, now, cv2.USAC_FAST, PLANE_PX * scale, maxIters=ROUNDS, confidence=0.99)
    if H is None:
        return dict(UNKNOWN)
    error = np.linalg.norm(cv2.perspectiveTransform(before.reshape(-1, 1, 2), H).reshape(-1, 2) - now, axis=1)
    by_h = error < PLANE_PX * scale
    if by_h.mean() >= PLANE_SHARE:  # of one plane there are many fundamental matrices, each as good as the other
        tells = np.median(moved) >= TELLS * max(shape)
        return {
            "parallax": 0.0,
            "rotation_only": turn_error_px(before, now, shape) < max(TURN_PX * scale, LEAST_TURN_PX) if tells else None,
            "dynamic_share": float(np.mean(~by_h)),
            "homography_share": float(by_h.mean()),
            "epipolar_share": float(by_h.mean()),
        }
    tolerance_px = max(EPIPOLAR_PX * scale, LEAST_EPIPOLAR_PX)
    F, by_f = _or_none(cv2.findFundamentalMat, before, now, cv2.USAC_FAST, tolerance_px, 0.99, ROUNDS)
    if F is None or by_f is None:
        return dict(UNKNOWN)
    epipolar = by_f.ravel() > 0
    return {
        "parallax": float(np.count_nonzero(epipolar & ~by_h)) / max(1.0, float(np.count_nonzero(epipolar))),
        "rotation_only": False,
        "dynamic_share": float(np.mean(~by_h & ~epipolar)),
        "homography_share": float(by_h.mean()),
        "epipolar_share": float(epipolar.mean()),
    }


def _or_none(find: Any, *places: Any, **options: Any) -> tuple[Any, Any]:
    """Return what ``find`` found; (None, None) where tracks jump between few places and no sample has a model.

    OpenCV's USAC then fails an assertion of its own.
    """
    import cv2

    try:
        found: tuple[Any, Any] = find(*places, **options)
    except cv2.error as error:
        if "model.empty()" not in str(error):
            raise
        return None, None
    return found


def turn_error_px(before: Points, now: Points, shape: tuple[int, ...]) -> float:
    """Return how far the worst tenth of corners is at least from where the best turn of a camera on the spot puts them.

    For each lens in ``FOCALS`` the turn of the rays is fitted (Kabsch 1976); the one that fits best counts.
    """
    focals = FOCALS[:, None, None] * max(shape)
    rays, seen = (_rays(xy - _middle(shape), focals) for xy in (before, now))
    u, _, vt = np.linalg.svd(seen.transpose(0, 2, 1) @ rays)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    placed = rays @ (u @ vt).transpose(0, 2, 1)
    error = np.linalg.norm(focals * placed[..., :2] / placed[..., 2:] - (now - _middle(shape)), axis=2)
    worst = int(0.9 * len(before))
    return float(np.partition(error, worst, axis=1)[:, worst].min())


def _rays(xy: Float, focals: Float) -> Float:
    """Return (L, N, 3) unit rays of (N, 2) places towards the middle, for each of (L, 1, 1) focal lengths in px."""
    rays = np.empty((len(focals), len(xy), 3))
    rays[..., :2], rays[..., 2:] = xy, focals
    unit: Float = rays / np.sqrt((rays**2).sum(axis=2, keepdims=True))
    return unit


def _middle(shape: tuple[int, ...]) -> Float:
    return np.array([shape[1] / 2, shape[0] / 2])


def shear_of(before: Points, now: Points, shape: tuple[int, ...]) -> float:
    """Return by how many px the picture's rows slid against each other from top to bottom, beyond a turn or a zoom.

    The flow is fitted by an affine one; du/dy + dv/dx is 0 for both. A rolling shutter makes it large while the camera
    jerks; so does a floor under a camera that walks.
    """
    rows = np.concatenate([before - _middle(shape), np.ones((len(before), 1))], axis=1)
    (_, dv_dx), (du_dy, _), _ = np.linalg.lstsq(rows, (now - before).astype(float), rcond=None)[0]
    return float(du_dy + dv_dx) * shape[0]
