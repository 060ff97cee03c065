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
PLANE_PX, EPIPOLAR_PX = 3.0, 1.5
"""At 480 px, as all of these: scaled with the longer side. Farther from the plane's place, or from the line, is out."""
TURN_PX, MOVES_PX = 1.2, 2.0
STANDS_PX = 0.5
"""A median motion below tells nothing of planes and lines: what moved at all did so by itself."""
FOCALS = np.array([0.6, 0.75, 1.0, 1.3, 1.7])
"""Tried for a camera whose lens nobody knows, in longer sides: 80 to 33 degrees across."""

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
    H, _ = cv2.findHomography(before, now, cv2.USAC_FAST, PLANE_PX * scale, maxIters=300, confidence=0.99)
    F, by_f = cv2.findFundamentalMat(before, now, cv2.USAC_FAST, EPIPOLAR_PX * scale, 0.99, 300)
    if H is None or F is None or by_f is None:
        return dict(UNKNOWN)
    error = np.linalg.norm(cv2.perspectiveTransform(before.reshape(-1, 1, 2), H).reshape(-1, 2) - now, axis=1)
    by_h, epipolar = error < PLANE_PX * scale, by_f.ravel() > 0
    turns = by_h.mean() >= 0.95 and np.median(moved) > MOVES_PX * scale
    return {
        "parallax": float(np.count_nonzero(epipolar & ~by_h)) / max(1.0, float(np.count_nonzero(epipolar))),
        "rotation_only": bool(turns and turn_error_px(before, now, H, shape) < TURN_PX * scale),
        "dynamic_share": float(np.mean(~by_h & ~epipolar)),
        "homography_share": float(by_h.mean()),
        "epipolar_share": float(epipolar.mean()),
    }


def turn_error_px(before: Points, now: Points, H: Float, shape: tuple[int, ...]) -> float:
    """Return how far, at the median, corners are from where the turn on the spot that is nearest to ``H`` puts them.

    Of the lenses in ``FOCALS`` the one that fits best counts. A turn is H = K R K^-1 (Hartley and Zisserman, 8.4.2).
    """
    best = np.inf
    rays = np.concatenate([before - _middle(shape), np.ones((len(before), 1))], axis=1)
    for focal in FOCALS * max(shape):
        K = np.array([[focal, 0, shape[1] / 2], [0, focal, shape[0] / 2], [0, 0, 1.0]])
        u, _, vt = np.linalg.svd(np.linalg.inv(K) @ H @ K)
        turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        seen = (rays * [1 / focal, 1 / focal, 1]) @ turn.T
        placed = focal * seen[:, :2] / np.where(np.abs(seen[:, 2:]) < 1e-9, 1e-9, seen[:, 2:]) + _middle(shape)
        best = min(best, float(np.median(np.linalg.norm(placed - now, axis=1))))
    return best


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
