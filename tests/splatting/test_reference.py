"""Our kernels against the pure-torch projection and harmonics of gsplat, differentiated by autograd in float64.

gsplat's own blending needs a GPU: its formula stands here (``gsplat.cuda._torch_impl.accumulate``), with the constants
of Kerbl et al. 2023 that ours has too: alpha is capped at 0.99, below 1/255 nothing is drawn, nor behind what lets less
than 1e-4 through.

    make reference
    build/reference/bin/python -m pytest tests/splatting/test_reference.py -rP      # prints the agreement
"""

import warnings

import numpy as np
import pytest
from test_gradients import backward
from test_render import CAMERA, HERE, changed, scene

from splat_pipeline.domain.orbit import look_at
from splat_pipeline.splatting.render import render

WHY = "needs torch and gsplat: make reference"
torch = pytest.importorskip("torch", reason=WHY)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gsplat says that there is no GPU
    pytest.importorskip("gsplat", reason=WHY)
    from gsplat.cuda import _torch_impl as gsplat

NAMES = ("means", "quats", "log_scales", "logit_opacities", "sh")
BACKGROUND = (0.1, 0.5, 0.9)
TURNED = look_at(np.array([1.5, -1.0, -1.0]), np.array([0.2, 0.1, 3.0]))


def reference(p, camera, pose, degree):
    """Return the image (H, W, 3) of ``p``, a dict of float64 tensors, and its alpha (H, W)."""
    world = torch.tensor(pose)
    lens = torch.tensor(
        [[camera.fx_px, 0, camera.cx_px], [0, camera.fy_px, camera.cy_px], [0, 0, 1]], dtype=torch.float64
    )
    covariances, _ = gsplat._quat_scale_to_covar_preci(p["quats"], torch.exp(p["log_scales"]), True, False)
    size = (camera.width_px, camera.height_px)
    radii, means, depths, conics, _ = gsplat._fully_fused_projection(
        p["means"], covariances, world[None], lens[None], *size
    )
    sights = p["means"] + (world[:3, :3].T @ world[:3, 3])
    colors = torch.clamp_min(gsplat._spherical_harmonics(degree, sights, p["sh"]) + 0.5, 0)
    order = torch.argsort(depths[0])
    order = order[(radii[0, order] > 0).all(-1)]
    ys, xs = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) + 0.5 for n in size[::-1]), indexing="ij")
    dx = xs[None] - means[0, order, 0, None, None]
    dy = ys[None] - means[0, order, 1, None, None]
    a, b, c = (conics[0, order, i, None, None] for i in range(3))
    sigma = 0.5 * (a * dx**2 + c * dy**2) + b * dx * dy
    alpha = torch.clamp_max(torch.sigmoid(p["logit_opacities"][order])[:, None, None] * torch.exp(-sigma), 0.99)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0)
    passed = torch.cumprod(torch.cat([torch.ones_like(alpha[:1]), 1 - alpha]), 0)
    seen = passed[:-1] >= 1e-4
    weights = torch.where(seen, alpha * passed[:-1], 0)
    left = 1 - weights.sum(0)
    return torch.einsum("nhw,nc->hwc", weights, colors[order]) + left[..., None] * torch.tensor(BACKGROUND), 1 - left


def tensors(g):
    return {name: torch.tensor(getattr(g, name), dtype=torch.float64, requires_grad=True) for name in NAMES}


def hold(g, camera=CAMERA, pose=HERE):
    """Hold image, alpha and gradients of ``g`` against the reference; print how far they are apart."""
    p = tensors(g)
    want, want_alpha = reference(p, camera, pose, g.sh_degree)
    seen = render(g, camera, pose, background=BACKGROUND)
    apart = np.abs(seen.image - want.detach().numpy())
    print(f"image: median {np.median(apart):.1e}, greatest {apart.max():.1e}")
    assert np.quantile(apart, 0.999) < 1e-5
    assert apart.max() < 6e-3, "a step of 1/255 where a contribution is cut at most"
    np.testing.assert_allclose(seen.alpha, want_alpha.detach().numpy(), atol=6e-3)
    upstream = np.random.default_rng(5).normal(size=want.shape)
    # Pixels at which one side draws a contribution that the other just cuts say nothing of derivatives.
    upstream[(apart > 1e-5).any(-1)] = 0
    (want * torch.tensor(upstream)).sum().backward()
    got, _ = backward(g, camera, pose, upstream, BACKGROUND)
    for name in NAMES:
        gradient = p[name].grad.numpy()
        error = np.linalg.norm(got[name] - gradient) / np.linalg.norm(gradient)
        cosine = (got[name] * gradient).sum() / np.linalg.norm(got[name]) / np.linalg.norm(gradient)
        print(f"gradient of {name}: relative error {error:.1e}, 1 - cosine {1 - cosine:.1e}")
        assert error < 1e-4, name
        np.testing.assert_allclose(got[name], gradient, atol=2e-4 * np.abs(gradient).max(), err_msg=name)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("pose", [HERE, TURNED], ids=["here", "turned"])
def test_image_and_gradients_of_every_parameter_are_gsplat_s(degree, pose):
    hold(scene(150, seed=degree, degree=degree), pose=pose)


@pytest.mark.parametrize(
    "columns",
    [
        {"log_scales": [0.2, 0.6, 0.9]},
        {"log_scales": [-5, -4, -4.5]},
        {"log_scales": [0.3, -4, -4]},
        {"logit_opacities": 6},
        {"logit_opacities": -5},
        {"quats": [0.3, 0, 3, -1]},
    ],
    ids=str,
)
def test_extremes_are_gsplat_s_too(columns):
    hold(changed(scene(60, seed=8, degree=2), **columns))


def test_what_stands_half_outside_or_behind_is_gsplat_s_too():
    g = scene(80, seed=11, degree=1)
    means = g.means.copy()
    means[:20] *= [1.6, 1.6, 1]
    means[20:40, 2] *= -1
    hold(changed(g, means=means, log_scales=g.log_scales + 0.7))
