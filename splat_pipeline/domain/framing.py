"""How far from its subject the preview's camera stands, so that the subject fills the picture and is not cut.

N Gaussians, S of them on the subject, V captured views, F frames. Axes and letters as in ``orbit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.orbit import look_at, weighted_quantile

Array = NDArray[np.float64]

LOOKED_AT = 0.5
"""The subject is what so large a share of the captured pictures has in frame; what more of them have weighs more."""
FILL = 0.85
"""Of the half width and half height of the picture, about the middle: so much of it the subject takes."""
HELD = 0.95
"""Share of the subject's weight that must lie within ``FILL``: the rest are stray edges."""
MOST_POINTS = 4000
"""Of the subject are looked at, evenly drawn from the list: quantiles do not need more."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What the captured views look at."""

    points: Array
    """(S, 3), world units."""
    weights: Array
    """(S,)"""
    middle: Array
    """(3,) of the box that holds ``HELD`` of the weight along each axis."""


def subject_of(points: Array, weights: Array, views: Sequence[View]) -> Subject | None:
    """Return the subject among ``points`` (N, 3), which contribute ``weights`` (N,), px, to ``views``.

    None where no point lies in the frame of ``LOOKED_AT`` of the views.
    """
    share = framed_share(points, views)
    of = np.flatnonzero((share >= LOOKED_AT) & (weights > 0))
    if not len(of):
        return None
    of = of[:: -(-len(of) // MOST_POINTS)]
    looked = weights[of] * share[of] ** 2
    low, high = (
        np.array([weighted_quantile(points[of, axis], looked, part) for axis in range(3)])
        for part in ((1 - HELD) / 2, (1 + HELD) / 2)
    )
    return Subject(points=points[of], weights=looked, middle=(low + high) / 2)


def framed_share(points: Array, views: Sequence[View]) -> Array:
    """Return the share (N,) of ``views`` whose frame holds each of ``points`` (N, 3), whatever stands before it."""
    count = np.zeros(len(points))
    for view in views:
        camera, pose = view.camera, view.cam_from_world
        x, y, z = (points @ pose[:3, :3].T + pose[:3, 3]).T
        ahead = np.maximum(z, 1e-9)
        column, row = x / ahead * camera.fx_px + camera.cx_px, y / ahead * camera.fy_px + camera.cy_px
        count += (z > 0) & (column >= 0) & (column < camera.width_px) & (row >= 0) & (row < camera.height_px)
    return count / max(1, len(views))


def distances(subject: Subject, directions: Array, camera: Camera) -> Array:
    """Return how far (F,) from the subject's middle ``camera`` stands to frame it from ``directions`` (F, 3).

    A point at (x, y, z) from the middle, in the axes of a camera that looks at the middle from d away, is at the slope
    x / (d + z): within ``FILL`` of the half width w of the picture if d >= |x| / (FILL w) - z. The same holds for y,
    and ``HELD`` of the weight wants no more than what is returned.
    """
    half_width, half_height = camera.width_px / 2 / camera.fx_px, camera.height_px / 2 / camera.fy_px
    local = subject.points - subject.middle
    out = np.empty(len(directions))
    for frame, toward in enumerate(directions):
        x, y, z = (local @ look_at(toward, np.zeros(3))[:3, :3].T).T
        wanted = np.maximum(np.abs(x) / half_width, np.abs(y) / half_height) / FILL - z
        out[frame] = weighted_quantile(wanted, subject.weights, HELD)
    return out
