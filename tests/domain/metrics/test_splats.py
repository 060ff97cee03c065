"""Gaussians that went wrong in one way fail the gate for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.metrics.splats import (
    flicker,
    floater_share,
    hidden_share,
    loss_ratio,
    nan_share,
    shape_metrics,
)
from splat_pipeline.domain.quality import judge_all, table_for

N = 400


def cloud() -> Gaussians:
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(N, 4)).astype(np.float32)
    return Gaussians(
        means=rng.normal(size=(N, 3)).astype(np.float32),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        log_scales=rng.normal(-3, 0.4, size=(N, 3)).astype(np.float32),
        logit_opacities=np.full(N, 1.0, np.float32),
        sh=np.zeros((N, 4, 3), np.float32),
    )


def with_part(name: str, value, share: float) -> Gaussians:
    values = getattr(cloud(), name).copy()
    values[: round(share * N)] = value
    return replace(cloud(), **{name: values})


def failed(metrics) -> set[str]:
    return {v.gate for v in judge_all(metrics) if not v.passed}


def test_a_sane_cloud_passes():
    assert failed(shape_metrics(cloud())) == set()


@pytest.mark.parametrize(
    ("name", "value", "share", "gate"),
    [
        ("means", np.nan, 0.01, "finite"),
        ("sh", np.inf, 0.01, "finite"),
        ("log_scales", 3.0, 0.05, "sizes_sane"),
        ("logit_opacities", -6.0, 0.8, "few_transparent"),
        ("log_scales", np.array([-1.0, -6.0, -6.0], np.float32), 0.7, "few_needles"),
    ],
)
def test_gaussians_that_are_wrong_in_one_way_fail_the_gate_for_it(name: str, value, share: float, gate: str):
    assert failed(shape_metrics(with_part(name, value, share))) == {gate}


@given(st.integers(0, N))
def test_the_share_of_broken_gaussians_is_counted(broken: int):
    assert nan_share(with_part("logit_opacities", np.nan, broken / N)) == pytest.approx(broken / N, abs=1 / N)


def test_no_gaussians_at_all_are_not_finite():
    assert failed(shape_metrics(cloud().take(np.zeros(N, bool)))) == {"finite"}


def test_what_hangs_before_the_cameras_is_a_floater_and_what_was_triangulated_there_is_not():
    eyes = np.array([[0.0, 0.0, -10.0], [1.0, 0.0, -10.0]])
    points = cloud().means.astype(float)
    hanging = with_part("means", np.array([0.5, 0.0, -9.8], np.float32), 0.2)
    clean, bad = (floater_share(g, eyes, points) for g in (cloud(), hanging))
    assert clean == 0.0
    assert failed({"floater_share": bad}) == {"few_floaters"}
    near = np.concatenate([points, [[0.5, 0.0, -9.9]]])
    assert floater_share(hanging, eyes, near) < 0.01


def course(*losses: float) -> list[dict[str, float]]:
    return [{"loss": loss} for loss in losses]


def wall(depth_m: float, *, hole: float = 0.0) -> tuple[np.ndarray, View]:
    """What a camera at the origin sees of a wall, nothing at all in a share of the picture."""
    camera = Camera(width_px=96, height_px=64, fx_px=80, fy_px=80, cx_px=48, cy_px=32)
    depth = np.full((64, 96), depth_m, np.float32)
    depth[:, : round(96 * hole)] = 0
    return depth, View(name="a", camera=camera, cam_from_world=np.eye(4))


@pytest.mark.parametrize(("drawn_m", "share"), [(2.0, 0.0), (1.9, 0.0), (2.5, 0.0), (1.0, 1.0), (0.0, 0.0)])
def test_what_ends_before_the_triangulated_points_hides_them(drawn_m: float, share: float):
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, 60), np.linspace(-0.8, 0.8, 40))
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, 2.0)], axis=1)
    assert hidden_share([wall(drawn_m)], points) == pytest.approx(share)


def test_where_nothing_is_drawn_and_where_nothing_was_triangulated_nothing_is_hidden():
    x, y = np.meshgrid(np.linspace(-1.2, -0.1, 40), np.linspace(-0.8, 0.8, 40))
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, 2.0)], axis=1)
    assert hidden_share([wall(1.0, hole=0.25)], points) == pytest.approx(0.5, abs=0.05)
    assert hidden_share([wall(1.0)], points - [0, 0, 9]) is None
    assert hidden_share([], points) is None
    assert failed({"hidden_share": 0.07}) == {"little_hides"}
    assert failed({"hidden_share": 0.5}) == {"little_hides", "nothing_hides"}


def test_a_loss_that_did_not_fall_is_an_untrained_splat():
    assert failed({"loss_ratio": loss_ratio(course(0.5, 0.4, 0.3, 0.2, 0.1, 0.1))}) == set()
    assert failed({"loss_ratio": loss_ratio(course(0.5, 0.49, 0.5, 0.48, 0.5, 0.49))}) == {"loss_fell"}
    assert loss_ratio(course(0.5)) is None


def film(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """A texture that moves by two pixels a frame."""
    rng = np.random.default_rng(seed)
    wide = np.repeat(rng.random((40, 120, 3)), 2, axis=1).astype(np.float32)
    return [wide[:, 2 * i : 2 * i + 60] for i in range(count)]


def test_a_rendering_that_follows_the_film_is_steady_and_one_that_flashes_is_not():
    real = film(8)
    dimmer = [0.8 * picture + 0.05 for picture in real]
    flashing = [picture * (0.1 if i % 2 else 1.0) for i, picture in enumerate(real)]
    still = [real[0]] * 8
    assert flicker(zip(real, real, strict=True)) == pytest.approx(0, abs=1e-6)
    assert failed({"flicker": flicker(zip(dimmer, real, strict=True))}) == set()
    assert flicker(zip(still, real, strict=True)) == pytest.approx(1, abs=1e-6)
    assert failed({"flicker": flicker(zip(flashing, real, strict=True))}) == {"steady"}
    assert flicker([(real[0], real[0])]) is None


def test_what_moves_in_a_dynamic_scene_does_not_count():
    real = film(8)
    seen = [picture.copy() for picture in real]
    rng = np.random.default_rng(1)
    for picture in real:
        picture[:10] = rng.random((10, 60, 3))  # a quarter of the picture moves, and was not reconstructed
    whole = flicker(zip(seen, real, strict=True))
    masked = flicker(zip(seen, real, strict=True), moving_share=0.25)
    assert whole is not None
    assert masked is not None
    assert masked < 0.1 * whole


def test_dynamic_scenes_may_flicker_more():
    assert not judge_all({"flicker": 0.8}, table_for("object"))[0].passed
    assert judge_all({"flicker": 0.8}, table_for("dynamic"))[0].passed
