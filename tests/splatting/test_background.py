from dataclasses import replace

import numpy as np
import pytest
from test_render import CAMERA, HERE, changed, scene
from test_train import PLAN, world

from splat_pipeline.domain.cameras import View
from splat_pipeline.splatting.background import Background
from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.film import film
from splat_pipeline.splatting.pictures import at_size
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import render
from splat_pipeline.splatting.studio import Studio
from splat_pipeline.splatting.train import evaluate, train

__all__ = ["world"]


@pytest.mark.parametrize(
    ("name", "want"),
    [("black", [0, 0, 0]), ("white", [1, 1, 1]), ("#FF8000", [1, 128 / 255, 0]), ("random", [0, 0, 0])],
)
def test_a_background_is_called_by_its_name_or_colour(name, want):
    np.testing.assert_allclose(Background.of(name, seed=0).still(), want, atol=1e-6)


@pytest.mark.parametrize("name", ["grey", "#12", "#gggggg", ""])
def test_an_unknown_background_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"black, white, random, learned or a colour as #rrggbb, got"):
        Background.of(name, seed=0)


def test_a_random_background_changes_with_step_and_seed_and_with_nothing_else():
    one, other = Background.of("random", seed=3), Background.of("random", seed=4)
    colors = np.array([one.at(step, 0) for step in range(500)])
    np.testing.assert_array_equal(colors, [Background.of("random", seed=3).at(step, 0) for step in range(500)])
    assert not np.array_equal(one.at(0, 0), other.at(0, 0))
    np.testing.assert_allclose(colors.mean(axis=0), 0.5, atol=0.05)
    assert len(np.unique(colors, axis=0)) == 500


def test_a_background_that_fades_goes_from_grey_to_its_colour():
    background = Background.of("#ff0000", seed=0, fade=0.4)
    np.testing.assert_allclose(background.at(0, 0.0), 0.5)
    np.testing.assert_allclose(background.at(9, 0.2), [0.75, 0.25, 0.25])
    np.testing.assert_array_equal(background.at(9, 0.7), background.still())
    np.testing.assert_array_equal(Background.of("#ff0000", seed=0).at(0, 0.0), [1, 0, 0])


def test_a_random_background_that_fades_darkens_to_black():
    lasting, fading = Background.of("random", seed=3), Background.of("random", seed=3, fade=0.4)
    np.testing.assert_array_equal(fading.at(7, 0.0), lasting.at(7, 0.0))
    np.testing.assert_allclose(fading.at(7, 0.1), 0.75 * lasting.at(7, 0.1), rtol=1e-6)
    np.testing.assert_array_equal(fading.at(7, 0.4), fading.still())
    np.testing.assert_array_equal(Background.of("learned", seed=0, fade=0.4).at(7, 0.1), [0.5] * 3)


def test_gaussians_are_drawn_against_their_own_background_unless_told_otherwise():
    g = replace(scene(30), background=(0.2, 0.4, 0.6))
    want = render(scene(30), CAMERA, HERE, background=(0.2, 0.4, 0.6)).image
    view = View(name="", camera=CAMERA, cam_from_world=HERE)
    np.testing.assert_array_equal(render(g, CAMERA, HERE).image, want)
    np.testing.assert_array_equal(next(film(g, [view])), want)
    np.testing.assert_array_equal(
        render(g, CAMERA, HERE, background=(0, 0, 0)).image, render(scene(30), CAMERA, HERE).image
    )


def test_the_gradient_of_a_learned_background_is_the_finite_difference():
    g = changed(scene(40), log_scales=-1.5)
    upstream = np.random.default_rng(1).normal(size=(3, CAMERA.height_px, CAMERA.width_px)).astype("f4")
    taken = []
    background = Background.of("learned", seed=0)
    background.color.move = lambda row, gradient, rate: taken.append(gradient)
    background.learn(render(g, CAMERA, HERE).alpha, upstream, 1.0)

    def loss(color):
        return float((render(g, CAMERA, HERE, background=tuple(color)).image.transpose(2, 0, 1) * upstream).sum())

    for channel, step in enumerate(np.eye(3) * 0.25):
        want = (loss(0.5 + step) - loss(0.5 - step)) / 0.5
        assert taken[0][channel] == pytest.approx(want, rel=1e-3, abs=0.05)


def test_a_learned_background_finds_the_colour_behind_and_the_gaussians_carry_it(world):
    _, views, points, colors = world
    blue = tuple(np.array([30, 140, 230]) / 255)
    sparse = changed(scene(150, seed=4, degree=1, scale=-2.5), means=points, logit_opacities=2)
    sky = [(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8) for image in film(sparse, views, background=blue)]
    plan = replace(PLAN, iterations=250)
    learned = train(sky, views, points, colors, plan, recipe=TrainRecipe(background="learned")).gaussians
    black = train(sky, views, points, colors, plan).gaussians
    np.testing.assert_allclose(learned.background, blue, atol=0.06)
    gained = np.mean(evaluate(learned, sky, views), axis=0)[0] - np.mean(evaluate(black, sky, views), axis=0)[0]
    assert gained > 1


@pytest.mark.parametrize(
    "options",
    [
        {"background": "learned", "exposure": "affine", "antialias": True},
        {"background": "random", "strategy": "mcmc", "exposure": "gain"},
    ],
    ids=str,
)
def test_a_studio_that_takes_back_its_state_goes_on_as_the_first_does(world, options):
    images, views, _, _ = world
    pictures = [at_size(image, view, 1, number=i) for i, (image, view) in enumerate(zip(images, views, strict=True))]

    def studio():
        people = Population.of(changed(scene(50), logit_opacities=-4), 70)
        return Studio(people=people, recipe=TrainRecipe(**options), extent=1.0, views=8, seed=5)

    def go_on(at):
        for picture in pictures[3:]:
            at.step(picture, 0, 0.2)
        at.adapt(70)

    one, other = studio(), studio()
    for picture in pictures[:3]:
        one.step(picture, 0, 0.1)
    for mine, given in zip(other.people.arrays(), one.people.arrays(), strict=True):
        mine[:] = given
    other.restore(one.state())
    assert one.state().keys() == other.state().keys()
    go_on(one)
    go_on(other)
    np.testing.assert_array_equal(one.people.rows, other.people.rows)
    assert all(np.array_equal(value, other.state()[key]) for key, value in one.state().items())
    assert not np.array_equal(one.people.rows, studio().people.rows)


def test_a_state_of_another_shape_is_refused(world):
    studio = Studio(people=Population.of(scene(5), 5), recipe=TrainRecipe(), extent=1.0)
    with pytest.raises(ValueError, match=r"background.values must be \(1, 3\), got \(2, 3\)"):
        studio.restore({**studio.state(), "background.values": np.zeros((2, 3))})
