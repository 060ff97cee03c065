"""Training images and their cameras on the device, at the resolution that is trained now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.splatting.pictures import block_mean, coarse

CELL_PX = 16
"""Side of the squares of a picture in which only points near the nearest are believed to be seen."""
BEHIND = 1.1
"""Times the depth of the nearest point of the square: what is farther may be hidden."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One image at one size."""

    number: int
    factor: int
    truth: Any
    """(H, W, 3) uint8 on the device."""
    viewmat: Any
    """(4, 4) cam_from_world."""
    lens: Any
    """(3, 3)"""
    size: tuple[int, int]
    """Width and height, px."""
    places: Any
    """(P, 2) where sparse points are seen, in [-1, 1] as ``grid_sample`` has it."""
    inverse_depths: Any
    """(P,)"""

    def image(self) -> Any:
        """Return (H, W, 3) float32 in [0, 1]."""
        return self.truth.float() / 255


def pictures_of(
    images: Sequence[NDArray[np.uint8]],
    views: Sequence[View],
    factor: int,
    *,
    points: NDArray[np.floating],
    device: Any,
) -> list[Picture]:
    """Return all images ``factor`` times smaller. ``points`` (P, 3): those whose depth is to be known, or none."""
    return [
        _picture(n, image, view, factor, points=points, device=device)
        for n, (image, view) in enumerate(zip(images, views, strict=True))
    ]


def _picture(
    number: int, image: NDArray[np.uint8], view: View, factor: int, *, points: NDArray[np.floating], device: Any
) -> Picture:
    camera = coarse(view.camera, factor)
    lens = [[camera.fx_px, 0, camera.cx_px], [0, camera.fy_px, camera.cy_px], [0, 0, 1]]
    places, depths = visible(view, points)
    return Picture(
        number=number,
        factor=factor,
        truth=torch.tensor(block_mean(image, factor), device=device),
        viewmat=torch.tensor(view.cam_from_world, dtype=torch.float32, device=device),
        lens=torch.tensor(lens, dtype=torch.float32, device=device),
        size=(camera.width_px, camera.height_px),
        places=torch.tensor(places, dtype=torch.float32, device=device),
        inverse_depths=torch.tensor(1 / depths, dtype=torch.float32, device=device),
    )


def visible(view: View, points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where in the picture, (M, 2) in [-1, 1], and how deep, (M,), the points (P, 3) are that are likely seen.

    In each square of ``CELL_PX`` those are left out that lie clearly behind the nearest: a wall may be before them.
    """
    camera = view.camera
    seen = points @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
    seen = seen[seen[:, 2] > 0.01].astype(np.float64)
    x = camera.fx_px * seen[:, 0] / seen[:, 2] + camera.cx_px
    y = camera.fy_px * seen[:, 1] / seen[:, 2] + camera.cy_px
    inside = (x >= 0) & (x < camera.width_px) & (y >= 0) & (y < camera.height_px)
    x, y, z = x[inside], y[inside], seen[inside, 2]
    cells = (y // CELL_PX).astype(np.int64) * (camera.width_px // CELL_PX + 1) + (x // CELL_PX).astype(np.int64)
    nearest = np.full(int(cells.max(initial=0)) + 1, np.inf)
    np.minimum.at(nearest, cells, z)
    front = z <= BEHIND * nearest[cells]
    places = np.stack([2 * x / camera.width_px - 1, 2 * y / camera.height_px - 1], axis=1)
    return places[front], z[front]
