"""Where cameras stand and look: about what was filmed.

The world is upright with y down: up is -y. An azimuth turns about up, an elevation is above the horizontal plane.
C captured cameras, F frames. ``centers`` (C, 3) and ``axes`` (C, 3), unit viewing directions, in the upright world.
All angles are radians unless the name says degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FOLLOW_DEG = 20.0
"""Height and distance follow the captured cameras within about this: elsewhere the borders show what nobody filmed."""
MIN_SPREAD = float(np.sin(np.radians(3.0)) ** 2)
"""Viewing axes closer together than this meet nowhere that could be told."""


def extent_of(means: NDArray[np.floating], weights: NDArray[np.floating], *, share: float) -> tuple[Array, float]:
    """Return the weighted median (3,) and the radius about it that holds ``share`` of the weight."""
    points = means.astype(np.float64)
    middle = np.array([weighted_quantile(points[:, axis], weights, 0.5) for axis in range(3)])
    return middle, weighted_quantile(np.linalg.norm(points - middle, axis=1), weights, share)


def focus_of(centers: Array, axes: Array) -> tuple[Array, bool]:
    """Return the point (3,) nearest to all viewing axes, and whether the cameras do look at it.

    Each axis asks for I - d d^T times (x - c) = 0; solved for the least sum of distances by reweighting, so that a
    few cameras that look elsewhere do not pull it away.
    """
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    weights = np.ones(len(centers))
    focus = centers.mean(axis=0)
    for _ in range(20):
        system = np.einsum("c,cij->ij", weights, across)
        if np.linalg.eigvalsh(system)[0] < MIN_SPREAD * weights.sum():
            return focus, False
        focus = np.linalg.solve(system, np.einsum("c,cij,cj->i", weights, across, centers))
        miss = np.linalg.norm(np.einsum("cij,cj->ci", across, focus - centers), axis=1)
        weights = 1 / np.maximum(miss, 1e-3 * max(float(np.median(miss)), 1e-12))
    depth = np.einsum("ci,ci->c", axes, focus - centers)
    seen = (depth > 0) & (miss < depth * np.tan(np.radians(25)))
    return focus, bool(np.mean(seen) >= 0.8)


def around(focus: Array, centers: Array) -> tuple[Array, Array, Array]:
    """Return azimuth, elevation and distance (C,) of ``centers`` about ``focus``."""
    x, y, z = (centers - focus).T
    distance = np.sqrt(x * x + y * y + z * z)
    return np.arctan2(x, -z), np.arcsin(np.clip(-y / np.maximum(distance, 1e-12), -1, 1)), distance


def direction(azimuth: Array, elevation: Array) -> Array:
    """Invert ``around``: (F, 3) unit vectors from the focus."""
    flat = np.cos(elevation)
    return np.stack([flat * np.sin(azimuth), -np.sin(elevation), -flat * np.cos(azimuth)], axis=-1)


def covered(azimuth: Array) -> tuple[float, float]:
    """Return the shortest arc [start, stop] that holds every azimuth; stop - start <= 2 pi."""
    around_once = np.sort(np.mod(azimuth, 2 * np.pi))
    gaps = np.diff(around_once, append=around_once[0] + 2 * np.pi)
    widest = int(np.argmax(gaps))
    start = float(around_once[(widest + 1) % len(around_once)])
    return start, start + max(0.0, 2 * np.pi - float(gaps[widest]))


def look_at(eye: Array, target: Array) -> Array:
    """Return cam_from_world (4, 4), OpenCV axes, up in the picture as near to -y as it goes."""
    forward = _normal(target - eye)
    right = np.cross(forward, [0.0, -1.0, 0.0])
    if np.linalg.norm(right) < 1e-6:  # straight up or down: any right will do
        right = np.array([1.0, 0.0, 0.0])
    right = _normal(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ eye
    return pose


def followed(values: Array, azimuth: Array, turn: Array) -> Array:
    """Return what the captured cameras near each azimuth of ``turn`` (F,) had, averaged with a Gaussian window."""
    apart = np.angle(np.exp(1j * (turn[:, None] - azimuth[None, :]))) / np.radians(FOLLOW_DEG)
    # Against the nearest camera: in a gap no weight would be left.
    weights = np.exp(-0.5 * (apart**2 - (apart**2).min(axis=1, keepdims=True)))
    followed: Array = weights @ values / weights.sum(axis=1)
    return followed


def weighted_quantile(values: NDArray[np.floating], weights: NDArray[np.floating], share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order], dtype=np.float64)
    at = int(np.searchsorted(reached, share * reached[-1]))
    return float(values[order[min(at, len(values) - 1)]])


def _normal(vector: Array) -> Array:
    out: Array = vector / np.linalg.norm(vector)
    return out
