"""Gaussians as torch trains them.

means (N, 3), quats (N, 4) wxyz, scales (N, 3) logarithms, opacities (N,) logits, sh0 (N, 1, 3), shN (N, K - 1, 3): the
names that gsplat's strategies go by. There is no shN where K is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from splat_pipeline.domain.gaussians import Gaussians

Splats = Any
"""A ``torch.nn.ParameterDict`` of the above."""


def splats_of(gaussians: Gaussians, device: Any) -> Splats:
    """Return a copy on ``device`` that can be trained."""
    arrays = {
        "means": gaussians.means,
        "quats": gaussians.quats,
        "scales": gaussians.log_scales,
        "opacities": gaussians.logit_opacities,
        "sh0": gaussians.sh[:, :1],
        "shN": gaussians.sh[:, 1:],
    }
    return from_arrays({name: values for name, values in arrays.items() if values.size or name != "shN"}, device)


def from_arrays(arrays: dict[str, Any], device: Any) -> Splats:
    """Return parameters of these values, by name."""
    tensors = {name: torch.tensor(np.ascontiguousarray(values), device=device) for name, values in arrays.items()}
    return torch.nn.ParameterDict({name: torch.nn.Parameter(values) for name, values in tensors.items()})


def gaussians_of(
    splats: Splats, *, background: tuple[float, float, float] = (0.0, 0.0, 0.0), antialiased: bool = False
) -> Gaussians:
    """Return a copy in the machine's memory, quaternions of unit length."""
    arrays = {name: values.detach().cpu().numpy() for name, values in splats.items()}
    quats = arrays["quats"] / np.maximum(np.linalg.norm(arrays["quats"], axis=1, keepdims=True), 1e-12)
    bands = [arrays[name] for name in ("sh0", "shN") if name in arrays]
    return Gaussians(
        means=arrays["means"].copy(),
        quats=quats.astype(np.float32),
        log_scales=arrays["scales"].copy(),
        logit_opacities=arrays["opacities"].copy(),
        sh=np.concatenate(bands, axis=1),
        background=background,
        antialiased=antialiased,
    )


def harmonics(splats: Splats) -> Any:
    """Return (N, K, 3)."""
    return torch.cat([splats["sh0"], splats["shN"]], 1) if "shN" in splats else splats["sh0"]
