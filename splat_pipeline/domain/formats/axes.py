"""Gaussians in the axes of formats whose y points up and z to the viewer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from splat_pipeline.domain.gaussians import Gaussians

_EVEN = (1, -1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1)
"""What each harmonic becomes where y and z change sign: -1 where its polynomial is odd in y and z together."""


def half_turned(gaussians: Gaussians) -> Gaussians:
    """Return Gaussians turned by 180 degrees about x: y down, z forward (COLMAP) to y up, z backward, and back again.

    Positions and rotations change signs, and so do the harmonics (see ``Gaussians.sh`` for their order).
    """
    sign = np.array([1, -1, -1], np.float32)
    return replace(
        gaussians,
        means=gaussians.means * sign,
        quats=gaussians.quats * np.array([1, 1, -1, -1], np.float32),
        sh=gaussians.sh * np.array(_EVEN[: gaussians.sh.shape[1]], np.float32)[:, None],
    )
