"""Points for the parts of the pictures that the reconstruction says nothing of: bare walls, floors, the sky.

P points, V views. Features are found on texture, so a bare wall behind a subject has no points; Gaussians then have to
wander there through the air, and what they leave is fog. Each empty cell of a picture gets a point instead, as far away
as the farthest of the points around it, and the optimiser decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View

Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

CELLS = 24
"""Cells along the longer side of a picture."""
AROUND = 8
"""Points, nearest in the picture, whose depth is asked."""
MOST_VIEWS = 64
"""Views that are looked at: neighbours in time see the same walls."""


def cover(
    images: Sequence[UInt8], views: Sequence[View], points: Float64, rng: np.random.Generator
) -> tuple[Float64, UInt8]:
    """Return points (M, 3), world units, and colours (M, 3) sRGB for the cells without any of ``points`` (P, 3)."""
    chosen = range(0, len(views), -(-len(views) // MOST_VIEWS))
    found = [_cover_view(images[i], views[i], points, rng) for i in chosen]
    return np.concatenate([place for place, _ in found]), np.concatenate([color for _, color in found])


def _cover_view(image: UInt8, view: View, points: Float64, rng: np.random.Generator) -> tuple[Float64, UInt8]:
    camera = view.camera
    seen = points @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
    seen = seen[seen[:, 2] > 0]
    u = camera.fx_px * seen[:, 0] / seen[:, 2] + camera.cx_px
    v = camera.fy_px * seen[:, 1] / seen[:, 2] + camera.cy_px
    inside = (u >= 0) & (u < camera.width_px) & (v >= 0) & (v < camera.height_px)
    u, v, depth = u[inside], v[inside], seen[inside, 2]
    if len(depth) < AROUND:
        return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    cell_px = max(camera.width_px, camera.height_px) / CELLS
    columns, rows = (int(np.ceil(side / cell_px)) for side in (camera.width_px, camera.height_px))
    taken = np.zeros((rows, columns), bool)
    taken[(v / cell_px).astype(int), (u / cell_px).astype(int)] = True
    empty = np.argwhere(~taken)
    at = (empty[:, ::-1] + rng.uniform(size=empty.shape)) * cell_px
    at = np.minimum(at, np.array([camera.width_px, camera.height_px]) - 1e-3)  # the last cells may be cut by the edge
    squared = (at[:, :1] - u) ** 2 + (at[:, 1:] - v) ** 2
    near = np.argpartition(squared, AROUND - 1, axis=1)[:, :AROUND]
    z = depth[near].max(axis=1)
    x, y = (at[:, 0] - camera.cx_px) / camera.fx_px * z, (at[:, 1] - camera.cy_px) / camera.fy_px * z
    world = (np.stack([x, y, z], axis=1) - view.cam_from_world[:3, 3]) @ view.cam_from_world[:3, :3]
    return world, image[at[:, 1].astype(int), at[:, 0].astype(int)]
