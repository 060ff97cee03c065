import numpy as np
import pytest
import slow_splats as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.splatting.render import render

CAMERA = Camera(width_px=70, height_px=45, fx_px=60, fy_px=64, cx_px=33, cy_px=24)
HERE = np.eye(4)
few = settings(max_examples=8, deadline=None)


def scene(n=120, seed=0, *, scale=-2.5, degree=3):
    r = np.random.default_rng(seed)
    return Gaussians(
        means=r.uniform([-2, -2, 1], [2, 2, 6], (n, 3)).astype("f4"),
        quats=r.normal(size=(n, 4)).astype("f4"),
        log_scales=r.normal(scale, 0.7, (n, 3)).astype("f4"),
        logit_opacities=r.normal(0, 2, n).astype("f4"),
        sh=r.normal(0, 0.3, (n, (degree + 1) ** 2, 3)).astype("f4"),
    )


def arrays(g):
    return {k: getattr(g, k).astype(float) for k in ("means", "quats", "log_scales", "logit_opacities", "sh")}


def changed(g, **columns):
    antialiased = columns.pop("antialiased", g.antialiased)
    values = {k: v.astype("f4") for k, v in arrays(g).items()}
    for name, value in columns.items():
        values[name] = np.broadcast_to(np.asarray(value, "f4"), values[name].shape).copy()
    return Gaussians(**values, antialiased=antialiased)


def agree(g, camera=CAMERA, pose=HERE, *, atol=2e-5, **kwargs):
    seen = render(g, camera, pose, **kwargs)
    degree = kwargs.pop("sh_degree", None)
    image, alpha, depth = oracle.render(
        arrays(g),
        camera,
        pose,
        degree=g.sh_degree if degree is None else degree,
        antialiased=g.antialiased,
        **kwargs,
    )
    np.testing.assert_allclose(seen.image, image, atol=atol)
    np.testing.assert_allclose(seen.alpha, alpha, atol=atol)
    np.testing.assert_allclose(np.where(alpha > 0.01, seen.depth, 0), np.where(alpha > 0.01, depth, 0), rtol=1e-3)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_image_alpha_and_depth_are_those_of_the_slow_renderer(degree):
    agree(scene(degree=degree), background=(0.1, 0.5, 0.9))


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_lower_degree_may_be_asked_for(degree):
    agree(scene(), sh_degree=degree)


def test_a_degree_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="got 2"):
        render(scene(5, degree=1), CAMERA, HERE, sh_degree=2)


@pytest.mark.parametrize(
    "columns",
    [
        {"means": [0, 0, -3]},
        {"means": [0, 0, 0.011]},
        {"means": [1.9, 1.4, 2]},
        {"means": [4, 0, 2], "log_scales": [0.5, -1, -2]},
        {"log_scales": [1.5, 2, 3]},
        {"log_scales": -12},
        {"log_scales": [3, -9, -9]},
        {"logit_opacities": 15},
        {"logit_opacities": -7},
        {"logit_opacities": 15, "log_scales": 0},
        {"quats": [0, 0, 3, 0]},
        {"antialiased": True},
        {"antialiased": True, "log_scales": -5, "logit_opacities": 5},
        {"antialiased": True, "log_scales": [0.5, -4, -4]},
    ],
    ids=str,
)
def test_edge_cases_are_those_of_the_slow_renderer(columns):
    # Needles of thousands of pixels meet float32's limit: their edge moves by a hundredth of a pixel.
    agree(changed(scene(30), **columns), atol=6e-3 if columns.get("log_scales") == [3, -9, -9] else 1e-4)


