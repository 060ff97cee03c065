import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.formats.colmap import ColmapPoints
from splat_pipeline.domain.points import point_rows, trusted
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.domain.tables import POINTS, to_table


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


def test_rows_hold_the_kept_points_in_the_world():
    points = cloud(30)
    keep = np.arange(30) % 2 == 0
    rows = point_rows(points, keep, Similarity(scale=2.0, rotation=np.eye(3), translation=np.ones(3)))
    to_table(POINTS, rows)
    np.testing.assert_allclose(rows[["x", "y", "z"]], 2 * points.xyz[keep] + 1, rtol=1e-5)
    np.testing.assert_array_equal(rows[["red", "green", "blue"]], points.rgb[keep])
