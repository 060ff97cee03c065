"""Gaussians in the axes of formats whose y points up and z to the viewer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from splat_pipeline.domain.gaussians import Gaussians

PLACE = np.array([1, -1, -1], np.float32)
"""What x y z are multiplied by."""
TURN = np.array([1, 1, -1, -1], np.float32)
"""The same of a quaternion wxyz."""
HARMONICS = np.array([1, -1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1], np.float32)
"""The same of each harmonic: -1 where its polynomial is odd in y and z together."""


def half_turned(gaussians: Gaussians) -> Gaussians:
    """Return Gaussians turned by 180 degrees about x: y down, z forward (COLMAP) to y up, z backward, and back again.

    Positions and rotations change signs, and so do the harmonics (see ``Gaussians.sh`` for their order).
    """
    return replace(
        gaussians,
        means=gaussians.means * PLACE,
        quats=gaussians.quats * TURN,
        sh=gaussians.sh * HARMONICS[: gaussians.sh.shape[1], None],
    )
