"""What must hold whatever is drawn, and gradients where formulas have corners."""

import numba
import numpy as np
import pytest
import slow_splats as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gradients import SMALL, backward, check
from test_render import CAMERA, HERE, changed, scene

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.domain.rigid import rigid
from splat_pipeline.splatting.render import render

few = settings(max_examples=8, deadline=None)
NAMES = ("means", "quats", "log_scales", "logit_opacities", "sh")


@few
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3]))
def test_moving_scene_and_camera_together_leaves_the_image_when_the_harmonics_turn_too(seed, degree):
    r = np.random.default_rng(seed)
    g, quat, shift = scene(60, seed, degree=degree), r.normal(size=4), r.normal(size=3)
    turn = oracle.rotation(quat)
    w, v = quat[0], quat[1:]
    qw, qv = g.quats[:, :1], g.quats[:, 1:]
    quats = np.hstack([w * qw - (qv @ v)[:, None], w * qv + qw * v + np.cross(v, qv)])
    # What is seen along d before is seen along turn d after: both bases at many directions give the coefficients.
    sights = r.normal(size=(200, 3))
    sights /= np.linalg.norm(sights, axis=1, keepdims=True)
    before = np.array([oracle.sh_basis(degree, d) for d in sights])
    after = np.array([oracle.sh_basis(degree, d) for d in sights @ turn.T])
    turned = np.linalg.lstsq(after, before, rcond=None)[0]
    moved = changed(g, means=g.means @ turn.T + shift, quats=quats, sh=np.einsum("jk,nkc->njc", turned, g.sh))
    a, b = render(g, CAMERA, HERE), render(moved, CAMERA, rigid(turn.T, -turn.T @ shift))
    assert np.quantile(abs(a.image - b.image), 0.99) < 1e-4
    np.testing.assert_allclose(a.image, b.image, atol=8e-3)  # 1/255 steps where a contribution is cut


@few
@given(st.integers(0, 10_000))
def test_a_smooth_scene_at_twice_the_resolution_is_the_same_in_blocks_of_two(seed):
    g = changed(scene(25, seed, degree=1), log_scales=scene(25, seed).log_scales * 0.3 + 0.2)
    large = Camera(width_px=140, height_px=90, fx_px=120, fy_px=128, cx_px=66, cy_px=48)
    small, twice = render(g, CAMERA, HERE), render(g, large, HERE)
    blocks = twice.image.reshape(45, 2, 70, 2, 3).mean(axis=(1, 3))
    apart = np.abs(blocks - small.image)
    assert np.median(apart) < 2e-3
    assert apart.max() < 0.05  # the blur of 0.3 square pixels is another at another resolution


@few
@given(st.integers(0, 10_000))
def test_gradients_follow_their_gaussians_when_these_change_places(seed):
    g = scene(40, seed, degree=1)
    places = np.random.default_rng(seed).permutation(40)
    upstream = np.random.default_rng(1).normal(size=(45, 70, 3))
    here, _ = backward(g, CAMERA, HERE, upstream)
    there, _ = backward(g.take(places), CAMERA, HERE, upstream)
    for name in NAMES:
        np.testing.assert_allclose(there[name], here[name][places], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="there is one thread only (NUMBA_NUM_THREADS)")
def test_pictures_and_gradients_are_the_same_to_the_bit_on_any_number_of_threads():
    g, upstream = scene(300, 3), np.random.default_rng(1).normal(size=(45, 70, 3))
    found = []
    for threads in sorted({1, 2, numba.config.NUMBA_NUM_THREADS}):
        numba.set_num_threads(threads)
        try:
            found.append((render(g, CAMERA, HERE), backward(g, CAMERA, HERE, upstream)[0]))
        finally:
            numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for seen, gradients in found[1:]:
        np.testing.assert_array_equal(seen.image, found[0][0].image)
        np.testing.assert_array_equal(seen.depth, found[0][0].depth)
        for name in NAMES:
            np.testing.assert_array_equal(gradients[name], found[0][1][name])


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_gradients_hold_where_colours_are_cut_at_black(degree):
    g = scene(6, seed=20 + degree, degree=degree, scale=-1.5)
    sh = g.sh.copy()
    sh[::2, 0] = [-2.5, -1.6, -1.9]
    dark = changed(g, sh=sh)
    check(dark)
    seen = np.maximum(0.5 + 0.2820948 * sh[:, 0], 0)
    assert (seen == 0).any()


@pytest.mark.parametrize("degree", [0, 2, 3])
@pytest.mark.parametrize(
    "columns",
    [
        {"means": [1.15, 0.72, 2]},
        {"means": [0.1, 0.1, 0.05], "log_scales": -4},
        {"means": [0.2, 0.1, 3]},
        {"log_scales": [0.5, 1, 1.2]},
        {"log_scales": -9},
        {"logit_opacities": 9},
    ],
    ids=str,
)
def test_gradients_hold_at_the_edges_at_every_degree(degree, columns):
    check(changed(scene(3, seed=31 + degree, degree=degree, scale=-1.5), **columns))


@pytest.mark.parametrize(
    "columns",
    [
        {"quats": 0},
        {"log_scales": 60},
        {"log_scales": -80},
        {"log_scales": [30, -30, 0]},
        {"logit_opacities": 200},
        {"logit_opacities": -200},
        {"means": [1e15, 0, 1e15]},
        {"means": [0, 0, 0]},
        {"means": [0, 0, 0.0101]},
        {"sh": 1e6},
    ],
    ids=str,
)
def test_nothing_that_is_finite_gives_a_number_that_is_not(columns):
    g = changed(scene(20, degree=2), **columns)
    assert np.isfinite(render(g, SMALL, HERE).image).all()
    got, _ = backward(g, SMALL, HERE, np.ones((23, 37, 3)))
    for name in NAMES:
        assert np.isfinite(got[name]).all(), name
