"""Similarities between windows from what both saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pieces import MOVED, piece

from splat_pipeline.domain.alignment import LEAST_SHARED, Shared, align, overlap_of


def assert_same(found, true, tolerance):
    assert found.scale == pytest.approx(true.scale, rel=tolerance)
    np.testing.assert_allclose(found.rotation, true.rotation, atol=tolerance)
    np.testing.assert_allclose(found.translation, true.translation, atol=5 * tolerance)


def test_two_windows_are_aligned_by_the_frames_they_share():
    a, b = piece(0, 0, 20), piece(1, 15, 35, world=MOVED)
    found = align(overlap_of(a, b), seed=0)
    assert found.shared == 5 * 200
    assert found.inliers > 0.9 * found.shared
    assert_same(found.first_from_second, MOVED.inverse(), 0.01)


def test_half_of_the_shared_points_may_be_wrong():
    a, b = piece(0, 0, 20), piece(1, 15, 35, world=MOVED)
    wrong = np.random.default_rng(0).permutation(200)[:110]
    points = replace(b.model.points, xyz=b.model.points.xyz.copy())
    points.xyz[wrong] = np.random.default_rng(1).permutation(points.xyz[wrong])
    found = align(overlap_of(a, replace(b, model=replace(b.model, points=points))), seed=0)
    assert 0.4 < found.inliers / found.shared < 0.5
    assert_same(found.first_from_second, MOVED.inverse(), 0.02)


def test_too_few_or_unrelated_points_give_no_alignment():
    a, b = piece(0, 0, 20), piece(1, 15, 35)
    few, shared = np.arange(LEAST_SHARED - 1), Shared()
    shared.add((a, 15, few), (b, 15, few))
    assert align(shared, seed=0) is None
    mixed = Shared()
    mixed.add((a, 15, np.arange(200)), (b, 15, np.random.default_rng(0).permutation(200)))
    assert align(mixed, seed=0) is None
    assert align(overlap_of(a, piece(2, 40, 60)), seed=0) is None


def test_keypoints_without_a_point_are_passed_over():
    a = piece(0, 0, 5)
    ids = a.model.images[1].point3d_ids.copy()
    ids[::2] = -1
    images = {**a.model.images, 1: replace(a.model.images[1], point3d_ids=ids)}
    known, xyz = replace(a, model=replace(a.model, images=images)).points_of(0, np.arange(4))
    assert known.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(xyz[1], a.model.points.xyz[1])
    assert not xyz[0].any()


def test_a_window_has_the_size_one_in_its_unit_frame():
    a = piece(0, 0, 20, world=MOVED)
    unit = a.window_from_unit.inverse().points(a.centers)
    np.testing.assert_allclose(unit.mean(0), 0, atol=1e-9)
    assert np.sqrt((unit**2).sum(1).mean()) == pytest.approx(1)
    alone = piece(0, 0, 1)
    assert alone.window_from_unit.scale == pytest.approx(
        0.1 * np.median(np.linalg.norm(alone.model.points.xyz, axis=1))
    )
