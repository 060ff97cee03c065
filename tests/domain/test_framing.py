"""The subject fills the picture over the whole turn, is not cut, and what few cameras looked at is no subject."""

from __future__ import annotations

import numpy as np
import pytest
from turning import CAMERA, TARGET, ball, ring

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.framing import HELD, distances, framed_share, subject_of
from splat_pipeline.domain.orbit import direction, look_at

TALL = Camera(width_px=360, height_px=640, fx_px=500, fy_px=500, cx_px=180, cy_px=320)


def filled(points: np.ndarray, view: View) -> float:
    """Share of the half picture that all but 1 - HELD of the points reach: 1 touches an edge."""
    x, y, z = (points @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]).T
    across = np.abs(x) / z * view.camera.fx_px / (view.camera.width_px / 2)
    down = np.abs(y) / z * view.camera.fy_px / (view.camera.height_px / 2)
    return float(np.quantile(np.maximum(across, down), HELD))


@pytest.mark.parametrize("camera", [CAMERA, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("stretch", [(1, 1, 1), (3, 0.4, 1), (0.3, 2, 0.3)], ids=["ball", "slab", "pole"])
@pytest.mark.parametrize("size", [0.05, 7.0])
def test_the_subject_takes_85_hundredths_of_the_picture_from_every_side(camera, stretch, size) -> None:
    points = TARGET + size * ball() * stretch
    views = ring(0, 340, away=40 * size)
    subject = subject_of(points, np.ones(len(points)), views)
    assert subject is not None
    toward = direction(np.linspace(0, 6, 25), np.full(25, 0.5))
    for way, away in zip(toward, distances(subject, toward, camera), strict=True):
        view = View(name="", camera=camera, cam_from_world=look_at(subject.middle + away * way, subject.middle))
        assert filled(points, view) == pytest.approx(0.85, abs=0.01)


def test_the_subject_is_what_most_cameras_have_in_their_frame_however_much_lies_around() -> None:
    rng = np.random.default_rng(0)
    behind = TARGET + 30 * direction(rng.uniform(0, 2 * np.pi, 20000), rng.uniform(-0.5, 0.5, 20000))
    points = np.concatenate([TARGET + 0.5 * ball(), behind])
    subject = subject_of(points, np.ones(len(points)), ring(0, 340))
    assert subject is not None
    assert np.linalg.norm(subject.points - TARGET, axis=1).max() <= 0.5
    np.testing.assert_allclose(subject.middle, TARGET, atol=0.02)


def test_what_contributes_nothing_does_not_move_the_subject() -> None:
    points = TARGET + np.concatenate([0.3 * ball(), 0.1 * ball() + [0.5, 0, 0]])
    weights = np.concatenate([np.ones(len(ball())), np.zeros(len(ball()))])
    subject = subject_of(points, weights, ring(0, 340))
    assert subject is not None
    np.testing.assert_allclose(subject.middle, TARGET, atol=0.02)


def test_cameras_that_have_nothing_in_common_have_no_subject() -> None:
    points = TARGET + np.array([[0.0, 0, -5], [0.0, 0, 5]])
    views = [
        View(name="", camera=CAMERA, cam_from_world=look_at(TARGET, TARGET + np.array(way)))
        for way in ([0, 0, 1.0], [0, 0, -1.0], [1.0, 0, 0])
    ]
    assert framed_share(points, views).tolist() == pytest.approx([1 / 3, 1 / 3])
    assert subject_of(points, np.ones(2), views) is None
