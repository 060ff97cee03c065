"""Similarities between windows from what both saw, and which windows are doubted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from splat_pipeline.domain.alignment import LEAST_SHARED, Piece, Shared, align, overlap_of, suspects
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.poses import moved
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation, rotation_from_quat
from splat_pipeline.domain.windows import Window

MOVED = Similarity(
    scale=3.0, rotation=rotation_from_quat([0.8, 0.1, -0.5, 0.3]), translation=np.array([4.0, -2.0, 9.0])
)


def window_model(first, stop, *, seed=0, points=200):
    """Images in a row, 0.2 apart, that look at a cloud; keypoint k of every image is point k of one world."""
    xyz = np.random.default_rng(1).uniform([-2, -2, 4], [8, 2, 8], (points, 3))
    camera = ColmapCamera(model="SIMPLE_PINHOLE", width_px=800, height_px=600, params=(500.0, 400.0, 300.0))
    images, track = {}, []
    for image_id, at in enumerate(range(first, stop), start=1):
        shift = np.array([-0.2 * at, 0.0, 0.0])
        local = xyz + shift
        images[image_id] = ColmapImage(
            name=f"a/{at}.jpg",
            camera_id=0,
            quat=quat_from_rotation(np.eye(3)),
            translation=shift,
            xys=500 * local[:, :2] / local[:, 2:] + [400, 300],
            point3d_ids=np.arange(points) + 7,
        )
        track.append(image_id)
    cloud = ColmapPoints(
        ids=np.arange(points) + 7,
        xyz=xyz + np.random.default_rng(seed).normal(0, 0.01, xyz.shape),
        rgb=np.zeros((points, 3), np.uint8),
        error_px=np.zeros(points),
        track_lengths=np.full(points, len(track)),
        track_images=np.tile(track, points),
        track_keypoints=np.repeat(np.arange(points), len(track)),
    )
    return ColmapModel(cameras={0: camera}, images=images, points=cloud)


def piece(window_id, first, stop, *, world=None, **how):
    model = window_model(first, stop, seed=window_id, **how)
    positions = {f"a/{i}.jpg": i for i in range(100)}
    window = Window(window_id=window_id, first=first, stop=stop)
    return Piece(window=window, model=moved(model, world) if world else model, positions=positions)


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


def neighbours(first, stop, config):
    matches = np.zeros((40, 2), np.uint32)
    return [
        MatchedPair(first=f"a/{i}.jpg", second=f"a/{i + 1}.jpg", far=False, matches=matches, config=config)
        for i in range(first, stop - 1)
    ]


def test_views_of_one_plane_are_doubted():
    pieces = [piece(0, 0, 20), piece(1, 20, 40)]
    pairs = [*neighbours(0, 20, "UNCALIBRATED"), *neighbours(20, 40, "PLANAR_OR_PANORAMIC")]
    found = suspects(pieces, pairs)
    assert list(found) == [1]
    assert found[1].startswith("100 % of its neighbouring views")


def test_an_error_far_above_the_others_is_doubted():
    pieces = [piece(i, 20 * i, 20 * i + 20) for i in range(3)]
    images = {
        i: replace(image, xys=image.xys + np.random.default_rng(i).normal(0, 20, image.xys.shape))
        for i, image in pieces[1].model.images.items()
    }
    pieces[1] = replace(pieces[1], model=replace(pieces[1].model, images=images))
    found = suspects(pieces, neighbours(0, 60, "UNCALIBRATED"))
    assert list(found) == [1]
    assert "its error is" in found[1]
