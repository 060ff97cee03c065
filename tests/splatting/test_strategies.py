from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_render import CAMERA, HERE, changed, scene
from test_train import PLAN, world

from splat_pipeline.splatting import layout
from splat_pipeline.splatting.densify import Population, rotations
from splat_pipeline.splatting.mcmc import Mcmc, shared
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import render
from splat_pipeline.splatting.strategies import STRATEGIES, strategy_of
from splat_pipeline.splatting.studio import pulls
from splat_pipeline.splatting.train import evaluate, train

__all__ = ["world"]

RECIPE = TrainRecipe(strategy="mcmc")
few = settings(max_examples=20, deadline=None)


def mcmc(seed=0, extent=1.0):
    return Mcmc(recipe=RECIPE, extent=extent, seed=seed)


def test_an_unknown_strategy_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="strategy must be one of ranked, mcmc, got 'best'"):
        strategy_of(TrainRecipe(strategy="best"), extent=1.0, seed=0)
    assert {type(strategy_of(TrainRecipe(strategy=name), extent=1.0, seed=0)).__name__ for name in STRATEGIES} == {
        "Ranked",
        "Mcmc",
    }


@pytest.mark.parametrize(("factor", "opacity"), [(1, 0.05), (2, 0.01), (4, 0.01)])
def test_opacity_costs_less_at_the_coarse_levels(factor, opacity):
    usual = strategy_of(TrainRecipe(), extent=2.0, seed=0).penalties(factor)
    assert pulls(TrainRecipe(), usual, 2.0, 100) == pytest.approx((opacity / 100, 0.0))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_mcmc_has_the_weights_of_its_paper_at_every_level_and_a_recipe_that_names_its_own_is_obeyed(factor):
    usual = strategy_of(RECIPE, extent=2.0, seed=0).penalties(factor)
    assert pulls(RECIPE, usual, 2.0, 10) == pytest.approx((0.01 / 10, 0.01 / 60))
    own = replace(RECIPE, opacity_weight=0.3, scale_weight=0.0)
    assert pulls(own, usual, 2.0, 10) == pytest.approx((0.3 / 10, 0.0))


@few
@given(st.floats(0.006, 0.9999), st.integers(2, 51))
def test_gaussians_that_share_a_place_hide_what_the_one_before_them_did(opacity, among):
    new, shrink = (float(value[0]) for value in shared(np.array([opacity]), np.array([among])))
    x = np.linspace(-12, 12, 20_001)
    together = 1 - (1 - new * np.exp(-((x / shrink) ** 2) / 2)) ** among
    assert together.max() == pytest.approx(opacity, rel=1e-9)
    assert together.sum() == pytest.approx((opacity * np.exp(-(x**2) / 2)).sum(), rel=1e-6)


def test_the_dead_go_to_the_living_and_the_picture_hardly_changes():
    g = changed(scene(60, degree=0, scale=-1.5), logit_opacities=np.where(np.arange(60) % 3, 1.0, -8.0))
    people = Population.of(g, 60)
    people.first[:] = 1
    mcmc().adapt(people, 60, 5)
    after = people.gaussians()
    assert people.count == 60
    assert (g.opacities <= 0.005).sum() == 20
    assert (after.opacities > 0.005).all()
    moved = np.flatnonzero((after.means != g.means).any(axis=1))
    np.testing.assert_array_equal(moved, np.flatnonzero(g.opacities <= 0.005))
    assert not people.first[moved].any()
    before, now = (render(some, CAMERA, HERE).image for some in (g, after))
    careless = changed(after, logit_opacities=1.0, log_scales=np.where(g.opacities[:, None] > 0.1, g.log_scales, -1.5))
    assert np.abs(now - before).mean() < 0.3 * np.abs(render(careless, CAMERA, HERE).image - before).mean()


def test_the_number_grows_to_what_is_wanted_and_never_beyond_the_room():
    people = Population.of(scene(50), 80)
    mcmc().adapt(people, 60, 0)
    assert people.count == 60
    mcmc().adapt(people, 500, 1)
    assert people.count == 80
    mcmc().adapt(people, 10, 2)
    assert people.count == 80
    assert np.isfinite(people.rows).all()


def test_all_dead_stay_where_they_are():
    g = changed(scene(9), logit_opacities=-9)
    people = Population.of(g, 20)
    mcmc().adapt(people, 15, 0)
    np.testing.assert_array_equal(people.gaussians().means, g.means)


def test_noise_moves_the_faint_along_their_long_axis_and_leaves_the_solid():
    n = 4000
    sizes = np.log([0.2, 0.01, 0.01])
    g = changed(scene(n, degree=0), logit_opacities=np.where(np.arange(n) % 2, 3.0, -6.0), log_scales=sizes)
    people = Population.of(g, n)
    mcmc().stir(people, 1e-7, 3)
    off = people.gaussians().means - g.means
    assert not off[1::2].any()
    own = np.einsum("nij,ni->nj", rotations(g.quats), off)[::2]
    weight = 1 / (1 + np.exp(100 * (1 / (1 + np.exp(6)) - 0.005)))
    want = RECIPE.mcmc_noise * 1e-7 * weight * np.exp(2 * sizes)
    np.testing.assert_allclose(own.std(axis=0), want, rtol=0.05)


@few
@given(st.sampled_from([0.01, 7.0, 100.0]))
def test_noise_does_not_depend_on_the_unit_of_the_world(unit):
    g = changed(scene(40), logit_opacities=-6)
    large = changed(g, means=g.means * unit, log_scales=g.log_scales + np.log(unit))
    one, other = Population.of(g, 40), Population.of(large, 40)
    mcmc().stir(one, 1e-4, 3)
    mcmc(extent=unit).stir(other, 1e-4 * unit, 3)
    np.testing.assert_allclose(other.rows[:, :3] / unit, one.rows[:, :3], rtol=1e-3, atol=1e-3)
    assert not np.array_equal(one.rows[:, :3], layout.pack(g)[:, :3])


def test_mcmc_learns_and_reaches_its_cap(world):
    images, views, _, _ = world
    trained = train(*world, replace(PLAN, iterations=250), recipe=RECIPE).gaussians
    assert len(trained) == PLAN.max_gaussians
    assert np.mean(evaluate(trained, images, views), axis=0)[0] > 24
