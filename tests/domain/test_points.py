import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splat_pipeline.domain.formats.colmap import ColmapPoints
from splat_pipeline.domain.points import is_aerial, point_rows, trusted, up_direction, upright_from
from splat_pipeline.domain.rigid import Similarity, rigid, rotation_from_quat
from splat_pipeline.domain.tables import POINTS, to_table

UP = np.array([0.0, -1, 0])


def cloud(count=400, seed=0):
    rng = np.random.default_rng(seed)
    return ColmapPoints(
        ids=np.arange(count),
        xyz=rng.normal(size=(count, 3)),
        rgb=rng.integers(0, 256, (count, 3)).astype(np.uint8),
        error_px=np.full(count, 0.5),
        track_lengths=np.full(count, 5),
        track_images=np.zeros(5 * count, np.int64),
        track_keypoints=np.zeros(5 * count, np.int64),
    )


def look(center, target, up=UP, roll_deg=0.0):
    """cam_from_world that looks from ``center`` to ``target``."""
    forward = np.subtract(target, center) / np.linalg.norm(np.subtract(target, center))
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    roll = np.radians(roll_deg)
    rotation = rotation_from_quat([np.cos(roll / 2), 0, 0, np.sin(roll / 2)]) @ rotation
    return rigid(rotation, -rotation @ np.asarray(center, float))


def orbit(count=24, rolls=(0.0,), height=-0.8):
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    centers = [(3 * np.cos(t), height, 3 * np.sin(t)) for t in turns]
    return np.stack([look(c, (0, 0, 0), roll_deg=rolls[i % len(rolls)]) for i, c in enumerate(centers)])


