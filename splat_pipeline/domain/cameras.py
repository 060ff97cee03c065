"""Pinhole cameras and views.

Axes are OpenCV's (+x right, +y down, +z forward). Pixel coordinates are COLMAP's: (0, 0) is the corner of the
image, so the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Camera:
    """An ideal pinhole camera: lens distortion has been removed from the images that it describes."""

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    """From the left edge of the image, not from the centre of the first pixel."""
    cy_px: float

    def __post_init__(self) -> None:
        if self.width_px < 1 or self.height_px < 1:
            raise ValueError(f"camera of {self.width_px}x{self.height_px} px has no pixels")
        if not (
            np.isfinite([self.fx_px, self.fy_px, self.cx_px, self.cy_px]).all() and min(self.fx_px, self.fy_px) > 0
        ):
            raise ValueError(f"focal lengths must be positive and finite, got {self.fx_px}, {self.fy_px}")

    def resized(self, width_px: int, height_px: int) -> Camera:
        """Return the same camera for the same picture resampled to ``width_px`` x ``height_px``."""
        sx, sy = width_px / self.width_px, height_px / self.height_px
        return Camera(
            width_px=width_px,
            height_px=height_px,
            fx_px=self.fx_px * sx,
            fy_px=self.fy_px * sy,
            cx_px=self.cx_px * sx,
            cy_px=self.cy_px * sy,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A camera at a place."""

    name: str
    camera: Camera
    cam_from_world: NDArray[np.float64]
    """(4, 4) rigid transform, world units."""

    @property
    def center(self) -> NDArray[np.float64]:
        """(3,) position of the camera in the world."""
        rotation = self.cam_from_world[:3, :3]
        center: NDArray[np.float64] = -rotation.T @ self.cam_from_world[:3, 3]
        return center