@few
@given(st.integers(0, 10_000))
def test_antialiasing_keeps_the_light_of_thin_things_when_the_resolution_is_halved(seed):
    r = np.random.default_rng(seed)
    # Wires of a tenth to a half of a coarse pixel across.
    thin = r.uniform(np.log(0.004), np.log(0.02), (40, 3))
    thin[:, 0] = np.log(0.3)
    wires = changed(scene(40, seed, degree=0), means=r.uniform([-1, -1, 2], [1, 1, 3], (40, 3)), log_scales=thin)
    fine = Camera(width_px=64, height_px=64, fx_px=60, fy_px=60, cx_px=32, cy_px=32)
    half = fine.resized(32, 32)

    def off(g):
        blocks = render(g, fine, HERE).image.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
        return np.abs(render(g, half, HERE).image - blocks).mean() / blocks.mean()

    assert off(changed(wires, antialiased=True)) < 0.5 * off(wires)


def test_gaussians_at_equal_depth_are_drawn_in_their_order():
    g = scene(30)
    means = g.means.copy()
    means[:, 2] = 3
    agree(changed(g, means=means))


def test_no_gaussians_leave_the_background():
    seen = render(scene(3).take(np.zeros(0, int)), CAMERA, HERE, background=(0.2, 0.4, 0.6))
    assert seen.image.shape == (45, 70, 3)
    np.testing.assert_array_equal(seen.image, np.broadcast_to(np.float32([0.2, 0.4, 0.6]), (45, 70, 3)))
    assert not seen.alpha.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_drawn(value):
    g = scene(20)
    means, scales = g.means.copy(), g.log_scales.copy()
    means[3], scales[5] = value, abs(value)
    rest = np.delete(np.arange(20), [3, 5])
    got, want = render(changed(g, means=means, log_scales=scales), CAMERA, HERE), render(g.take(rest), CAMERA, HERE)
    np.testing.assert_array_equal(got.image, want.image)


@few
@given(st.integers(0, 10_000))
def test_the_order_of_the_gaussians_does_not_matter(seed):
    g = scene(60, seed)
    shuffled = g.take(np.random.default_rng(seed).permutation(60))
    np.testing.assert_array_equal(render(g, CAMERA, HERE).image, render(shuffled, CAMERA, HERE).image)


@few
@given(st.integers(0, 10_000))
def test_moving_scene_and_camera_together_leaves_the_image(seed):
    r = np.random.default_rng(seed)
    g, quat, shift = scene(60, seed, degree=0), r.normal(size=4), r.normal(size=3)
    turn = oracle.rotation(quat)
    w, v = quat[0], quat[1:]
    qw, qv = g.quats[:, :1], g.quats[:, 1:]
    quats = np.hstack([w * qw - (qv @ v)[:, None], w * qv + qw * v + np.cross(v, qv)])
    moved = changed(g, means=g.means @ turn.T + shift, quats=quats)
    cam_from_world = np.eye(4)
    cam_from_world[:3, :3], cam_from_world[:3, 3] = turn.T, -turn.T @ shift
    a, b = render(g, CAMERA, HERE), render(moved, CAMERA, cam_from_world)
    assert np.quantile(abs(a.image - b.image), 0.99) < 1e-4
    np.testing.assert_allclose(a.image, b.image, atol=8e-3)  # 1/255 steps where a contribution is cut


@few
@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_the_background_shows_through_what_is_not_covered(background):
    g = scene(60)
    black, other = render(g, CAMERA, HERE), render(g, CAMERA, HERE, background=background)
    want = black.image + (1 - black.alpha)[..., None] * np.float32(background)
    np.testing.assert_allclose(other.image, want, atol=1e-6)


def test_a_gaussian_at_a_pixel_centre_peaks_there():
    g = changed(scene(1, degree=0), means=[0, 0, 2], log_scales=-5, logit_opacities=2, sh=1)
    camera = Camera(width_px=33, height_px=17, fx_px=40, fy_px=40, cx_px=20.5, cy_px=7.5)
    image = render(g, camera, HERE).image[..., 0]
    assert np.unravel_index(image.argmax(), image.shape) == (7, 20)
    np.testing.assert_allclose(image[7, 19], image[7, 21], rtol=1e-5)
