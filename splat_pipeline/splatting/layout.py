"""How Gaussians lie in memory while they are rendered and trained.

N     Gaussians
K     spherical-harmonic coefficients a channel
rows  (N, W) float32, one row a Gaussian, W = 16 + 3 (K - 1) rounded up to a multiple of 16

One row holds all that belongs to a Gaussian, so that one visit (project, differentiate, optimise) touches neighbouring
memory once. Its first 16 floats are one cache line of 64 bytes: the geometry and the colour of degree 0; the higher
coefficients follow, degree by degree, so that a training that has not come to the higher degrees leaves them alone.

    column  0 1 2      3 4 5 6     7 8 9       10             11 12 13         14 15   16 17 18       19 ...
            mean       quaternion  log scale   logit opacity  red green blue   unused  red green blue of the next, ...
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.splatting.kernels import njit

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt16 = NDArray[np.uint16]
Real: TypeAlias = np.float32 | float
"""Inside kernels every real number is a float32: numba would turn an untyped constant into float64."""

FAST = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""Liberties that kernels take with arithmetic. Not that NaN cannot happen: what is not finite must be seen as such."""

MEAN = 0
QUAT = 3
SCALE = 7
OPACITY = 10
COLOR = 11
SH = 16
LINE = 16
"""Floats in a cache line of 64 bytes."""
RECORD = 10
"""Floats of what the backward pass writes of a pair of tile and Gaussian: see blend.py."""


@njit(cache=True)
def lines(degree: int) -> int:
    """Return how many cache lines of a row harmonics up to ``degree`` take, the geometry's among them."""
    return (SH + 3 * ((degree + 1) ** 2 - 1) + LINE - 1) // LINE


def make_records(pairs: int) -> Float32:
    """Return (pairs, RECORD), with some memory to spare behind it, as kernels read a whole line at a time."""
    return np.zeros(pairs * RECORD + LINE, np.float32)[: pairs * RECORD].reshape(pairs, RECORD)


def width(coefficients: int) -> int:
    """Return W, the floats of a row with ``coefficients`` harmonics a channel."""
    return -(-(SH + 3 * (coefficients - 1)) // LINE) * LINE


def aligned(rows: int, columns: int) -> Float32:
    """Return a zeroed (rows, columns) float32 array that starts on a cache line."""
    raw = np.zeros(rows * columns + LINE, dtype=np.float32)
    skip = (-raw.ctypes.data % 64) // 4
    return raw[skip : skip + rows * columns].reshape(rows, columns)


def halves(rows: int, columns: int) -> UInt16:
    """Return the same of uint16; ``columns`` must be even."""
    return aligned(rows, columns // 2).view(np.uint16)


def pack(gaussians: Gaussians, capacity: int | None = None) -> Float32:
    """Return the rows of ``gaussians``, with room for ``capacity`` Gaussians (the others are zero)."""
    n, k = len(gaussians), gaussians.sh.shape[1]
    rows = aligned(max(n, capacity or 0), width(k))
    rows[:n, MEAN : MEAN + 3] = gaussians.means
    rows[:n, QUAT : QUAT + 4] = gaussians.quats
    rows[:n, SCALE : SCALE + 3] = gaussians.log_scales
    rows[:n, OPACITY] = gaussians.logit_opacities
    rows[:n, COLOR : COLOR + 3] = gaussians.sh[:, 0]
    rows[:n, SH : SH + 3 * (k - 1)] = gaussians.sh[:, 1:].reshape(n, 3 * (k - 1))
    return rows


def unpack(rows: Float32, coefficients: int) -> Gaussians:
    """Return the Gaussians of ``rows`` (N, W), quaternions of length one."""
    n = len(rows)
    quats = rows[:, QUAT : QUAT + 4]
    norms = np.linalg.norm(quats, axis=1, keepdims=True)
    unit = np.where(norms > 0, quats / np.maximum(norms, np.float32(1e-30)), np.array([1, 0, 0, 0], np.float32))
    return Gaussians(
        means=rows[:, MEAN : MEAN + 3].copy(),
        quats=unit.astype(np.float32),
        log_scales=rows[:, SCALE : SCALE + 3].copy(),
        logit_opacities=rows[:, OPACITY].copy(),
        sh=np.hstack([rows[:, COLOR : COLOR + 3], rows[:, SH : SH + 3 * (coefficients - 1)]]).reshape(n, -1, 3),
    )
