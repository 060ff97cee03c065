"""A turn about the subject: from how high, and from how far.

Axes and letters as in ``orbit``. Three wishes are weighed, in this order. No more than ``MOST_LOST`` of the pictures
may show nothing, or something right before the lens. Then the subject shall fill the picture and not be cut. Then the
camera shall look down from ``ELEVATION_DEG``. So heights are tried from the pleasant one to the filmed one, with the
distance that frames the subject; where that loses too much everywhere, again, bound nearer to the filmed distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.framing import Subject, distances
from splat_pipeline.domain.orbit import around, covered, direction, followed, look_at

Array = NDArray[np.float64]
Lost = Callable[[Sequence[View], float], Array]
"""The share (F,) of each view's picture that is empty, or that is hidden by what is nearer than so much."""

ELEVATION_DEG = (30.0, 45.0)
"""What shows a scene well, as far as MAX_RISE_DEG lets it."""
MAX_RISE_DEG = 10.0
"""The preview stays this close to the elevations that were filmed."""
SWING = 0.92
"""Share of the captured arc that is shown."""
MOST_LOST = 0.025
"""Of the pictures, on average. Filmed views lose nothing; at a tenth there are black corners."""
JUDGED = 12
"""So many frames, evenly spread, are looked at."""
LENS_SHARE = 0.25
"""Of the distance to the target: what is nearer than that is right before the lens."""
NEAREST, FARTHEST = 0.7, (1.3, 1.15, 1.0)
"""The distance stays within these shares of the filmed one."""
HEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""From the pleasant height (0) to the one that was filmed (1)."""


def turn_about(
    target: Array, subject: Subject | None, centers: Array, *, azimuths: Array, camera: Camera, lost: Lost | None
) -> list[Array]:
    """Return the poses (4, 4) at ``azimuths`` (F,) of a ``camera`` that looks at ``target``.

    Without a subject to frame the camera stands where was filmed; without ``lost`` nothing is held to be lost.
    """
    azimuth, elevation, distance = around(target, centers)
    filmed_height = followed(elevation, azimuth, azimuths)
    filmed = followed(distance, azimuth, azimuths)
    pleasant = _near_filmed(filmed_height, elevation)
    best: list[Array] = []
    least = np.inf
    for farthest in FARTHEST:
        for lowered in HEIGHTS:
            toward = direction(azimuths, (1 - lowered) * pleasant + lowered * filmed_height)
            away = filmed
            if subject is not None:
                fitting = followed(distances(subject, toward, camera), azimuths, azimuths)
                away = np.clip(fitting, NEAREST * filmed, farthest * filmed)
            poses = [look_at(target + far * way, target) for far, way in zip(away, toward, strict=True)]
            judged = poses[:: -(-len(poses) // JUDGED)]
            share = float(lost(views_of(judged, camera), LENS_SHARE * float(away.min())).mean()) if lost else 0.0
            if share < least:
                best, least = poses, share
            if share <= MOST_LOST:
                return poses
    return best


def azimuths_of(target: Array, centers: Array, *, full: bool, frames: int) -> Array:
    """Return azimuths (F,) of a full turn about ``target``, or there and back within what the cameras covered."""
    azimuth, _, _ = around(target, centers)
    at = np.arange(frames) / frames * 2 * np.pi
    if full:
        return np.asarray(azimuth[0] + at)
    start, stop = covered(azimuth)
    return np.asarray((start + stop) / 2 + np.sin(at) * (stop - start) / 2 * SWING)


def views_of(poses: Sequence[Array], camera: Camera) -> tuple[View, ...]:
    """Return ``camera`` at each of ``poses``, named by number."""
    return tuple(View(name=f"{i:05d}", camera=camera, cam_from_world=pose) for i, pose in enumerate(poses))


def _near_filmed(wanted: Array, elevation: Array) -> Array:
    """Return pleasant heights that are still near the ones that were filmed."""
    pleasant = np.clip(wanted, *np.radians(ELEVATION_DEG))
    near = np.radians(MAX_RISE_DEG)
    clipped: Array = np.clip(pleasant, elevation.min() - near, elevation.max() + near)
    return clipped
