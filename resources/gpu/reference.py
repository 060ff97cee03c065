"""What gsplat's kernels do, in plain torch: for tests where there is no GPU, and for tiny scenes only.

Projection and harmonics are gsplat's own pure-torch reference; blending follows its forward kernel: alpha is at most
0.999, below 1/255 nothing is drawn, and a pixel is done before it would let less than 1e-4 through. Memory grows with
Gaussians times pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gsplat.cuda import _torch_impl
from gsplat.strategy import ops

from splat_pipeline.splatting.mcmc import shared

MOST, LEAST, DONE = 0.999, 1 / 255, 1e-4


def rasterize(
    splats: dict[str, Any], viewmat: Any, lens: Any, size: tuple[int, int], *, degree: int, antialiased: bool
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return image (H, W, 3) on black, alpha (H, W), expected depth (H, W) and what a strategy wants to know.

    ``splats``: means, quats, scales (activated), opacities (activated), sh. viewmat (4, 4), lens (3, 3), ``size`` width
    and height in px.
    """
    covariances, _ = _torch_impl._quat_scale_to_covar_preci(  # noqa: SLF001  # the reference has no other door
        splats["quats"], splats["scales"], True, False
    )
    radii, means2d, depths, conics, sharpness = _torch_impl._fully_fused_projection(  # noqa: SLF001
        splats["means"], covariances, viewmat[None], lens[None], *size, calc_compensations=antialiased
    )
    center = -viewmat[:3, :3].T @ viewmat[:3, 3]
    sh = _torch_impl._spherical_harmonics(degree, splats["means"] - center, splats["sh"])  # noqa: SLF001
    colors = torch.clamp_min(sh + 0.5, 0)
    opacities = splats["opacities"] if sharpness is None else splats["opacities"] * sharpness[0]
    near = torch.argsort(depths[0].detach())
    order = near[(radii[0, near] > 0).all(-1)]
    absgrad = torch.zeros_like(means2d)
    weights = _weights(means2d[0, order], conics[0, order], opacities[order], size, order=order, absgrad=absgrad)
    alpha = weights.sum(0)
    image = torch.einsum("nhw,nc->hwc", weights, colors[order])
    depth = torch.einsum("nhw,n->hw", weights, depths[0, order]) / alpha.clamp_min(1e-10)
    means2d.absgrad = absgrad
    info = {"means2d": means2d, "radii": radii, "width": size[0], "height": size[1], "n_cameras": 1}
    return image, alpha, depth, {**info, "gaussian_ids": None}


def _weights(means: Any, conics: Any, opacities: Any, size: tuple[int, int], *, order: Any, absgrad: Any) -> Any:
    """Return (M, H, W), what each of M Gaussians, front to back, adds to each pixel.

    ``absgrad`` (1, N, 2) gets the sums of the absolute gradients of the places of the Gaussians ``order`` (M,).
    """
    columns, lines = (torch.arange(n, dtype=means.dtype, device=means.device) + 0.5 for n in size)
    dx = columns[None, None, :] - means[:, 0, None, None].expand(-1, *size[::-1])
    dy = lines[None, :, None] - means[:, 1, None, None].expand(-1, *size[::-1])
    for axis, offset in enumerate((dx, dy)):
        if offset.requires_grad:
            offset.register_hook(lambda g, axis=axis: _keep(absgrad, order, axis, g))
    a, b, c = (conics[:, i, None, None] for i in range(3))
    sigma = 0.5 * (a * dx**2 + c * dy**2) + b * dx * dy
    alpha = torch.clamp_max(opacities[:, None, None] * torch.exp(-sigma), MOST)
    alpha = torch.where((sigma >= 0) & (alpha >= LEAST), alpha, torch.zeros_like(alpha))
    passed = torch.cumprod(1 - alpha, 0)
    before = torch.cat([torch.ones_like(passed[:1]), passed[:-1]])
    return torch.where(passed > DONE, alpha * before, torch.zeros_like(alpha))


def _keep(absgrad: Any, order: Any, axis: int, gradient: Any) -> None:
    absgrad[0, order, axis] = gradient.abs().sum((1, 2))


def compute_relocation(opacities: Any, scales: Any, ratios: Any, binoms: Any) -> tuple[Any, Any]:
    """Do what gsplat's kernel of that name does, by ``splatting.mcmc.shared``."""
    del binoms
    new, shrink = shared(opacities.detach().numpy().astype(np.float64), ratios.numpy().astype(np.int64))
    kind = opacities.dtype
    return torch.tensor(new, dtype=kind), scales * torch.tensor(shrink, dtype=kind)[:, None]


def quat_scale_to_covar_preci(quats: Any, scales: Any, **asked: bool) -> tuple[Any, Any]:
    """Do what gsplat's kernel of that name does, by its reference."""
    return _torch_impl._quat_scale_to_covar_preci(quats, scales, **asked)  # noqa: SLF001


def stands_in(values: Any) -> bool:
    """Return whether it has to do what kernels cannot: they only work on what is on a GPU."""
    return not values.is_cuda


@contextmanager
def without_kernels() -> Iterator[None]:
    """Let gsplat's strategies do inside, on the CPU, what they call kernels for."""
    kept = {name: getattr(ops, name) for name in ("compute_relocation", "quat_scale_to_covar_preci")}
    ops.compute_relocation, ops.quat_scale_to_covar_preci = compute_relocation, quat_scale_to_covar_preci
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(ops, name, function)
