"""What a Gaussian contributes is what the slow renderer shows of it alone among the others."""

from __future__ import annotations

import numpy as np
import pytest
import slow_splats as oracle

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import SH_C0, Gaussians
from splat_pipeline.splatting.contribution import contributions

CAMERA = Camera(width_px=70, height_px=45, fx_px=60, fy_px=64, cx_px=33, cy_px=24)


def scene(n: int = 60) -> Gaussians:
    r = np.random.default_rng(3)
    return Gaussians(
        means=r.uniform([-2, -2, 1], [2, 2, 6], (n, 3)).astype("f4"),
        quats=r.normal(size=(n, 4)).astype("f4"),
        log_scales=r.normal(-2, 0.6, (n, 3)).astype("f4"),
        logit_opacities=r.normal(0, 2, n).astype("f4"),
        sh=r.normal(0, 0.3, (n, 4, 3)).astype("f4"),
    )


def moved(x: float) -> View:
    pose = np.eye(4)
    pose[0, 3] = x
    return View(name=str(x), camera=CAMERA, cam_from_world=pose)


def shown_alone(g: Gaussians, which: int, view: View) -> float:
    """The light of Gaussian ``which``, white, where all others are black but hide as they do."""
    p = {k: getattr(g, k).astype(float) for k in ("means", "quats", "log_scales", "logit_opacities")}
    colors = np.full((len(g), 1, 3), -9.0)
    colors[which] = 0.5 / SH_C0
    return float(oracle.render({**p, "sh": colors}, CAMERA, view.cam_from_world, degree=0)[0][..., 0].sum())


def test_a_contribution_is_the_weight_in_all_pixels_of_all_views() -> None:
    g, views = scene(), [moved(0), moved(0.5)]
    got = contributions(g, views)
    assert got.shape == (60,)
    for which in (*np.argsort(got)[[0, 20, 40, -1]], 7):
        want = sum(shown_alone(g, int(which), view) for view in views)
        assert got[which] == pytest.approx(want, rel=1e-3, abs=1e-3)
    assert (got > 1).sum() > 20


def test_what_no_view_shows_contributes_nothing() -> None:
    g = scene()
    g.means[:5, 2] = -3
    g.logit_opacities[5] = -9
    got = contributions(g, [moved(0)])
    assert (got[:6] == 0).all()
    assert contributions(g, []).tolist() == [0] * 60
    assert contributions(g.take(slice(0)), [moved(0)]).shape == (0,)
