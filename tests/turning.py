"""A cloud at TARGET and cameras around it."""

from __future__ import annotations

import numpy as np

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import direction, look_at

CAMERA = Camera(width_px=640, height_px=360, fx_px=550, fy_px=550, cx_px=320, cy_px=180)
TARGET = np.array([0.3, -0.2, 0.5])


def cloud(radius: float = 1.0, n: int = 2000) -> Gaussians:
    """n small Gaussians at TARGET, of a normal distribution."""
    rng = np.random.default_rng(0)
    return Gaussians(
        means=(TARGET + rng.normal(size=(n, 3), scale=radius / 2)).astype(np.float32),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1)),
        log_scales=np.full((n, 3), -4, np.float32),
        logit_opacities=np.full(n, 2, np.float32),
        sh=np.zeros((n, 1, 3), np.float32),
    )


def ball(n: int = 3000) -> np.ndarray:
    """(n, 3) evenly within a ball of radius 1."""
    rng = np.random.default_rng(2)
    points = rng.normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True) * rng.uniform(size=(n, 1)) ** (1 / 3)


def ring(
    start_deg: float,
    stop_deg: float,
    *,
    elevation_deg: float = 25,
    n: int = 40,
    away: float = 3.0,
    spread: float = 0.05,
) -> list[View]:
    """Cameras around TARGET that look at about it."""
    turn = np.radians(np.linspace(start_deg, stop_deg, n))
    rng = np.random.default_rng(1)
    eyes = TARGET + away * direction(turn, np.full(n, np.radians(elevation_deg)))
    aims = TARGET + rng.normal(size=(n, 3), scale=spread)
    return [View(name="", camera=CAMERA, cam_from_world=look_at(e, a)) for e, a in zip(eyes, aims, strict=True)]
