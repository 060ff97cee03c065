import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_render import CAMERA, scene

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.splatting import layout, seeds
from splat_pipeline.splatting.cover import cover
from splat_pipeline.splatting.densify import Population, prune, split, target_count
from splat_pipeline.splatting.pictures import block_mean, coarse
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.seeds import mean_distance

RECIPE = TrainRecipe()
few = settings(max_examples=15, deadline=None)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_packing_and_unpacking_keeps_gaussians(degree):
    g = scene(20, degree=degree)
    back = layout.unpack(layout.pack(g, 30)[:20], (degree + 1) ** 2)
    for name in ("means", "log_scales", "logit_opacities", "sh"):
        np.testing.assert_array_equal(getattr(back, name), getattr(g, name))
    np.testing.assert_allclose(back.quats, g.quats / np.linalg.norm(g.quats, axis=1, keepdims=True), atol=1e-6)


@few
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_mean_distance_is_that_of_looking_at_all_points(seed, n):
    r = np.random.default_rng(seed)
    points = r.normal(size=(n, 3)) * r.choice([1.0, 100.0], size=(n, 1))
    points[r.integers(n, size=n // 3)] = points[0]
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    squared[np.arange(n), np.arange(n)] = np.inf
    nearest = np.sqrt(np.sort(squared, axis=1)[:, :3])
    want = [row[np.isfinite(row)].mean() if np.isfinite(row).any() else 0 for row in nearest]
    np.testing.assert_allclose(mean_distance(points), want, rtol=1e-5)


def test_duplicates_do_not_vanish_and_an_outlier_is_no_larger_in_a_picture_than_its_share():
    r = np.random.default_rng(0)
    points = np.concatenate([r.normal(size=(100, 3)), np.zeros((10, 3)), [[1e6, 0, 0]]])
    view = View(name="a", camera=CAMERA, cam_from_world=np.eye(4))
    reach = seeds.nearest_camera(points, [view]) + 1
    g = seeds.first_gaussians(points, np.zeros((111, 3), np.uint8), reach, degree=0, recipe=RECIPE)
    sigma = np.exp(g.log_scales[:, 0])
    assert (sigma > 0).all()
    assert (sigma <= RECIPE.start_reach * reach * 1.001).all()
    assert sigma[100:110].min() > 0.001


def test_points_all_in_one_place_still_get_a_size():
    g = seeds.first_gaussians(np.ones((5, 3)), np.zeros((5, 3), np.uint8), np.ones(5), degree=0, recipe=RECIPE)
    assert np.isfinite(g.log_scales).all()


def test_bare_cells_get_points_of_the_colour_seen_there_as_far_as_the_farthest_around():
    r = np.random.default_rng(0)
    n = 400
    depth = np.where(r.uniform(size=n) < 0.5, 2.0, 9.0)
    left = np.stack([r.uniform(0, 30, n), r.uniform(0, 45, n)], axis=1)
    x, y = (left[:, 0] - CAMERA.cx_px) / CAMERA.fx_px, (left[:, 1] - CAMERA.cy_px) / CAMERA.fy_px
    points = np.stack([x, y, np.ones(n)], axis=1) * depth[:, None]
    image = np.zeros((45, 70, 3), np.uint8)
    image[:, 35:] = [10, 200, 30]
    view = View(name="a", camera=CAMERA, cam_from_world=np.eye(4))
    places, colors = cover([image], [view], points, np.random.default_rng(1))
    u = CAMERA.fx_px * places[:, 0] / places[:, 2] + CAMERA.cx_px
    right = u >= 35
    assert right.sum() > 100
    assert (colors[right] == [10, 200, 30]).all()
    np.testing.assert_allclose(places[right, 2], 9.0)
    again, _ = cover([image], [view], np.concatenate([points, places]), np.random.default_rng(1))
    assert len(again) == 0


def test_a_view_without_points_is_left_alone():
    view = View(name="a", camera=CAMERA, cam_from_world=np.eye(4))
    behind = -np.ones((50, 3))
    places, colors = cover([np.zeros((45, 70, 3), np.uint8)], [view], behind, np.random.default_rng(1))
    assert places.shape == colors.shape == (0, 3)


def test_random_points_lie_in_the_view_that_they_were_drawn_from():
    pose = np.eye(4)
    pose[:3, 3] = [0.5, -1, 2]
    view = View(name="a", camera=CAMERA, cam_from_world=pose)
    image = np.random.default_rng(0).integers(0, 255, (45, 70, 3)).astype(np.uint8)
    points, colors = seeds.scatter([image], [view], 200, np.random.default_rng(1))
    t = points @ pose[:3, :3].T + pose[:3, 3]
    x = CAMERA.fx_px * t[:, 0] / t[:, 2] + CAMERA.cx_px
    y = CAMERA.fy_px * t[:, 1] / t[:, 2] + CAMERA.cy_px
    assert (t[:, 2] > 0).all()
    np.testing.assert_array_equal(image[y.astype(int), x.astype(int)], colors)


def test_cameras_around_a_point_look_at_its_distance():
    views = []
    for angle in (0, 1, 2, 4):
        c, s = np.cos(angle), np.sin(angle)
        pose = np.eye(4)
        pose[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
        pose[:3, 3] = [0, 0, 3.5]
        views.append(View(name="", camera=CAMERA, cam_from_world=pose))
    assert seeds.looking_distance(views) == pytest.approx(3.5)
    assert seeds.looking_distance(views[:1]) == seeds.scene_extent(views[:1]) == 1


def test_growth_goes_from_the_start_to_the_cap():
    counts = [target_count(share, 100, 1000, RECIPE) for share in np.linspace(0, 1, 50)]
    assert counts[0] == 100
    assert counts[-1] == 1000
    assert counts == sorted(counts)
    assert target_count(0.5, 500, 300, RECIPE) == 500


def test_the_most_strained_are_split_along_their_longest_axis():
    g = scene(10)
    people = Population.of(g, 14)
    people.score[:10] = np.arange(10)
    people.seen[:10] = 1
    people.first[:] = 1
    assert split(people, 12, RECIPE) == 2
    assert people.count == 12
    children = people.gaussians()
    np.testing.assert_array_equal(children.means[:8], g.means[:8])
    middle = (children.means[8:10] + children.means[10:12]) / 2
    np.testing.assert_allclose(middle, g.means[8:10], atol=1e-6)
    apart = np.linalg.norm(children.means[8:10] - children.means[10:12], axis=1)
    np.testing.assert_allclose(apart, np.exp(g.log_scales[8:10].max(axis=1)), rtol=1e-5)
    assert not people.first[8:12].any()
    assert not people.score.any()


def test_splitting_stops_at_the_room_there_is_and_at_those_that_were_seen():
    people = Population.of(scene(10), 12)
    people.score[:5] = 1
    people.seen[:5] = 1
    assert split(people, 100, RECIPE) == 2
    people = Population.of(scene(10), 100)
    people.score[:5] = 1
    assert split(people, 100, RECIPE) == 5


def test_the_transparent_and_the_huge_are_dropped_and_the_others_keep_their_order():
    g = scene(10)
    people = Population.of(g, 10)
    people.rows[2, layout.OPACITY] = -9
    people.rows[5, layout.SCALE] = 9
    people.score[:] = np.arange(10)
    assert prune(people, 1.0, RECIPE) >= 2
    kept = people.score[: people.count].astype(int)
    assert 2 not in kept
    assert 5 not in kept
    np.testing.assert_array_equal(people.gaussians().means, g.means[kept])


def test_a_coarse_image_is_the_mean_over_blocks_seen_by_the_coarse_camera():
    image = np.random.default_rng(0).integers(0, 255, (45, 70, 3)).astype(np.uint8)
    small = block_mean(image, 4)
    assert small.shape == (11, 17, 3)
    np.testing.assert_allclose(small[2, 3], image[8:12, 12:16].mean(axis=(0, 1)), atol=0.51)
    camera = coarse(Camera(width_px=70, height_px=45, fx_px=60, fy_px=64, cx_px=33, cy_px=24), 4)
    assert (camera.width_px, camera.height_px, camera.cx_px, camera.fy_px) == (17, 11, 8.25, 16)
