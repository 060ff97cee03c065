"""How far to trust a pose, from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HALF_SURE_PX = 1.0
"""Displacement of the picture by 1 sigma of the pose, at 1000 px of longer side, that halves the confidence."""
FEW, NARROW_DEG = 10.0, 0.5
"""Observations and median triangulation angle that halve the confidence."""


@dataclass(frozen=True, kw_only=True)
class PoseSigma:
    """1 sigma of a pose, root of the sum over its three axes."""

    rotation_deg: float
    position: float
    """World units."""
    displacement_px: float
    """Of the picture, by the pose, when the lens is given: over the image at the median depth, at 1000 px of longer
    side. What pose and lens trade for each other does not show."""


def confidence(sigma: PoseSigma | None, observations: int, angle_deg: float, *, agreement: float = 1.0) -> float:
    """Return 0 to 1. ``agreement``: of windows that share the image, 0 to 1.

    Above 0.8 lie poses that displace the picture by less than half a pixel. Few observations and narrow angles count
    beside the covariance, which believes that every match is true.
    """
    if sigma is None or not np.isfinite([sigma.displacement_px, angle_deg]).all():
        return 0.0
    exact = 1 / (1 + (sigma.displacement_px / HALF_SURE_PX) ** 2)
    return float(agreement * exact * observations / (observations + FEW) * angle_deg / (angle_deg + NARROW_DEG))
