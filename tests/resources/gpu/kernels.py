"""gsplat's CUDA functions in plain torch, by the names and arguments with which its Python code calls them.

With them that code, which our trainer calls on a GPU, runs without one: ``rasterization``, its derivatives, packed
mode, ``SelectiveAdam`` and the strategies. As the kernels do (gsplat 1.5.3, ``cuda/csrc``), they insist on contiguous
memory and leave what they do not write to chance: here it is not a number.
"""

from __future__ import annotations

from typing import Any

import torch
from gsplat.cuda import _torch_impl

from resources.gpu.reference import _weights

NOTHING = float("nan")


def projection_ewa_3dgs_fused_fwd(
    means: Any, covars: Any, quats: Any, scales: Any, opacities: Any, viewmats: Any, lenses: Any, *rest: Any
) -> Any:
    width, height, eps2d, near, _, clip, sharp, model = rest
    assert covars is None
    assert (near, clip, model) == (0.01, 0.0, "PINHOLE")
    contiguous(means, quats, scales, opacities, viewmats, lenses)
    found = _projected(means, quats, scales, viewmats, lenses, width, height, eps2d, sharp)
    hidden = (found[0] <= 0).any(-1)
    radii = found[0].masked_fill(hidden[..., None], 0)
    places, depths, conics = (chance(values, hidden) for values in found[1:4])
    return radii, places, depths, conics, found[4].masked_fill(hidden, 0) if sharp else None


def projection_ewa_3dgs_fused_bwd(*given: Any) -> Any:
    radii, (_, compensations, *upstream, turns) = given[10], given[11:]
    shown = (radii > 0).all(-1)
    contiguous(*(values for values in upstream if values is not None))
    upstream = [None if values is None else values[shown] for values in upstream]
    return _projected_back(given, lambda values: values[shown], compensations is not None, upstream, turns)


def projection_ewa_3dgs_packed_fwd(*given: Any) -> Any:
    radii, *found = projection_ewa_3dgs_fused_fwd(*given)
    assert len(radii) == 1, "one camera at a time"
    ids = (radii[0] > 0).all(-1).nonzero()[:, 0]
    none = torch.zeros_like(ids)
    rows = [None if values is None else values[0, ids] for values in (radii, *found)]
    return torch.tensor([0, len(ids)], dtype=torch.int32), none, none, ids, *rows


def projection_ewa_3dgs_packed_bwd(*given: Any) -> Any:
    ids, (_, compensations, *upstream, turns, sparse) = given[12], given[13:]
    contiguous(*(values for values in upstream if values is not None))
    found = _projected_back(given, lambda values: values[0, ids], compensations is not None, upstream, turns)
    return [values if values is None or not sparse else values[ids] for values in found[:-1]] + [found[-1]]


def _projected(
    means: Any, quats: Any, scales: Any, viewmats: Any, lenses: Any, width: int, height: int, eps2d: float, sharp: bool
) -> Any:
    covariances, _ = _torch_impl._quat_scale_to_covar_preci(quats, scales, True, False)
    return _torch_impl._fully_fused_projection(
        means, covariances, viewmats, lenses, width, height, eps2d, calc_compensations=sharp
    )


def _projected_back(given: Any, rows: Any, sharp: bool, upstream: Any, turns: bool) -> Any:
    means, _, quats, scales, viewmats, lenses, width, height, eps2d, model = given[:10]
    assert model == "PINHOLE"
    with torch.enable_grad():
        own = [values.detach().clone().requires_grad_() for values in (means, quats, scales, viewmats)]
        made = _projected(*own, lenses, width, height, eps2d, sharp)[1:]
        pairs = [(rows(values), back) for values, back in zip(made, upstream, strict=True) if values is not None]
        total = sum((values * back).sum() for values, back in pairs)
        v_means, v_quats, v_scales, v_viewmats = torch.autograd.grad(total, own)
    return v_means, None, v_quats, v_scales, v_viewmats if turns else None


def intersect_tile(means2d: Any, radii: Any, depths: Any, *rest: Any) -> Any:
    """All that is seen, front to back, as if there were one tile."""
    contiguous(means2d, radii, depths)
    shown = (radii.reshape(-1, 2) > 0).all(-1).nonzero()[:, 0]
    order = shown[torch.argsort(depths.reshape(-1)[shown])]
    return torch.ones_like(depths, dtype=torch.int32), order, order.int()


def intersect_offset(ids: Any, images: int, width: int, height: int) -> Any:
    return torch.zeros(images, height, width, dtype=torch.int32)


def rasterize_to_pixels_3dgs_fwd(
    means2d: Any, conics: Any, colors: Any, opacities: Any, backgrounds: Any, masks: Any, *rest: Any
) -> Any:
    width, height, _, _, order = rest
    assert backgrounds is masks is None
    contiguous(means2d, conics, colors, opacities)
    image, alpha = _blended(means2d, conics, colors, opacities, (width, height), order)
    batch = means2d.shape[:-2] or (1,)
    last = torch.zeros(*batch, height, width, dtype=torch.int32)
    return image.reshape(*batch, height, width, -1), alpha.reshape(*batch, height, width, 1), last


