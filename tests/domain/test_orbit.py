"""Where cameras stand and look: laws of poses, angles and extents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from turning import TARGET, ring

from splat_pipeline.domain.orbit import around, covered, direction, extent_of, focus_of, look_at

coordinates = st.floats(-10, 10, allow_nan=False)


@settings(deadline=None)
@given(st.tuples(coordinates, coordinates, coordinates), st.tuples(coordinates, coordinates, coordinates))
def test_a_camera_looks_at_its_target_upright_with_proper_axes(eye, target) -> None:
    eye, target = np.array(eye), np.array(target)
    if np.linalg.norm((target - eye)[[0, 2]]) < 1e-3:
        return
    pose = look_at(eye, target)
    rotation = pose[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    seen = pose @ [*target, 1]
    np.testing.assert_allclose(seen[:2], 0, atol=1e-8)
    assert seen[2] == pytest.approx(np.linalg.norm(target - eye))  # in front is +z
    above = pose @ [target[0], target[1] - 0.1, target[2], 1]
    assert above[1] < 0  # what is higher (-y) is higher in the picture (-y)
    assert abs(rotation[0, 1]) < 1e-9  # no roll: right is level


@given(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5), st.floats(0.1, 50))
def test_azimuth_and_elevation_invert_each_other(azimuth, elevation, distance) -> None:
    center = TARGET + distance * direction(np.array([azimuth]), np.array([elevation]))
    a, e, d = around(TARGET, center)
    assert (a[0], e[0], d[0]) == pytest.approx((azimuth, elevation, distance), abs=1e-9)


def test_a_few_cameras_that_look_away_do_not_move_the_focus() -> None:
    views = ring(0, 300)
    centers, axes = np.array([v.center for v in views]), np.array([v.cam_from_world[2, :3] for v in views])
    axes[::8] = [0, -1, 0]
    focus, converging = focus_of(centers, axes)
    assert converging
    np.testing.assert_allclose(focus, TARGET, atol=0.1)


def test_floaters_hardly_move_middle_and_extent() -> None:
    rng = np.random.default_rng(0)
    scene, floaters = rng.normal(size=(5000, 3), scale=0.5), rng.uniform(-80, 80, size=(150, 3))
    weights = np.concatenate([np.full(5000, 0.9), np.full(150, 0.3)])
    middle, radius = extent_of(np.concatenate([scene, floaters]), weights, share=0.95)
    _, clean = extent_of(scene, np.full(5000, 0.9), share=0.95)
    np.testing.assert_allclose(middle, 0, atol=0.05)
    assert radius == pytest.approx(clean, rel=0.1)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=30), st.floats(-20, 20))
def test_the_covered_arc_holds_every_azimuth_and_turns_with_them(azimuth, turn) -> None:
    angles = np.array(azimuth)
    start, stop = covered(angles)
    assert 0 <= stop - start <= 2 * np.pi
    past = np.mod(angles - start + 1e-9, 2 * np.pi)
    assert (past <= stop - start + 1e-6).all()
    turned = covered(angles + turn)
    assert turned[1] - turned[0] == pytest.approx(stop - start, abs=1e-6)
