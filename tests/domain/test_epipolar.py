"""Whether known poses can be right, without any image: matches come from points in space."""

import numpy as np
import pytest

from splat_pipeline.domain.epipolar import check_rigid, overall, pair_agreement
from splat_pipeline.domain.errors import WrongPoses
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.rigid import inverse

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
FOCAL_PX = 500.0
POINTS = np.random.default_rng(0).uniform(-1, 1, (400, 3))
PLACES = ((0, -0.3), (0.2, 0.5), (0.45, -1.4), (0.7, 0.2))
ARC = np.stack([look_at(np.array([4 * np.sin(a), y, -4 * np.cos(a)]), np.zeros(3)) for a, y in PLACES])
RISING = np.stack([look_at(np.array([0.0, y, -4]), np.array([0.0, y, 0])) for y in (0, 0.4, 0.9, 1.5)])


def rays(pose, noise_px=0.0, seed=0):
    inside = POINTS @ pose[:3, :3].T + pose[:3, 3]
    noise = np.random.default_rng(seed).normal(size=(len(POINTS), 2)) * noise_px / FOCAL_PX
    return inside[:, :2] / inside[:, 2:] + noise


def agreement(seen_from, believed, noise_px=0.0):
    seen = [rays(pose, noise_px, seed) for seed, pose in enumerate(seen_from)]
    pairs = [(i, j) for i in range(len(seen)) for j in range(i + 1, len(seen))]
    return overall(
        {
            (f"{i}.jpg", f"{j}.jpg"): pair_agreement(
                (seen[i], seen[j]), believed[j] @ np.linalg.inv(believed[i]), FOCAL_PX
            )
            for i, j in pairs
        }
    )


def test_true_poses_agree_up_to_the_noise():
    exact, noisy = agreement(ARC, ARC), agreement(ARC, ARC, noise_px=0.5)
    assert exact.matches == 6 * len(POINTS)
    assert exact.error_px < 1e-6
    assert exact.behind_share == 0
    assert 0.2 < noisy.error_px < 0.5, "the median of |N(0, 0.5)| is 0.34"
    assert noisy.contradiction(1000) is None
    assert not noisy.outliers(1000)


def test_the_distance_is_that_of_the_matches_from_their_epipolar_lines_in_pixels():
    relative = RISING[1] @ inverse(RISING[0])  # its epipolar lines are columns of the image
    a, b = rays(RISING[0]), rays(RISING[1])
    found = pair_agreement((a, b + np.array([3 / FOCAL_PX, 0])), relative, FOCAL_PX)
    np.testing.assert_allclose(found.error_px, 3 / np.sqrt(2), rtol=1e-9)


@pytest.mark.parametrize(
    "believed", [FLIP @ ARC, np.linalg.inv(ARC), ARC[[2, 0, 3, 1]]], ids=["flipped", "inverted", "shuffled"]
)
def test_wrong_conventions_are_told_by_the_error(believed):
    assert "do not agree with the images" in str(agreement(ARC, believed).contradiction(1000))


def test_another_world_is_no_contradiction():
    assert agreement(ARC, ARC @ FLIP).contradiction(1000) is None


def test_flipped_axes_are_told_by_what_lies_behind_where_the_lines_stay():
    found = agreement(RISING, FLIP @ RISING, noise_px=0.3)
    assert found.error_px < 1
    assert found.behind_share > 0.95
    assert "behind the cameras" in str(found.contradiction(1000))
    assert agreement(RISING, RISING, noise_px=0.3).contradiction(1000) is None


def test_a_camera_that_only_turns_contradicts_nothing():
    turned = np.stack([look_at(np.array([0.0, 0, -4]), np.array([x, 0.0, 0])) for x in (-0.5, 0, 0.5)])
    found = agreement(turned, turned, noise_px=0.5)
    assert found.behind_share == 0
    assert found.contradiction(1000) is None


def test_one_wrong_pose_is_named_and_condemns_no_other():
    believed = ARC.copy()
    believed[2] = FLIP @ ARC[2]
    many = np.concatenate([ARC, RISING])
    found = agreement(many, np.concatenate([believed, RISING]), noise_px=0.3)
    assert found.contradiction(1000) is None
    assert found.outliers(1000) == ["2.jpg"]


def test_no_matches_are_no_contradiction():
    found = overall({})
    assert found.matches == 0
    assert np.isnan(found.error_px)
    assert found.contradiction(1000) is None


def test_what_is_no_pose_is_named():
    images = [f"{i}.jpg" for i in range(4)]
    check_rigid(images, ARC)
    for change, said in (
        (2.0 * np.eye(4), "no rotation"),
        (np.diag([1, 1, -1.0, 1]), "mirrors"),
        (np.nan, "no rotation"),
    ):
        poses = ARC.copy()
        poses[1] = change @ poses[1] if np.ndim(change) else change
        with pytest.raises(WrongPoses, match=said) as caught:
            check_rigid(images, poses)
        assert caught.value.file == "1.jpg"
    with pytest.raises(ValueError, match="as many"):
        check_rigid(images, ARC[:3])
