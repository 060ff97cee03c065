"""The derivative of rho, which makes Gaussians fainter by as much as the blur makes them wider: see project.py.

a1, a2  the rows of A; c = a1 x a2, so that det(A A^T) = |c|^2
d       det S = |c|^2 + BLUR (|a1|^2 + |a2|^2) + BLUR^2
G       the sum of a Gaussian's dLoss/dalpha alpha: what its loss changes by with the logarithm of its opacity

    dLoss/da1 += G ((1/|c|^2 - 1/d) a2 x c - BLUR a1 / d)      dLoss/da2 += G ((1/|c|^2 - 1/d) c x a1 - BLUR a2 / d)

as log rho = (log |c|^2 - log d) / 2, and |c|^2 changes by 2 (a2 x c) . da1 + 2 (c x a1) . da2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from splat_pipeline.splatting import project
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import greater
from splat_pipeline.splatting.layout import FAST

TINY = np.float32(1e-30)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_rho(a: tuple[Any, ...], strength: Any) -> tuple[Any, ...]:
    """Return what rho adds to dLoss/dA by rows (6), from A by rows and ``strength``, G. All are Lanes."""
    _, _, _, determinant, sharp = project.covariance(a)
    c0, c1, c2 = a[1] * a[5] - a[2] * a[4], a[2] * a[3] - a[0] * a[5], a[0] * a[4] - a[1] * a[3]
    wide = strength * project.BLUR / determinant
    # Where |c| is 0 in float32 nothing was drawn: G is 0.
    thin = strength / greater(sharp, TINY) - strength / determinant
    return (
        (a[4] * c2 - a[5] * c1) * thin - a[0] * wide,
        (a[5] * c0 - a[3] * c2) * thin - a[1] * wide,
        (a[3] * c1 - a[4] * c0) * thin - a[2] * wide,
        (c1 * a[2] - c2 * a[1]) * thin - a[3] * wide,
        (c2 * a[0] - c0 * a[2]) * thin - a[4] * wide,
        (c0 * a[1] - c1 * a[0]) * thin - a[5] * wide,
    )
