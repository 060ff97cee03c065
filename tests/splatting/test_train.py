import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numba
import numpy as np
import pytest
from test_render import scene

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.errors import Diverged, Untrained
from splat_pipeline.domain.plans import Detail, TrainingPlan
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.splatting.course import Course, Stopwatch
from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.pictures import at_size
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import render
from splat_pipeline.splatting.studio import Studio
from splat_pipeline.splatting.train import evaluate, train
from splat_pipeline.splatting.watch import Watch

PLAN = TrainingPlan(detail=Detail.PREVIEW, longer_side_px=64, iterations=150, max_gaussians=400, sh_degree=1, seed=7)


def look_at_origin(eye):
    forward = -eye / np.linalg.norm(eye)
    right = np.cross([0, 1, 0], forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


@pytest.fixture(scope="module")
def world():
    """Eight views of a ball of Gaussians, and the points they sit on."""
    camera = Camera(width_px=64, height_px=48, fx_px=60, fy_px=60, cx_px=32, cy_px=24)
    truth = scene(150, seed=4, degree=1, scale=-1.7)
    means = np.random.default_rng(4).normal(0, 0.6, (150, 3)).astype("f4")
    truth = replace(truth, means=means, logit_opacities=np.full(150, 2, "f4"))
    views, images = [], []
    for i in range(8):
        angle = 2 * np.pi * i / 8
        pose = look_at_origin(4 * np.array([np.cos(angle), 0.3 * np.sin(3 * angle), np.sin(angle)]))
        views.append(View(name=f"view {i}", camera=camera, cam_from_world=pose))
        image = render(truth, camera, pose).image
        images.append((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    colors = (np.clip(0.5 + 0.282 * truth.sh[:, 0], 0, 1) * 255).astype(np.uint8)
    return images, views, means.astype(float), colors


def test_training_raises_psnr_by_more_than_5_db_and_reports_its_progress(world):
    images, views, points, colors = world
    told, ticks = [], iter(np.arange(0, 1000, 0.4))
    trained = train(images, views, points, colors, PLAN, progress=told.append, clock=lambda: float(next(ticks)))
    short = train(images, views, points, colors, replace(PLAN, iterations=4), recipe=TrainRecipe(trained_ratio=9))
    before = np.mean(evaluate(short.gaussians, images, views), axis=0)
    after = np.mean(evaluate(trained.gaussians, images, views), axis=0)
    assert after[0] > before[0] + 5
    assert after[1] > before[1]
    assert len(trained.gaussians) <= PLAN.max_gaussians
    assert trained.gaussians.sh_degree == PLAN.sh_degree
    assert 100 <= len(trained.history) <= 102
    assert all(b.iteration > a.iteration for a, b in pairwise(trained.history))
    assert trained.history[-1].loss < trained.history[10].loss
    assert told[-1].iteration == PLAN.iterations
    assert told[-1].seconds_left == 0
    assert 10 < len(told) < PLAN.iterations
    assert all(b.seconds - a.seconds >= 0.99 for a, b in pairwise(told[:-1]))


OPTIONS = [
    {},
    {"antialias": True},
    {"background": "random"},
    {"background": "learned", "exposure": "gain"},
    {"strategy": "mcmc", "exposure": "affine"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_seed_gives_the_same_gaussians_whatever_the_number_of_threads(world, options):
    plan, recipe = replace(PLAN, iterations=60), TrainRecipe(**options)
    several = train(*world, plan, recipe=recipe)
    numba.set_num_threads(1)
    try:
        one = train(*world, plan, recipe=recipe)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    other = train(*world, replace(plan, seed=8), recipe=recipe)
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        np.testing.assert_array_equal(getattr(several.gaussians, name), getattr(one.gaussians, name))
    assert not np.array_equal(several.gaussians.means[:50], other.gaussians.means[:50])


@pytest.mark.parametrize("strategy", ["ranked", "mcmc"])
def test_the_unit_of_the_world_makes_no_difference(world, strategy):
    """Metres or whatever the reconstruction had: rates and limits are shares of the scene's extent."""
    images, views, points, colors = world
    reached = []
    for unit in (1.0, 150.0):
        there = Similarity(scale=unit, rotation=np.eye(3), translation=np.zeros(3))
        scaled = [replace(view, cam_from_world=there.pose(view.cam_from_world)) for view in views]
        recipe = TrainRecipe(strategy=strategy)
        gaussians = train(images, scaled, unit * points, colors, PLAN, recipe=recipe).gaussians
        size = float(np.median(np.exp(gaussians.log_scales))) / unit
        reached.append((np.mean(evaluate(gaussians, images, scaled), axis=0)[0], size))
    assert reached[1][0] == pytest.approx(reached[0][0], abs=0.5)
    assert reached[1][1] == pytest.approx(reached[0][1], rel=0.1)


def test_training_starts_without_points(world):
    images, views, points, colors = world
    trained = train(images, views, points[:0], colors[:0], replace(PLAN, iterations=300))
    black = np.mean([-10 * np.log10(np.mean((image / 255) ** 2)) for image in images])
    assert np.mean(evaluate(trained.gaussians, images, views), axis=0)[0] > black + 8


def test_more_points_than_the_cap_are_thinned_out(world):
    images, views, points, colors = world
    trained = train(images, views, points, colors, replace(PLAN, max_gaussians=120))
    assert len(trained.gaussians) <= 120


def test_a_training_that_does_not_learn_is_refused(world):
    still = TrainRecipe(
        means_rate=0, quats_rate=0, scales_rate=0, opacity_rate=0, color_rate=0, detail_rate=0, densify_until=0
    )
    with pytest.raises(Untrained, match="the loss was"):
        train(*world, replace(PLAN, iterations=20), recipe=still)


def watched(world, losses, *, spoil=lambda iteration, people: None):
    """Show a watch a training with these losses."""
    people = Population.of(scene(10), 10)
    studio = Studio(people=people, recipe=TrainRecipe(), extent=1.0)
    picture = at_size(world[0][0], world[1][0], 1)
    course = course_of(replace(PLAN, iterations=len(losses)), world[1])
    course.begin()
    watch = Watch(window=50, tell=None, best=0.5)
    for loss in losses:
        course.count(looks=0)
        spoil(course.done, people)
        watch.note(course, loss, studio, picture)


def course_of(plan, views, **changes):
    given = {"recipe": TrainRecipe(), "first": 10, "rng": np.random.default_rng(0)}
    stopwatch = Stopwatch(clock=changes.pop("clock", lambda: 0.0))
    return Course(plan=plan, views=views, stopwatch=stopwatch, **{**given, **changes})


@pytest.mark.parametrize("rate", [np.nan, np.inf])
def test_a_rate_that_is_not_finite_is_noticed_within_50_iterations(world, rate):
    with pytest.raises(Diverged, match=r"iteration ([1-9]|[1-4]\d|50)$"):
        train(*world, PLAN, recipe=TrainRecipe(color_rate=rate))


def test_a_loss_that_blows_up_is_noticed_and_a_coarser_step_up_is_not(world):
    def watch(losses):
        watched(world, losses)

    watch([0.05] * 100 + [0.12] * 50)
    with pytest.raises(Diverged, match=r"rose from 0.050 to 0.\d+ at iteration 150"):
        watch([0.05] * 100 + [0.4] * 50)


@pytest.mark.parametrize("at", [1, 51, 120])
def test_a_number_that_is_not_finite_is_noticed_in_the_parameters_when_no_picture_shows_it(world, at):
    def spoil(iteration, people):
        if iteration == at:
            people.rows[3, 0] = np.nan

    with pytest.raises(Diverged, match=f"1 of 10 Gaussians are not finite at iteration {-(-at // 50) * 50}$"):
        watched(world, [0.1] * 150, spoil=spoil)


def test_a_training_that_loses_all_its_gaussians_is_stopped(world):
    with pytest.raises(Diverged, match="all Gaussians were transparent or beyond all measure"):
        train(*world, PLAN, recipe=TrainRecipe(prune_extents=1e-6))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_points_that_are_not_finite_are_refused(world, value):
    images, views, points, colors = world
    broken = points.copy()
    broken[3, 1] = value
    with pytest.raises(ValueError, match="1 of 150 points are not finite"):
        train(images, views, broken, colors, PLAN)


def test_an_image_of_another_size_than_its_camera_is_refused(world):
    images, views, points, colors = world
    with pytest.raises(ValueError, match="image of view 0"):
        train([images[0][1:], *images[1:]], views, points, colors, PLAN)


def test_a_second_process_compiles_nothing():
    code = """
import numpy as np
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.plans import Detail, TrainingPlan
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.splatting import blend, loss, metrics, optim, pictures, project, tiles
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.train import train
camera = Camera(width_px=32, height_px=32, fx_px=30, fy_px=30, cx_px=16, cy_px=16)
view = View(name="a", camera=camera, cam_from_world=np.eye(4))
plan = TrainingPlan(detail=Detail.PREVIEW, longer_side_px=32, iterations=3, max_gaussians=300, sh_degree=1, seed=0)
points = np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 4], (200, 3))
train([np.full((32, 32, 3), 99, np.uint8)], [view], points, np.zeros((200, 3), np.uint8), plan,
      recipe=TrainRecipe(trained_ratio=9))
kernels = [project.project, tiles.number_pairs, tiles.list_pairs,
           tiles.sort_by_depth, tiles.count_lists, tiles.place_lists, tiles.fill_lists,
           blend.blend, blend.blend_backward, optim.pull_back_and_step, loss.differentiate,
           metrics.squared_error, pictures.to_planes]
print(sum(sum(k.stats.cache_misses.values()) for k in kernels), sum(not k.stats.cache_hits for k in kernels))
"""
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[1].stdout.split() == ["0", "0"], "none compiled, and none that was not loaded"


def test_gaussians_trained_antialiased_say_so_and_are_drawn_so(world):
    images, views, _, _ = world
    plain = train(*world, PLAN)
    mip = train(*world, PLAN, recipe=TrainRecipe(antialias=True))
    assert (plain.gaussians.antialiased, mip.gaussians.antialiased) == (False, True)
    wrong = replace(mip.gaussians, antialiased=False)
    psnr = [np.mean(evaluate(g, images, views), axis=0)[0] for g in (plain.gaussians, mip.gaussians, wrong)]
    assert psnr[1] > psnr[0] - 0.5
    assert psnr[2] < psnr[1]
