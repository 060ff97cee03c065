"""Drift, bends, false loops and planes: what reprojection errors do not show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pieces import piece, window_model
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.errors import Drift
from splat_pipeline.domain.formats.colmap import NO_POINT, ColmapModel
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.metrics.consistency import check_pairs, consistency_metrics, planar_share
from splat_pipeline.domain.metrics.windows import loop_metrics, window_gap, window_gaps, window_metrics
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.quality import judge_all, stopping
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation, rotation_from_quat

IMAGES, POINTS = 30, 200
POSITIONS = {f"a/{i}.jpg": i for i in range(IMAGES)}
HELD = 60
"""Keypoints of each image that no point rests on."""


def pair(first: int, second: int, *, shift: int = 0) -> MatchedPair:
    """All keypoints matched; ``shift``: each to that of another point, as on a scene of stripes."""
    keys = np.arange(POINTS, dtype=np.uint32)
    matches = np.stack([keys, np.roll(keys, shift)], axis=1)
    far = second - first > 5
    return MatchedPair(first=f"a/{first}.jpg", second=f"a/{second}.jpg", far=far, matches=matches)


def graph(*, false: int = 0) -> list[MatchedPair]:
    """Neighbours, and true loops over half the way; ``false``: so many loops are look-alikes."""
    near = [pair(i, j) for i in range(IMAGES) for j in range(i + 1, min(i + 5, IMAGES))]
    loops = [pair(i, i + 15, shift=17 if i < false else 0) for i in range(10)]
    return near + loops


@pytest.fixture(scope="module")
def model() -> ColmapModel:
    """Without noise in its points, a third of the keypoints being without a point."""
    made = window_model(0, IMAGES)
    images = {}
    for i, image in made.images.items():
        ids = image.point3d_ids.copy()
        ids[:HELD] = NO_POINT
        images[i] = replace(image, point3d_ids=ids)
    return replace(made, images=images)


def drifted(model: ColmapModel, turn_deg: float) -> ColmapModel:
    """The model as if the camera had turned by so much more over the whole way, bit by bit."""
    images, before, now = {}, None, np.eye(4)
    for i, image in sorted(model.images.items()):
        pose = cam_from_world(model, i)
        if before is None:
            now = pose
        else:
            extra = np.eye(4)
            extra[:3, :3] = Rotation.from_euler("x", turn_deg / IMAGES, degrees=True).as_matrix()
            now = extra @ pose @ np.linalg.inv(before) @ now
        before = pose
        images[i] = replace(image, quat=quat_from_rotation(now[:3, :3]), translation=now[:3, 3])
    return replace(model, images=images)


def failed(model: ColmapModel, pairs: list[MatchedPair]) -> set[str]:
    verdicts = judge_all(consistency_metrics(model, pairs, POSITIONS, seed=0))
    return {verdict.gate for verdict in verdicts if not verdict.passed}


def test_true_poses_pass_although_a_few_loops_are_look_alikes(model: ColmapModel):
    assert failed(model, graph()) == set()
    assert failed(model, graph(false=2)) == set()


def test_a_way_that_drifts_and_is_not_closed_fails_though_neighbours_agree(model: ColmapModel):
    assert failed(drifted(model, 1.6), graph()) == {"loops_closed"}


def test_a_way_that_was_bent_to_close_a_false_loop_fails_at_its_neighbours(model: ColmapModel):
    assert failed(drifted(model, 20.0), graph()) >= {"neighbours_agree", "unseen_matches_well"}


def test_matches_that_no_point_rests_on_are_the_held_out_ones(model: ColmapModel):
    wrong = pair(0, 3)
    wrong.matches[:HELD, 1] = np.roll(wrong.matches[:HELD, 1], 5)
    (check,) = check_pairs(model, [wrong], POSITIONS)
    assert check.heldout > 0.02 > check.error


def test_wrong_poses_are_stopped_by_matches_that_no_adjustment_saw(model: ColmapModel):
    order = np.random.default_rng(0).permutation(sorted(model.images))
    mixed = {}
    for i, j in zip(sorted(model.images), order, strict=True):
        other = model.images[int(j)]
        mixed[i] = replace(model.images[i], quat=other.quat, translation=other.translation[[1, 0, 2]])
    verdicts = judge_all(consistency_metrics(replace(model, images=mixed), graph(), POSITIONS, seed=0))
    assert "unseen_matches" in {verdict.gate for verdict in stopping(verdicts)}
    assert {verdict.limit.error for verdict in stopping(verdicts)} == {Drift}


def test_without_loops_or_matches_the_gates_do_not_apply(model: ColmapModel):
    metrics = consistency_metrics(model, [], POSITIONS, seed=0)
    assert {metrics[name] for name in ("loop_contradicted_share", "neighbour_epipolar", "heldout_epipolar")} == {None}


@pytest.mark.parametrize(("depth", "planar"), [(0.002, True), (1.0, False)])
def test_a_wall_is_told_from_a_room(model: ColmapModel, depth: float, planar: bool):
    xyz = model.points.xyz.copy()
    xyz[:, 2] = 6 + (xyz[:, 2] - 6) * depth
    share = planar_share(replace(model, points=replace(model.points, xyz=xyz)), seed=0)
    assert share is not None
    assert (share > 0.95) == planar


@given(st.floats(0.2, 5.0), st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.integers(0, 2**31))
def test_the_planar_share_is_the_same_in_every_frame_and_unit(scale: float, shift: list[float], seed: int):
    from splat_pipeline.domain.poses import moved

    quat = np.random.default_rng(seed).normal(size=4)
    world = Similarity(scale=scale, rotation=rotation_from_quat(quat), translation=np.array(shift))
    made = window_model(0, 4, points=60)
    assert planar_share(moved(made, world), seed=1) == pytest.approx(planar_share(made, seed=1), abs=0.02)


def test_a_bent_window_is_seen_where_it_overlaps():
    first, second = piece(0, 0, 20), piece(1, 10, 30)
    assert _failed(first.poses, second.poses) == set()
    warped = drifted(second.model, 15.0)
    poses = {at: cam_from_world(warped, image_id) for at, image_id in second.ids.items()}
    assert "windows_turn_alike" in _failed(first.poses, poses)


def test_a_window_at_another_size_or_turned_is_seen():
    poses = piece(1, 10, 30).poses
    larger = Similarity(scale=1.3, rotation=np.eye(3), translation=np.zeros(3))
    turned = Similarity(scale=1.0, rotation=rotation_from_quat([1, 0, 0.05, 0]), translation=np.zeros(3))
    first = piece(0, 0, 20).poses
    assert "scale_holds" in _failed(first, {at: larger.pose(pose) for at, pose in poses.items()})
    assert "windows_turn_alike" in _failed(first, {at: turned.pose(pose) for at, pose in poses.items()})


def _failed(*windows) -> set[str]:
    return {v.gate for v in judge_all(window_metrics(window_gaps(windows))) if not v.passed}


def test_a_window_agrees_with_itself_and_the_gap_has_no_direction():
    one, other = (np.stack(list(p.poses.values())) for p in (piece(0, 0, 8), piece(0, 2, 10)))
    same = window_gap(one, one, 1.0)
    assert (same.rotation_deg, same.shift, same.scale) == pytest.approx((0, 0, 0), abs=1e-6)
    there, back = window_gap(one, other, 1.0), window_gap(other, one, 1.0)
    assert (there.rotation_deg, there.shift, there.scale) == pytest.approx((back.rotation_deg, back.shift, back.scale))


def test_loops_that_stay_open_fail_and_what_they_were_before_is_kept():
    row = {"rotation_before_deg": 6.0, "translation_before": 0.2, "rotation_after_deg": 0.3, "translation_after": 0.004}
    left = {**row, "rotation_after_deg": 5.0, "translation_after": 0.15}
    closed, opened = loop_metrics([row] * 3), loop_metrics([left] * 3)
    assert {v.gate for v in judge_all(closed) if not v.passed} == set()
    assert {v.gate for v in judge_all(opened) if not v.passed} == {"loop_gap", "loop_turn"}
    assert (closed["loop_rotation_before_deg"], closed["loop_shift_before"]) == (6.0, 0.2)
    assert set(loop_metrics([]).values()) == {None}