def rasterize_to_pixels_3dgs_bwd(
    means2d: Any, conics: Any, colors: Any, opacities: Any, backgrounds: Any, masks: Any, *rest: Any
) -> Any:
    width, height, _, _, order, _, _, v_image, v_alpha, absolute = rest
    contiguous(v_image, v_alpha)
    given = (means2d, conics, colors, opacities)
    sums = torch.zeros(1, means2d.reshape(-1, 2).shape[0], 2)
    with torch.enable_grad():
        own = [values.detach().clone().requires_grad_() for values in given]
        image, alpha = _blended(*own, (width, height), order, sums)
        total = (image * v_image.reshape(image.shape)).sum() + (alpha * v_alpha.reshape(alpha.shape)).sum()
        back = torch.autograd.grad(total, own)
    return sums.reshape(means2d.shape) if absolute else None, *back


def _blended(
    means2d: Any, conics: Any, colors: Any, opacities: Any, size: Any, order: Any, sums: Any = None
) -> tuple[Any, Any]:
    order = order.long()
    rows = (means2d.reshape(-1, 2)[order], conics.reshape(-1, 3)[order], opacities.reshape(-1)[order])
    weights = _weights(*rows, size, order=order, absgrad=sums)
    return torch.einsum("nhw,nc->hwc", weights, colors.reshape(-1, colors.shape[-1])[order]), weights.sum(0)


def spherical_harmonics_fwd(degree: int, dirs: Any, coeffs: Any, masks: Any) -> Any:
    contiguous(dirs, coeffs, masks)
    return chance(_torch_impl._spherical_harmonics(degree, dirs, coeffs), ~masks)


def spherical_harmonics_bwd(
    bases: int, degree: int, dirs: Any, coeffs: Any, masks: Any, v_colors: Any, turns: bool
) -> Any:
    contiguous(v_colors)
    with torch.enable_grad():
        own = [values.detach().clone().requires_grad_() for values in (coeffs, dirs)]
        colors = _torch_impl._spherical_harmonics(degree, own[1], own[0])
        v_coeffs, v_dirs = torch.autograd.grad((colors * v_colors)[masks].sum(), own, allow_unused=True)
    return v_coeffs, (torch.zeros_like(dirs) if v_dirs is None else v_dirs) if turns else None


def adam(values: Any, gradient: Any, first: Any, second: Any, valid: Any, *rest: float) -> None:
    rate, b1, b2, epsilon = rest
    contiguous(values, gradient, first, second, valid)
    assert (valid.dtype, valid.dim(), len(valid)) == (torch.bool, 1, len(values))
    first[valid] = b1 * first[valid] + (1 - b1) * gradient[valid]
    second[valid] = b2 * second[valid] + (1 - b2) * gradient[valid] ** 2
    values[valid] -= rate * first[valid] / (second[valid].sqrt() + epsilon)


def relocation(opacities: Any, scales: Any, ratios: Any, binoms: Any, most: int) -> Any:
    """Equation 9 of Kheradmand et al. 2024, as ``RelocationCUDA.cu`` has it."""
    contiguous(opacities, scales, ratios, binoms)
    assert (ratios.dtype, binoms.shape) == (torch.int32, (most, most))
    new = 1 - (1 - opacities) ** (1 / ratios)
    total = torch.zeros_like(new)
    for i in range(1, int(ratios.max()) + 1):
        for k in range(i):
            total += (i <= ratios) * binoms[i - 1, k] * (-1) ** k / (k + 1) ** 0.5 * new ** (k + 1)
    return new, (opacities / total)[:, None] * scales


def quat_scale_to_covar_preci_fwd(quats: Any, scales: Any, *asked: bool) -> Any:
    contiguous(quats, scales)
    return _torch_impl._quat_scale_to_covar_preci(quats, scales, *asked)


def contiguous(*tensors: Any) -> None:
    """Refuse what gsplat's CHECK_INPUT does, but for where it lies."""
    for values in tensors:
        assert not values.is_sparse
        assert values.is_contiguous()


def chance(values: Any, hidden: Any) -> Any:
    """Return ``values`` with what no kernel writes."""
    return values.masked_fill(hidden.reshape(*hidden.shape, *[1] * (values.dim() - hidden.dim())), NOTHING)


def installed(monkeypatch: Any) -> list[str]:
    """Let gsplat call these, and our trainer take them for a GPU's; return what grows by each that is called."""
    import gsplat.relocation
    from gsplat.cuda import _wrapper

    from resources.gpu import reference

    called: list[str] = []

    def named(name: str) -> Any:
        called.append(name)
        return globals()[name]

    for module in (_wrapper, gsplat.relocation):
        monkeypatch.setattr(module, "_make_lazy_cuda_func", named)
    monkeypatch.setattr(_wrapper, "_make_lazy_cuda_obj", lambda name: name.removeprefix("CameraModelType."))
    monkeypatch.setattr(reference, "stands_in", lambda values: False)
    return called
