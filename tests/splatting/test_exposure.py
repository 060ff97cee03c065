from dataclasses import replace

import numpy as np
import pytest
from test_render import scene
from test_train import PLAN, world

from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.exposure import Exposures, recolor
from splat_pipeline.splatting.loss import loss_and_gradient
from splat_pipeline.splatting.metrics import psnr, recolored
from splat_pipeline.splatting.pictures import at_size
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.studio import Studio
from splat_pipeline.splatting.train import evaluate, evaluate_corrected, train

__all__ = ["world"]


def drifted(images, seed=0, spread=0.25):
    """Return the images as a camera takes them whose exposure and white balance drift, on the mean neutral."""
    r = np.random.default_rng(seed)
    gain = r.uniform(-spread, spread, (len(images), 1)) + r.uniform(-spread, spread, (len(images), 3)) / 3
    gain += 1 - gain.mean(axis=0)
    return [np.clip(i * g + 0.5, 0, 255).astype(np.uint8) for i, g in zip(images, gain, strict=True)]


def test_an_unknown_exposure_is_refused_with_the_known_ones_and_none_is_nothing():
    with pytest.raises(ValueError, match="exposure must be one of none, gain, affine, got 'auto'"):
        Exposures.of("auto", 3, weight=0)
    assert Exposures.of("none", 3, weight=0) is None


@pytest.mark.parametrize("kind", ["gain", "affine"])
def test_gradients_of_exposures_and_of_the_picture_before_them_are_the_finite_differences(kind):
    r = np.random.default_rng(2)
    image, truth = (r.uniform(0.1, 0.9, (3, 20, 26)).astype("f4") for _ in range(2))
    exposures = Exposures.of(kind, 2, weight=0.3)
    start = exposures.few.values[1] = r.normal(0, 0.1, 12) * exposures.learned
    gradient, out = np.zeros_like(image), np.zeros_like(image)

    def loss(values, picture=image):
        recolor(picture, np.float32(np.eye(3, 4) + values.reshape(3, 4)), out)
        apart, _ = loss_and_gradient(out, truth, gradient)
        return apart + 0.3 * float((values**2).sum())

    loss(start)
    taken = []
    exposures.few.move = lambda row, pull, rate: taken.append((row, pull))
    kept = gradient.copy()
    exposures.learn(1, image, kept, 1.0)
    assert taken[0][0] == 1
    for at in range(12):
        step = 2e-3 * np.eye(12)[at] * exposures.learned[at]
        want = (loss(start + step) - loss(start - step)) / 4e-3
        assert taken[0][1][at] == pytest.approx(want, rel=0.02, abs=2e-3), at
    for at in [(0, 3, 4), (1, 10, 20), (2, 19, 25)]:
        # Small against what lies around it, as |x - y| has a kink at 0.
        more, less = image.copy(), image.copy()
        more[at], less[at] = more[at] + 0.01, less[at] - 0.01
        assert kept[at] == pytest.approx((loss(start, more) - loss(start, less)) / 0.02, rel=0.1, abs=1e-5)


@pytest.mark.parametrize("kind", ["gain", "affine"])
def test_drifting_exposure_is_learned_and_the_gaussians_keep_the_mean_of_the_capture(world, kind):
    images, views, points, colors = world
    seen, plan = drifted(images), replace(PLAN, iterations=300)
    plain = train(seen, views, points, colors, plan).gaussians
    learned = train(seen, views, points, colors, plan, recipe=TrainRecipe(exposure=kind)).gaussians
    plainly = [np.mean(evaluate(g, images, views), axis=0)[0] for g in (plain, learned)]
    corrected = [np.mean(evaluate_corrected(g, images, views)) for g in (plain, learned)]
    assert plainly[1] > plainly[0] + 1
    assert corrected[1] > corrected[0] + 0.5


def test_the_mean_over_the_pictures_stays_neutral_and_the_picture_s_number_tells_which_one_moves(world):
    images, views, _, _ = world
    studio = Studio(
        people=Population.of(scene(50), 50), recipe=TrainRecipe(exposure="affine"), extent=1.0, views=len(views)
    )
    for number in (2, 5, 2):
        studio.step(at_size(images[number], views[number], 1, number=number), 0, 0.1)
    values = studio.exposures.few.values
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    assert np.abs(values[2] - values[0]).max() > 1e-3
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(studio.exposures.few.steps, [0, 0, 2, 0, 0, 1, 0, 0])


def test_a_change_of_colours_is_taken_out_of_the_corrected_psnr_and_of_no_other():
    r = np.random.default_rng(0)
    truth = r.uniform(0.2, 0.8, (30, 40, 3)).astype("f4")
    change = np.array([[0.8, 0.1, 0], [0, 0.9, 0.05], [0.1, 0, 0.7]])
    seen = (truth @ change + [0.05, 0.02, 0.1]).astype("f4")
    assert psnr(seen, truth) < 28
    assert psnr(recolored(seen, truth), truth) > 90
    noisy = (truth + r.normal(0, 0.05, truth.shape)).astype("f4")
    assert psnr(recolored(noisy, truth), truth) == pytest.approx(psnr(noisy, truth), abs=0.5)


def test_a_picture_of_one_colour_can_be_corrected():
    grey, truth = np.full((8, 8, 3), 0.5, "f4"), np.full((8, 8, 3), 0.25, "f4")
    np.testing.assert_allclose(recolored(grey, truth), truth, atol=1e-6)
