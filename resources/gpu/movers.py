"""Adam for each kind of number of the Gaussians, at its own pace.

all         every Gaussian moves at every step: torch's Adam
selective   those move that the picture shows: gsplat's SelectiveAdam, one kernel; on a GPU
sparse      the same by torch's SparseAdam: slower, and wherever torch runs. It makes the gradients sparse itself, see
            docs/decisions/0015
"""

from __future__ import annotations

import math
from typing import Any

import torch

from resources.gpu.splats import Splats
from splat_pipeline.splatting.recipe import TrainRecipe

BETAS, EPSILON = (0.9, 0.999), 1e-15
KINDS = ("all", "selective", "sparse")


def movers_of(splats: Splats, recipe: TrainRecipe, extent: float, *, kind: str) -> dict[str, Any]:
    """Return one optimiser a parameter. Raises ``ValueError`` for an unknown ``kind``."""
    if kind not in KINDS:
        raise ValueError(f"movers must be one of {', '.join(KINDS)}, got {kind!r}")
    return {
        name: _mover(splats[name], rate, kind) for name, rate in rates(recipe, extent, 0.0).items() if name in splats
    }


def _mover(values: Any, rate: float, kind: str) -> Any:
    if kind == "selective":
        from gsplat.optimizers import SelectiveAdam

        mover = SelectiveAdam([values], eps=EPSILON, betas=BETAS)
        mover.param_groups[0]["lr"] = rate
        return mover
    if kind == "sparse":
        return torch.optim.SparseAdam([values], lr=rate, eps=EPSILON, betas=BETAS)
    return torch.optim.Adam([values], lr=rate, eps=EPSILON, betas=BETAS, fused=values.is_cuda)


def rates(recipe: TrainRecipe, extent: float, share: float) -> dict[str, float]:
    """Return the step of each parameter after ``share`` of the training: see ``TrainRecipe``."""
    late = max(share - recipe.anneal_from, 0.0) / max(1 - recipe.anneal_from, 1e-9)
    calm = recipe.anneal_to**late
    decay = math.exp(share * math.log(recipe.means_rate_end / recipe.means_rate))
    return {
        "means": recipe.means_rate * decay * extent,
        "quats": recipe.quats_rate * calm,
        "scales": recipe.scales_rate * calm,
        "opacities": recipe.opacity_rate * calm,
        "sh0": recipe.color_rate * calm,
        "shN": recipe.detail_rate * calm,
    }


def move(movers: dict[str, Any], splats: Splats, shown: Any, kind: str) -> None:
    """Take one step against the gradients, which are cleared. ``shown`` (N,): whether the picture shows each."""
    for name, mover in movers.items():
        if kind == "selective":
            mover.step(shown)
        elif kind == "sparse":
            _only(splats[name], shown)
            mover.step()
        else:
            mover.step()
        mover.zero_grad(set_to_none=True)


def _only(values: Any, shown: Any) -> None:
    """Put a sparse gradient, of the rows that are shown, in the place of the dense one."""
    if values.grad is None or values.grad.is_sparse:
        return
    rows = shown.nonzero()[:, 0]
    values.grad = torch.sparse_coo_tensor(rows[None], values.grad[rows], values.shape, check_invariants=True).coalesce()


def set_rates(movers: dict[str, Any], wanted: dict[str, float]) -> None:
    """Let each take steps of the given size from now on."""
    for name, mover in movers.items():
        mover.param_groups[0]["lr"] = wanted[name]
