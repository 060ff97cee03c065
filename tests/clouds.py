"""Gaussians of all kinds, for tests of what holds them."""

from __future__ import annotations

import numpy as np

from splat_pipeline.domain.gaussians import Gaussians


def some_gaussians(n: int, degree: int, seed: int) -> Gaussians:
    """Return Gaussians far and near, large and small, of any colour."""
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(n, 4))
    return Gaussians(
        means=rng.normal(size=(n, 3), scale=50).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        log_scales=rng.uniform(-9, 2, size=(n, 3)).astype(np.float32),
        logit_opacities=rng.normal(size=n, scale=4).astype(np.float32),
        sh=rng.normal(size=(n, (degree + 1) ** 2, 3)).astype(np.float32),
    )
