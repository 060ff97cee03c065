"""A tiny scene that is trained in seconds without a GPU: what is true, what is seen of it, and where to begin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import SH_C0, Gaussians
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.plans import Detail, plan_for
from splat_pipeline.splatting.render import render

CAMERA = Camera(width_px=48, height_px=40, fx_px=50, fy_px=48, cx_px=25, cy_px=19)
PLAN = replace(
    plan_for(Detail.PREVIEW, seed=3),
    iterations=120,
    max_gaussians=220,
    sh_degree=1,
    trainer="gsplat",
    longer_side_px=48,
)


def truth(count: int = 160, *, degree: int = 1, seed: int = 0) -> Gaussians:
    """Return opaque blobs of many colours in a ball."""
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    sh = rng.normal(size=(count, (degree + 1) ** 2, 3)) * 0.1
    sh[:, 0] = rng.uniform(-0.5, 0.5, size=(count, 3)) / SH_C0
    return Gaussians(
        means=rng.normal(size=(count, 3)).astype(np.float32) * 0.6,
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        log_scales=rng.uniform(-2.4, -1.4, size=(count, 3)).astype(np.float32),
        logit_opacities=rng.uniform(-1, 3, size=count).astype(np.float32),
        sh=sh.astype(np.float32),
    )


def views(count: int = 8) -> list[View]:
    """Return cameras around it."""
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return [
        View(
            name=f"{i}.jpg",
            camera=CAMERA,
            cam_from_world=look_at(np.array([3 * np.cos(t), -0.8 + 0.4 * (i % 3), 3 * np.sin(t)]), np.zeros(3)),
        )
        for i, t in enumerate(turns)
    ]


def capture(**changes: object) -> dict[str, object]:
    """Return images, views, points and colors: the points are the blobs' places, shaken."""
    scene, around, rng = truth(), views(), np.random.default_rng(1)
    images = [
        np.rint(np.clip(render(scene, v.camera, v.cam_from_world).image, 0, 1) * 255).astype(np.uint8) for v in around
    ]
    points = scene.means + rng.normal(size=scene.means.shape).astype(np.float32) * 0.02
    colors = np.rint(np.clip(0.5 + SH_C0 * scene.sh[:, 0], 0, 1) * 255).astype(np.uint8)
    return {"images": images, "views": around, "points": points, "colors": colors, **changes}
