"""How well cameras were found: whole and damaged reconstructions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pieces import window_model

from splat_pipeline.domain.errors import SeveralParts
from splat_pipeline.domain.metrics.poses import components, parts_of, pose_metrics
from splat_pipeline.domain.quality import judge, judge_all

IMAGES = 12


def tables_of(registered: list[bool], *, confidence: float = 0.9, clips: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = range(len(registered))
    poses = pd.DataFrame({"keyframe_id": ids, "registered": registered, "pose_confidence": confidence})
    names = [f"clip{i * clips // len(registered)}" for i in ids]
    return poses, pd.DataFrame({"keyframe_id": ids, "video_id": names, "pts_s": [i / 2 for i in ids]})


def failed(model, poses: pd.DataFrame, keyframes: pd.DataFrame) -> set[str]:
    return {v.gate for v in judge_all(pose_metrics(model, poses, keyframes)) if not v.passed}


@pytest.fixture(scope="module")
def model():
    return window_model(0, IMAGES)


def torn(model):
    """The model as if its halves saw different points: observations of half the points in either half only."""
    points = model.points
    point = np.repeat(np.arange(len(points)), points.track_lengths)
    keep = (points.track_images <= IMAGES // 2) == (point < len(points) // 2)
    lengths = np.bincount(point[keep], minlength=len(points))
    rest = replace(
        points, track_lengths=lengths, track_images=points.track_images[keep],
        track_keypoints=points.track_keypoints[keep],
    )  # fmt: skip
    return replace(model, points=rest)


def noisy(model, px: float):
    """The model with keypoints off by a normal error."""
    rng = np.random.default_rng(0)
    images = {
        i: replace(image, xys=image.xys + rng.normal(0, px, image.xys.shape)) for i, image in model.images.items()
    }
    return replace(model, images=images)


def test_a_good_reconstruction_passes_every_gate(model):
    assert failed(model, *tables_of([True] * IMAGES)) == set()


def test_frames_without_poses_fail_overall_per_clip_and_over_time(model):
    every_second = tables_of([True, False] * 6)
    assert failed(model, *every_second) == {"registered_well"}
    stretch = tables_of([True] * 10 + [False] * 2)
    assert failed(model, *stretch) == {"no_long_gap"}
    one_clip_lost = tables_of([True] * 9 + [False, True, False], clips=4)
    assert "every_clip" in failed(model, *one_clip_lost)
    assert "registered" in failed(model, *tables_of([True] * 4 + [False] * 8))


def test_poses_that_are_hardly_known_fail(model):
    assert failed(model, *tables_of([True] * IMAGES, confidence=0.05)) == {"confident", "believed"}


def test_large_errors_fail_first_as_a_warning_then_as_an_error(model):
    whole = tables_of([True] * IMAGES)
    assert failed(noisy(model, 1.5), *whole) == {"reprojection_well", "reprojection_tail"}
    assert failed(noisy(model, 5.0), *whole) >= {"reprojection", "reprojection_well"}


def test_parts_that_share_no_points_are_counted(model):
    assert components(model) == 1
    assert components(torn(model)) == 2
    assert [len(part) for part in parts_of(torn(model))] == [6, 6]
    assert judge("hangs_together", 2).limit.error is SeveralParts
    assert "hangs_together" in failed(torn(model), *tables_of([True] * IMAGES))


def test_cameras_at_one_place_triangulate_nothing(model):
    still = {i: replace(image, translation=image.translation * 0.01) for i, image in model.images.items()}
    seen = failed(replace(model, images=still), *tables_of([True] * IMAGES))
    assert {"triangulated", "triangulated_well"} <= seen


def test_short_tracks_fail(model):
    first = np.repeat(np.arange(len(model.points)) * IMAGES, 2) + np.tile([0, 1], len(model.points))
    pts = model.points
    short = replace(
        pts, track_lengths=np.full(len(pts), 2), track_images=pts.track_images[first],
        track_keypoints=pts.track_keypoints[first],
    )  # fmt: skip
    assert "tracked" in failed(replace(model, points=short), *tables_of([True] * IMAGES))
