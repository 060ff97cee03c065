import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splat_pipeline.domain.rigid import (
    Similarity,
    angle_deg,
    fit_similarity,
    inverse,
    quat_from_rotation,
    rigid,
    rotation_from_quat,
)

numbers = st.floats(-10, 10, allow_subnormal=False)
vectors = arrays(np.float64, 3, elements=numbers)
quats = arrays(np.float64, 4, elements=st.floats(-1, 1, allow_subnormal=False)).filter(
    lambda q: np.linalg.norm(q) > 0.01
)
motions = st.builds(lambda q, t: rigid(rotation_from_quat(q), t), quats, vectors)
similarities = st.builds(
    lambda s, q, t: Similarity(scale=s, rotation=rotation_from_quat(q), translation=t),
    st.floats(0.1, 10),
    quats,
    vectors,
)


def is_rotation(matrix):
    return np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9) and np.linalg.det(matrix) > 0


@given(quats)
def test_a_quaternion_and_its_negative_are_one_rotation(quat):
    rotation = rotation_from_quat(quat)
    assert is_rotation(rotation)
    assert np.allclose(rotation, rotation_from_quat(-quat))


@given(quats)
def test_rotation_and_quaternion_go_both_ways(quat):
    rotation = rotation_from_quat(quat)
    back = quat_from_rotation(rotation)
    assert back[0] >= 0
    assert np.isclose(np.linalg.norm(back), 1)
    assert np.allclose(rotation_from_quat(back), rotation, atol=1e-7)


@pytest.mark.parametrize("axis", np.eye(3))
def test_half_turns_are_found_exactly(axis):
    rotation = 2 * np.outer(axis, axis) - np.eye(3)
    assert np.allclose(rotation_from_quat(quat_from_rotation(rotation)), rotation)
    assert angle_deg(rotation) == pytest.approx(180)


def test_quaternions_are_wxyz_and_rotate_counterclockwise():
    quarter_about_z = rotation_from_quat([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    assert np.allclose(quarter_about_z @ [1, 0, 0], [0, 1, 0])


def test_many_quaternions_at_once_give_the_same_as_one_by_one():
    many = np.random.default_rng(0).normal(size=(5, 4))
    assert np.allclose(rotation_from_quat(many), [rotation_from_quat(q) for q in many])


@pytest.mark.parametrize("quat", [[0, 0, 0, 0], [np.nan, 0, 0, 1]])
def test_a_quaternion_without_direction_is_refused(quat):
    with pytest.raises(ValueError, match="finite and not zero"):
        rotation_from_quat(quat)


@given(motions, motions)
def test_motions_are_closed_and_invertible(a, b):
    both = a @ b
    assert is_rotation(both[:3, :3])
    assert np.allclose(inverse(both), inverse(b) @ inverse(a), atol=1e-7)
    assert np.allclose(inverse(a) @ a, np.eye(4), atol=1e-7)


@given(similarities, similarities, vectors)
def test_similarities_compose_like_functions(a, b, point):
    assert np.allclose((a @ b).points(point), a.points(b.points(point)), atol=1e-6)


@given(similarities, vectors)
def test_the_inverse_similarity_undoes(similarity, point):
    assert np.allclose(similarity.inverse().points(similarity.points(point)), point, atol=1e-6)


@given(similarities, motions, vectors)
def test_a_camera_moved_along_sees_the_same_picture(world_from_sfm, cam_from_sfm, point):
    """The moved camera sees the moved point in the same direction, ``scale`` times as far."""
    before = cam_from_sfm[:3, :3] @ point + cam_from_sfm[:3, 3]
    pose = world_from_sfm.pose(cam_from_sfm)
    after = pose[:3, :3] @ world_from_sfm.points(point) + pose[:3, 3]
    assert np.allclose(after, world_from_sfm.scale * before, atol=1e-5)


@given(similarities)
def test_json_keeps_a_similarity(similarity):
    back = Similarity.from_json(similarity.to_json())
    assert np.allclose(back.points(np.eye(3)), similarity.points(np.eye(3)), atol=1e-6)


@given(similarities, st.integers(0, 2**32 - 1))
def test_umeyama_recovers_the_similarity_from_pairs(truth, seed):
    source = np.random.default_rng(seed).normal(size=(6, 3))
    found = fit_similarity(source, truth.points(source))
    assert found.scale == pytest.approx(truth.scale)
    assert np.allclose(found.points(source), truth.points(source), atol=1e-6)


def test_umeyama_never_mirrors():
    source = np.random.default_rng(1).normal(size=(8, 3))
    assert is_rotation(fit_similarity(source, source * [1, 1, -1]).rotation)


@pytest.mark.parametrize("points", [np.zeros((5, 3)), np.outer(np.arange(5.0), [1, 2, 3]), np.eye(3)[:2]])
def test_pairs_that_do_not_determine_a_similarity_are_refused(points):
    with pytest.raises(ValueError, match=r"on one line|need two"):
        fit_similarity(points, points)
