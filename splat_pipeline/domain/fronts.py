"""Where the triangulated points begin in the pictures: what hangs well before them is no surface that was seen.

A front is one view's grid of cells, each with the depth of its nearest point. P points, N places; depths are the
world's units along the camera's axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View

Float = NDArray[np.float64]

BEFORE = 0.9
"""Of the distance of the nearest triangulated point around: what a camera meets before that hides it. Measured: up to
2 % of the pictures of real captures, 9 % with a thousand blobs in the air; at 0.7 these are hardly told apart."""
CELLS = 24
"""Along the longer side of the picture."""
LEAST_VIEWS = 3
"""Fewer tell nothing of a place."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Front:
    """What one view knows."""

    view: View
    nearest: Float
    """(h, w) depth of the nearest point in each cell; inf without any."""
    around: Float
    """(h, w) the least of a cell and those around it."""


def front_of(view: View, points: Float) -> Front:
    """Return the front of ``points`` (P, 3) in a view."""
    camera = view.camera
    side = max(camera.width_px, camera.height_px) / CELLS
    shape = max(1, round(camera.height_px / side)), max(1, round(camera.width_px / side))
    nearest = np.full(shape, np.inf)
    seen, row, column, depth = _cells(view, shape, points)
    np.minimum.at(nearest, (row, column), depth[seen])
    padded = np.pad(nearest, 1, constant_values=np.inf)
    around = np.min([padded[i : i + shape[0], j : j + shape[1]] for i in range(3) for j in range(3)], axis=0)
    return Front(view=view, nearest=nearest, around=around)


def hidden_of(front: Front, depth: NDArray[np.float32]) -> float | None:
    """Return the share of a picture, where it has points, that ends before them; None where it has none.

    ``depth`` (H, W) of what is drawn, 0 where nothing is.
    """
    rows = np.arange(depth.shape[0]) * front.nearest.shape[0] // depth.shape[0]
    columns = np.arange(depth.shape[1]) * front.nearest.shape[1] // depth.shape[1]
    known = np.isfinite(front.nearest)[np.ix_(rows, columns)]
    hides = (depth > 0) & (depth < BEFORE * front.around[np.ix_(rows, columns)])
    return float(hides[known].mean()) if known.any() else None


def air_share(fronts: Sequence[Front], places: Float) -> Float:
    """Return (N,) in which share of the views that show it against points a place (N, 3) hangs before all of them.

    A view does not show what lies well behind its points. 0 where fewer than ``LEAST_VIEWS`` show it.
    """
    shown, before = np.zeros(len(places), int), np.zeros(len(places), int)
    for front in fronts:
        seen, row, column, depth = _cells(front.view, front.nearest.shape, places)
        around = front.around[row, column]
        known = np.isfinite(front.nearest[row, column]) & (depth[seen] < around / BEFORE)
        shown[seen] += known
        before[seen] += known & (depth[seen] < BEFORE * around)
    share: Float = np.where(shown >= LEAST_VIEWS, before / np.maximum(shown, 1), 0.0)
    return share


def _cells(
    view: View, shape: tuple[int, ...], places: Float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Float]:
    """Return which of (N, 3) places a view shows, (M,) their cells' rows and columns, and the depths of all, (N,)."""
    camera, placed = view.camera, places @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
    depth = placed[:, 2]
    ahead = np.flatnonzero(depth > 0)
    x = camera.fx_px * placed[ahead, 0] / depth[ahead] + camera.cx_px
    y = camera.fy_px * placed[ahead, 1] / depth[ahead] + camera.cy_px
    inside = (x >= 0) & (x < camera.width_px) & (y >= 0) & (y < camera.height_px)
    row = (y[inside] / camera.height_px * shape[0]).astype(np.intp)
    column = (x[inside] / camera.width_px * shape[1]).astype(np.intp)
    return ahead[inside], row, column, depth
