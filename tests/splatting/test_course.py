"""A course by the clock ends when it should and goes through all that a course by iterations goes through."""

from dataclasses import replace

import numpy as np
import pytest
from test_train import PLAN, course_of, world

from splat_pipeline.splatting import studio
from splat_pipeline.splatting.loss import loss_and_gradient
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.studio import Studio
from splat_pipeline.splatting.train import Probe, train

__all__ = ["world"]


class Machine:
    """A clock that goes on when work is done."""

    def __init__(self, monkeypatch, *, picture_s, gaussian_s):
        self.now, self.steps, self.sizes = 0.0, 0, []
        step, look = Studio.step, Studio.look

        def slow_step(studio, picture, *args):
            self.steps += 1
            self.sizes.append(picture.image.shape[1])
            self.now += picture_s * picture.image.shape[1] / 64 + gaussian_s * studio.people.count / 400
            return step(studio, picture, *args)

        def slow_look(studio, picture, *args):
            self.now += 0.5 * (picture_s + gaussian_s * studio.people.count / 400)
            return look(studio, picture, *args)

        monkeypatch.setattr(Studio, "step", slow_step)
        monkeypatch.setattr(Studio, "look", slow_look)


@pytest.mark.parametrize(("picture_s", "gaussian_s"), [(0.02, 0.02), (0.05, 0.001), (0.001, 0.05)])
def test_a_training_by_the_clock_ends_within_3_percent_of_the_time(world, monkeypatch, picture_s, gaussian_s):
    machine = Machine(monkeypatch, picture_s=picture_s, gaussian_s=gaussian_s)
    told, recipe = [], TrainRecipe(least_side_px=24)
    trained = train(*world, PLAN, seconds=10.0, clock=lambda: machine.now, progress=told.append, recipe=recipe)
    assert 9.7 < machine.now < 10.3
    assert len(trained.gaussians) > 350
    assert told[-1].iteration == told[-1].iterations == machine.steps
    assert told[-1].seconds_left == 0
    assert all(abs(p.seconds + p.seconds_left - 10) < 0.3 for p in told)
    half = machine.sizes.index(64)
    assert set(machine.sizes[:half]) == {32}
    assert set(machine.sizes[half:]) == {64}
    assert 0.3 < half / machine.steps < 0.7


def test_compiling_the_kernels_counts_as_no_pace(world, monkeypatch):
    machine, told = Machine(monkeypatch, picture_s=0.02, gaussian_s=0.02), []
    step = Studio.step

    def compiling(studio, *args):
        machine.now += 60 * (machine.steps == 0)
        return step(studio, *args)

    monkeypatch.setattr(Studio, "step", compiling)
    train(*world, PLAN, clock=lambda: machine.now, progress=told.append, recipe=TrainRecipe(least_side_px=24))
    whole = told[-1].seconds
    assert told[0].iteration == 2
    assert told[0].seconds > 60
    assert all(p.seconds + p.seconds_left == pytest.approx(whole, abs=0.6 * (whole - 60)) for p in told)
    assert told[-1].seconds_left == 0


def test_squares_and_more_of_ssim_count_at_the_whole_resolution_alone(world, monkeypatch):
    asked, recipe = {}, TrainRecipe(least_side_px=24)

    def noted(shown, truth, gradient, **weights):
        asked.setdefault(shown.shape[2], set()).add(tuple(sorted(weights.items())))
        return loss_and_gradient(shown, truth, gradient, **weights)

    monkeypatch.setattr(studio, "loss_and_gradient", noted)
    train(*world, PLAN, recipe=recipe)
    whole = (("square_weight", recipe.square_weight), ("ssim_weight", recipe.ssim_weight))
    assert recipe.square_weight > 0
    assert asked == {64: {whole}, 32: {(("ssim_weight", recipe.coarse_ssim_weight),)}}


def test_one_iteration_is_told_of(world, monkeypatch):
    machine, told = Machine(monkeypatch, picture_s=0.02, gaussian_s=0.02), []
    recipe = TrainRecipe(trained_ratio=9)
    train(*world, replace(PLAN, iterations=1), clock=lambda: machine.now, progress=told.append, recipe=recipe)
    assert [(p.iteration, p.seconds_left) for p in told] == [(1, 0)]


def test_a_time_that_is_over_before_it_begins_gives_one_iteration(world, monkeypatch):
    machine = Machine(monkeypatch, picture_s=0.02, gaussian_s=0.02)
    train(*world, PLAN, seconds=0.01, clock=lambda: machine.now, recipe=TrainRecipe(trained_ratio=9))
    assert machine.steps == 1


def test_what_a_probe_takes_is_not_counted(world, monkeypatch):
    machine, seen = Machine(monkeypatch, picture_s=0.02, gaussian_s=0.02), []

    def look(gaussians, iterations, seconds):
        machine.now += 100
        seen.append((len(gaussians), iterations, seconds))

    train(*world, PLAN, seconds=10.0, clock=lambda: machine.now, probe=Probe(shares=[0.25, 0.5, 1], call=look))
    assert 309.7 < machine.now < 310.3
    counts, iterations, seconds = zip(*seen, strict=True)
    assert list(counts) == sorted(counts)
    assert iterations[-1] == machine.steps
    assert 0.2 < iterations[0] / machine.steps < 0.3
    assert max(seconds) < 10


def test_a_course_goes_from_no_work_to_all_of_it_and_dear_iterations_are_more_of_it(world):
    course = course_of(replace(PLAN, iterations=100), world[1], recipe=TrainRecipe(least_side_px=1))
    course.begin()
    assert course.work_done == 0
    done = []
    while not course.over:
        course.count(looks=0)
        done.append(course.work_done)
    assert done[-1] == pytest.approx(1)
    assert np.all(np.diff(done) > 0)
    assert done[-1] - done[-2] > 5 * done[0]


def test_every_view_comes_once_before_any_comes_again(world):
    course = course_of(PLAN, world[1])
    seen = [course.next_view() for _ in range(24)]
    assert [sorted(seen[i : i + 8]) for i in (0, 8, 16)] == [list(range(8))] * 3
    assert seen[:8] != seen[8:16]
