"""Lens distortion of COLMAP's camera models: from rays to distorted pixels, and maps that take distortion out.

Pixel coordinates have the corner of the image at 0: the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.domain.formats.colmap import ColmapCamera

Float = NDArray[np.float64]

INSET_PX = 0.5
"""Interpolation needs pixel centres around it: half a pixel from the edge."""
UNPROJECT_STEPS = 20
_BORDER_SAMPLES = 200
_ZOOM = (0.2, 5.0)


def intrinsics(camera: ColmapCamera) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy in px."""
    p = camera.params
    if camera.model in ("PINHOLE", "OPENCV"):
        return p[0], p[1], p[2], p[3]
    return p[0], p[0], p[1], p[2]


def coefficients(camera: ColmapCamera) -> tuple[float, float, float, float]:
    """Return k1, k2, p1, p2 of the model, zero where it has none."""
    p = camera.params
    table = {
        "SIMPLE_RADIAL": lambda: (p[3], 0.0, 0.0, 0.0),
        "RADIAL": lambda: (p[3], p[4], 0.0, 0.0),
        "OPENCV": lambda: (p[4], p[5], p[6], p[7]),
    }
    return table[camera.model]() if camera.model in table else (0.0, 0.0, 0.0, 0.0)


def distort(camera: ColmapCamera, rays: ArrayLike) -> Float:
    """Return (..., 2) px where rays (..., 2) x/z, y/z are seen (Brown 1971, as COLMAP's ``sensor/models.h`` states)."""
    x, y = np.moveaxis(np.asarray(rays, np.float64), -1, 0)
    fx, fy, cx, cy = intrinsics(camera)
    k1, k2, p1, p2 = coefficients(camera)
    r2 = x * x + y * y
    radial = k1 * r2 + k2 * r2 * r2
    dx = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    dy = y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
    return np.stack([fx * (x + dx) + cx, fy * (y + dy) + cy], axis=-1)


def unproject(camera: ColmapCamera, px: ArrayLike) -> Float:
    """Return (..., 2) rays x/z, y/z seen at (..., 2) px: the inverse of ``distort``, by fixed-point iteration."""
    fx, fy, cx, cy = intrinsics(camera)
    seen = (np.asarray(px, np.float64) - [cx, cy]) / [fx, fy]
    rays = seen
    if not any(coefficients(camera)):
        return seen
    for _ in range(UNPROJECT_STEPS):
        rays = rays + seen - (distort(camera, rays) - [cx, cy]) / [fx, fy]
    return rays


def project(camera: ColmapCamera, points: ArrayLike) -> Float:
    """Return (..., 2) px of (..., 3) points in the camera's frame; NaN behind the camera."""
    p = np.asarray(points, np.float64)
    depth = np.where(p[..., 2:] > 1e-9, p[..., 2:], np.nan)
    return distort(camera, p[..., :2] / depth)


def undistorted(camera: ColmapCamera) -> Camera:
    """Return the pinhole camera of the same size and principal point, zoomed in to show valid pixels only."""
    fx, fy, cx, cy = intrinsics(camera)
    ideal = Camera(width_px=camera.width_px, height_px=camera.height_px, fx_px=fx, fy_px=fy, cx_px=cx, cy_px=cy)
    if not any(coefficients(camera)):
        return ideal
    low, high = _ZOOM
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _shows_valid_only(camera, _zoomed(ideal, middle)) else (middle, high)
    return _zoomed(ideal, high)


def _zoomed(camera: Camera, zoom: float) -> Camera:
    return Camera(
        width_px=camera.width_px,
        height_px=camera.height_px,
        fx_px=camera.fx_px * zoom,
        fy_px=camera.fy_px * zoom,
        cx_px=camera.cx_px,
        cy_px=camera.cy_px,
    )


def _shows_valid_only(camera: ColmapCamera, ideal: Camera) -> bool:
    """Look at the border only: what it encloses is inside too, while the distortion does not fold back."""
    w, h = ideal.width_px, ideal.height_px
    u, v = np.linspace(0.5, w - 0.5, _BORDER_SAMPLES), np.linspace(0.5, h - 0.5, _BORDER_SAMPLES)
    ones = np.ones(_BORDER_SAMPLES)
    edges = [(u, 0.5 * ones), (u, (h - 0.5) * ones), (0.5 * ones, v), ((w - 0.5) * ones, v)]
    px = np.concatenate([np.stack(edge, axis=-1) for edge in edges])
    at = distort(camera, _rays(ideal, px))
    return bool((at >= INSET_PX).all() and (at[:, 0] <= w - INSET_PX).all() and (at[:, 1] <= h - INSET_PX).all())


def _rays(camera: Camera, px: Float) -> Float:
    return (px - [camera.cx_px, camera.cy_px]) / [camera.fx_px, camera.fy_px]


def undistortion_maps(camera: ColmapCamera, ideal: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (H, W) x and y: where each pixel of ``ideal`` lies in the distorted image.

    In the convention of ``cv2.remap``, which has the centre of the first pixel at 0.
    """
    u, v = np.meshgrid(np.arange(ideal.width_px) + 0.5, np.arange(ideal.height_px) + 0.5)
    at = distort(camera, _rays(ideal, np.stack([u, v], axis=-1))) - 0.5
    return at[..., 0].astype(np.float32), at[..., 1].astype(np.float32)
