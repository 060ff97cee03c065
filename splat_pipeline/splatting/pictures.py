"""Training images at three sizes.

An image stays (H, W, 3) uint8 as it came; coarse levels are area averages over blocks of 2x2 and 4x4 pixels. Rows and
columns that do not fill a block are left out, so that the pixel grid, and with it the camera, scales exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.layout import Float32
from splat_pipeline.splatting.project import camera_vector

UInt8 = NDArray[np.uint8]

SCALE = np.float32(1 / 255)


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One image at one size and the camera that took it, as the kernels read them."""

    image: UInt8
    """(H, W, 3)"""
    cam: Float32
    """(24,) of ``project.camera_vector``."""
    factor: int = 1
    """By how much it was made smaller."""
    number: int = 0
    """Which of the training's views it is."""


def coarse(camera: Camera, factor: int) -> Camera:
    """Return the camera of the image averaged over blocks of ``factor`` pixels."""
    return Camera(
        width_px=camera.width_px // factor,
        height_px=camera.height_px // factor,
        fx_px=camera.fx_px / factor,
        fy_px=camera.fy_px / factor,
        cx_px=camera.cx_px / factor,
        cy_px=camera.cy_px / factor,
    )


def block_mean(image: UInt8, factor: int) -> UInt8:
    """Return (H // factor, W // factor, 3), the rounded mean of each block of pixels of ``image`` (H, W, 3)."""
    if factor == 1:
        return np.ascontiguousarray(image)
    h, w = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: h * factor, : w * factor].reshape(h, factor, w, factor, 3)
    total = blocks.sum(axis=(1, 3), dtype=np.uint32)
    mean: UInt8 = ((total + factor * factor // 2) // (factor * factor)).astype(np.uint8)
    return mean


def at_size(image: UInt8, view: View, factor: int, *, number: int = 0) -> Picture:
    """Return ``image`` taken by ``view``, ``factor`` times smaller."""
    cam = camera_vector(coarse(view.camera, factor), view.cam_from_world)
    return Picture(image=block_mean(image, factor), cam=cam, factor=factor, number=number)


@njit(cache=True, parallel=True)
def to_planes(image: UInt8, planes: Float32) -> None:
    """Write ``image`` (H, W, 3) uint8 to ``planes`` (3, H, W) in [0, 1]."""
    height, width = image.shape[0], image.shape[1]
    for j in prange(height):
        for channel in range(3):
            for i in range(width):
                planes[channel, j, i] = np.float32(image[j, i, channel]) * SCALE
