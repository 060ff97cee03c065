from __future__ import annotations

import numpy as np

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.splatting.film import film
from splat_pipeline.splatting.render import render


def test_a_film_is_made_of_the_pictures_that_render_draws_one_by_one() -> None:
    rng = np.random.default_rng(0)
    gaussians = Gaussians(
        means=rng.normal(size=(200, 3), scale=0.4).astype(np.float32),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (200, 1)),
        log_scales=np.full((200, 3), -2.5, np.float32),
        logit_opacities=np.ones(200, np.float32),
        sh=rng.normal(size=(200, 4, 3)).astype(np.float32),
    )
    cameras = [Camera(width_px=w, height_px=40, fx_px=60, fy_px=60, cx_px=w / 2, cy_px=20) for w in (64, 48, 64)]
    eyes = ([0, 0, -3], [2, -1, -2], [0, 0, -9])
    views = [
        View(name="", camera=c, cam_from_world=look_at(np.array(e, float), np.zeros(3)))
        for c, e in zip(cameras, eyes, strict=True)
    ]
    pictures = list(film(gaussians, views, background=(0.2, 0.1, 0.0)))
    for view, picture in zip(views, pictures, strict=True):
        want = render(gaussians, view.camera, view.cam_from_world, background=(0.2, 0.1, 0.0)).image
        np.testing.assert_array_equal(picture, want)
