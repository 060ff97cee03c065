"""How a turn's height and distance are weighed against holes."""

from __future__ import annotations

import numpy as np
import pytest
from turning import CAMERA, TARGET, ball, ring

from splat_pipeline.domain.framing import Subject, subject_of
from splat_pipeline.domain.orbit import around, direction
from splat_pipeline.domain.turns import MOST_LOST, Lost, azimuths_of, turn_about, views_of

FILMED_DEG = 10.0


def turned(*, radius: float, lost: Lost | None) -> tuple[float, float]:
    """Height in degrees and distance of a turn around a ball that was filmed from 3 away, 10 degrees up."""
    views = ring(0, 340, elevation_deg=FILMED_DEG, spread=0)
    points = TARGET + radius * ball()
    subject = subject_of(points, np.ones(len(points)), ring(0, 340, away=50))
    assert isinstance(subject, Subject)
    centers = np.array([view.center for view in views])
    azimuths = azimuths_of(TARGET, centers, full=True, frames=36)
    poses = turn_about(TARGET, subject, centers, azimuths=azimuths, camera=CAMERA, lost=lost)
    _, height, away = around(TARGET, np.array([view.center for view in views_of(poses, CAMERA)]))
    assert np.ptp(height) < 0.01
    return float(np.degrees(height.mean())), float(away.mean())


def no_more_than(*, height_deg: float = 90, away: float = 1e9) -> Lost:
    """A world in which higher or farther off there are holes."""

    def lost(views, _near):
        _, height, distance = around(TARGET, np.array([view.center for view in views]))
        return np.where((np.degrees(height) > height_deg + 0.01) | (distance > away + 0.01), 2 * MOST_LOST, 0)

    return lost


def test_without_holes_the_subject_is_framed_from_as_high_as_is_near_what_was_filmed() -> None:
    height, away = turned(radius=1.0, lost=no_more_than())
    assert height == pytest.approx(20, abs=0.1)
    assert away == pytest.approx(3, rel=0.15)


def test_a_subject_that_was_filmed_too_near_is_stood_back_from_and_one_too_far_is_approached_within_bounds() -> None:
    assert turned(radius=1.1, lost=None)[1] == pytest.approx(3.3, rel=0.05)
    assert turned(radius=1.5, lost=None)[1] == pytest.approx(3 * 1.3, abs=0.01)
    assert turned(radius=0.1, lost=None)[1] == pytest.approx(3 * 0.7, abs=0.01)


def test_where_holes_show_from_above_the_height_gives_way_before_the_framing() -> None:
    framed = turned(radius=1.1, lost=None)[1]
    height, away = turned(radius=1.1, lost=no_more_than(height_deg=15))
    assert height == pytest.approx(15, abs=0.1)
    assert away == pytest.approx(framed, rel=0.02)


def test_where_holes_show_from_everywhere_so_far_off_the_framing_gives_way_and_the_height_stays() -> None:
    height, away = turned(radius=1.5, lost=no_more_than(away=3.5))
    assert height == pytest.approx(20, abs=0.1)
    assert away == pytest.approx(3 * 1.15, abs=0.01)


def test_where_nothing_is_without_holes_the_turn_with_the_least_is_taken() -> None:
    def lost(views, _near):
        _, height, distance = around(TARGET, np.array([view.center for view in views]))
        return 0.1 + np.degrees(height) / 100 + distance / 100

    height, away = turned(radius=1.5, lost=lost)
    assert height == pytest.approx(FILMED_DEG, abs=0.1)
    assert away == pytest.approx(3, abs=0.01)


def test_what_is_before_the_lens_is_told_with_the_distance_that_counts_as_near() -> None:
    seen = []

    def lost(views, near):
        seen.append(near)
        return np.zeros(len(views))

    _, away = turned(radius=1.1, lost=lost)
    assert seen == [pytest.approx(away / 4, rel=0.02)]


def test_without_a_subject_height_and_distance_are_those_of_the_captured_cameras_there() -> None:
    turn = np.radians(np.linspace(-80, 80, 60))
    away, up = 3 + np.sin(turn), np.radians(38) + 0.1 * np.cos(2 * turn)
    centers = TARGET + away[:, None] * direction(turn, up)
    azimuths = azimuths_of(TARGET, centers, full=False, frames=36)
    poses = turn_about(TARGET, None, centers, azimuths=azimuths, camera=CAMERA, lost=None)
    azimuth, height, distance = around(TARGET, np.array([view.center for view in views_of(poses, CAMERA)]))
    np.testing.assert_allclose(distance, np.interp(azimuth, turn, away), atol=0.25)
    np.testing.assert_allclose(height, np.interp(azimuth, turn, up), atol=0.06)
