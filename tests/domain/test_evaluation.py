import numpy as np
import pytest

from splat_pipeline.domain.evaluation import centers, trajectory_error
from splat_pipeline.domain.rigid import Similarity, rigid, rotation_from_quat


def trajectory(count, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rigid(rotation_from_quat(rng.normal(size=4)), rng.normal(size=3)) for _ in range(count)])


def test_a_trajectory_in_another_frame_and_scale_has_no_error():
    truth = trajectory(12)
    elsewhere = Similarity(scale=3.5, rotation=rotation_from_quat([1, 2, 3, 4]), translation=np.array([5.0, 6, 7]))
    error = trajectory_error(np.stack([elsewhere.pose(pose) for pose in truth]), truth)
    assert error.ate_rmse == pytest.approx(0, abs=1e-9)
    assert error.rotation_deg == pytest.approx(np.zeros(12), abs=1e-5)
    assert error.truth_from_estimate.scale == pytest.approx(1 / 3.5)


def test_a_turned_camera_is_seen_in_rotation_only():
    truth = trajectory(12)
    estimate = truth.copy()
    turn = rotation_from_quat([np.cos(np.radians(5)), np.sin(np.radians(5)), 0, 0])
    estimate[3] = rigid(turn, np.zeros(3)) @ truth[3]
    error = trajectory_error(estimate, truth)
    assert error.rotation_deg[3] == pytest.approx(10, abs=1e-4)
    assert error.ate_rmse < 1e-9


def test_a_shifted_camera_is_seen_in_the_trajectory_error():
    truth = trajectory(40)
    estimate = truth.copy()
    estimate[7, :3, 3] += estimate[7, :3, :3] @ [1.0, 0, 0]  # its centre moves by 1
    error = trajectory_error(estimate, truth)
    assert 0.8 * np.sqrt(1 / 40) < error.ate_rmse < np.sqrt(1 / 40)
    assert error.extent == pytest.approx(np.linalg.norm(np.ptp(centers(truth), axis=0)))