def tilt_deg(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


def test_good_points_are_kept_and_each_kind_of_bad_one_is_not():
    points = cloud()
    points.error_px[0] = 5.0
    points.track_lengths[1] = 2
    points.xyz[2] = np.nan
    kept = trusted(points)
    assert not kept[:3].any()
    assert kept[3:].all()


def test_the_background_is_kept_however_far_behind_the_subject():
    points = cloud()
    points.xyz[:20] *= 50
    assert trusted(points).all()


def test_points_of_two_images_are_better_than_none():
    points = cloud(50)
    points.track_lengths[:] = 2
    assert trusted(points).sum() > 45
    points.error_px[:] = 9.0
    assert not trusted(points).any()


@given(st.permutations(range(12)))
def test_the_order_of_points_does_not_matter(order):
    points = cloud(12)
    points.error_px[3] = 9.0
    shuffled = ColmapPoints(
        **{name: getattr(points, name)[list(order)] for name in ("ids", "xyz", "rgb", "error_px", "track_lengths")},
        track_images=points.track_images,
        track_keypoints=points.track_keypoints,
    )
    np.testing.assert_array_equal(trusted(shuffled), trusted(points)[list(order)])


def test_an_orbit_is_upright_by_its_plane_though_hands_roll():
    up, source = up_direction(orbit(rolls=(8.0, -3.0, 6.0)), aerial=False)
    assert source == "plane of the camera path"
    assert tilt_deg(up, UP) < 0.1


def test_cameras_that_look_down_from_one_side_are_upright_by_their_horizon():
    """The mean of their upward axes would lean back by as much as they look down."""
    rng = np.random.default_rng(0)
    turns = np.radians(np.linspace(-40, 40, 20))
    centers = np.stack([3 * np.sin(turns), rng.uniform(-3, -1, 20), -3 * np.cos(turns)], axis=1)
    cameras = np.stack([look(c, (0, 0, 0), roll_deg=r) for c, r in zip(centers, rng.normal(0, 3, 20), strict=True)])
    up, source = up_direction(cameras, aerial=False)
    assert source == "horizon of the cameras"
    assert tilt_deg(up, UP) < 3


def test_a_walk_ahead_is_upright_by_how_cameras_are_held():
    line = np.stack([look((0.01 * i % 3, 0.02 * (i % 2), 0.3 * i), (0, 0, 100)) for i in range(20)])
    up, source = up_direction(line, aerial=False)
    assert source == "mean of the cameras' upward axes"
    assert tilt_deg(up, UP) < 1


def test_a_survey_from_above_is_upright_by_its_flight_plane():
    """Flown up and down, as lawns are mowed: the cameras' upward axes cancel out."""
    grid = [(x, -10, z) for x in range(4) for z in range(5)]
    ways = [np.array([0, 0, 1.0 if x % 2 else -1.0]) for x in range(4) for _ in range(5)]
    down = np.stack([look(c, np.add(c, (0.02, 10, 0.3)), up=way) for c, way in zip(grid, ways, strict=True)])
    up, source = up_direction(down, aerial=False)
    assert source.endswith("seen from above")
    assert tilt_deg(up, UP) < 0.1


def test_a_loop_filmed_on_a_wall_is_not_taken_for_the_ground():
    """The path's plane stands upright: its normal is level, and the cameras know better."""
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    wall = np.stack([look((np.cos(t), np.sin(t), -3), (0.2 * np.cos(t), 0, 0)) for t in turns])
    up, _ = up_direction(wall, aerial=False)
    assert tilt_deg(up, UP) < 0.1
    seen_from_above, _ = up_direction(wall, aerial=True)
    assert tilt_deg(seen_from_above, np.array([0, 0, -1.0])) < 0.1


def test_what_was_filmed_from_the_air_is_known_by_the_job_or_the_camera():
    assert is_aerial("aerial", [])
    assert is_aerial("auto", [None, "DJI"])
    assert not is_aerial("auto", [None, "Apple"])
    assert not is_aerial("object", ["DJI"])


@given(
    st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.floats(0.2, 5),
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_frame_of_the_reconstruction_the_world_is_upright(quat, scale):
    """Cameras at the same height stay so, the world is right-handed, and the points are at its origin."""
    sfm_from_truth = Similarity(scale=scale, rotation=rotation_from_quat(quat), translation=np.array([3.0, 4, 5]))
    cameras = np.stack([sfm_from_truth.pose(pose) for pose in orbit()])
    points = sfm_from_truth.points(cloud(50).xyz)
    frame = upright_from(cameras, points, aerial=False).world_from_sfm
    world = np.stack([frame.pose(pose) for pose in cameras])
    centers = -np.einsum("nji,nj->ni", world[:, :3, :3], world[:, :3, 3])
    assert np.linalg.det(frame.rotation) == pytest.approx(1)
    assert np.ptp(centers[:, 1]) < 1e-6 * scale
    assert (centers[:, 1] < 0).all(), "-y is up, and the cameras are above"
    np.testing.assert_allclose(np.median(frame.points(points), axis=0), 0, atol=1e-9)
    first_looks = world[0, 2, :3]
    assert first_looks[2] > 0
    assert first_looks[0] == pytest.approx(0, abs=1e-6)


def test_the_frame_needs_cameras_and_points():
    with pytest.raises(ValueError, match="got 0 and 50"):
        upright_from(np.zeros((0, 4, 4)), cloud(50).xyz, aerial=False)


def test_rows_hold_the_kept_points_in_the_world():
    points = cloud(30)
    keep = np.arange(30) % 2 == 0
    rows = point_rows(points, keep, Similarity(scale=2.0, rotation=np.eye(3), translation=np.ones(3)))
    to_table(POINTS, rows)
    np.testing.assert_allclose(rows[["x", "y", "z"]], 2 * points.xyz[keep] + 1, rtol=1e-5)
    np.testing.assert_array_equal(rows[["red", "green", "blue"]], points.rgb[keep])


def test_the_json_says_where_up_and_scale_come_from():
    data = upright_from(orbit(), cloud().xyz, aerial=False).to_json()
    assert set(data) == {"world_from_sfm", "up_source", "scale_source"}
    assert data["scale_source"] == "none"
    assert data["world_from_sfm"]["scale"] == 1
