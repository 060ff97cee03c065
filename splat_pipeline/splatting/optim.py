"""Adam on the Gaussians that a view saw, in the same pass that computes their gradients.

rows    (N, W) parameters
first   (N, 16) Adam's first moment of the first line, uint16: the upper halves of float32
second  (N, W) Adam's second moment, uint16 likewise
rates   (W,) float32, learning rate of each column, of the first line divided by 1 - beta1^t
unbias  1 / sqrt(1 - beta2^t)
pulls   as in pullback.py
score   (N,) sum of |dLoss/d(u, v)| over the views that saw a Gaussian; seen (N,) how many did; weight (N,) the most
        that one of them shows of it: the sum of its blending weights, pixels

Kingma and Ba 2015, algorithm 1. Only visible Gaussians move: the others have no gradient, and decaying their moments
would cost more memory traffic than the rest of the step (Mallick et al. 2024, Taming 3DGS, section 4). For the same
reason the moments are bfloat16; the second is rounded at random: it changes by a thousandth at a time, which rounding
to the nearest would swallow. And harmonics have no first moment (Adam with beta1 = 0): held-out PSNR is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from splat_pipeline.splatting import layout, project
from splat_pipeline.splatting.halves import even_noise, hashed_noise, load_half, store_half
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, load, store
from splat_pipeline.splatting.layout import FAST, LINE, Float32, Int32, Real, UInt16
from splat_pipeline.splatting.pullback import WEIGHT, gather, make_desk, next_sixteen, pull_sixteen
from splat_pipeline.splatting.series import root

BETA1 = 0.9
BETA2 = 0.999
KEEP1 = np.float32(BETA1)
TAKE1 = np.float32(1 - BETA1)
KEEP2 = np.float32(BETA2)
TAKE2 = np.float32(1 - BETA2)
STRIDE = 0x9E3779B1
"""Between the keys of two moves: an odd number that shares no pattern with the rows."""
EPSILON = np.float32(1e-30)
"""Square of the 1e-15 of Kerbl et al., as it is added below the root: gradients of a mean over pixels are tiny."""
ONE = np.float32(1)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def smoothed(first: UInt16, at: int, g: Any) -> Any:
    """Return the first moments from ``at`` on with the gradients ``g`` (Lanes) taken in, and keep them."""
    m = load_half(first, at) * KEEP1 + g * TAKE1
    store_half(first, at, m, even_noise())
    return m


@njit(cache=True, fastmath=FAST, error_model="numpy")
def move_line(row: Float32, second: UInt16, at: int, g: Any, way: Any, unbias: Real, key: int) -> None:
    """Move the sixteen parameters from ``at`` on against ``way``, scaled by what their gradients ``g`` have been.

    ``way``: rates times first moments. ``key`` decides how the second moments are rounded.
    """
    v = load_half(second, at) * KEEP2 + g * g * TAKE2
    store_half(second, at, v, hashed_noise(key))
    # the reciprocal root of one number: hardware has an estimate of it, a root and a quotient take many times as long
    store(row, at, load(row, at) - way * (ONE / root(v * (unbias * unbias) + EPSILON)))


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def pull_back_and_step(
    rows: Float32,
    first: UInt16,
    second: UInt16,
    move: int,
    rates: Float32,
    unbias: Real,
    cam: Float32,
    degree: int,
    flat: Float32,
    visible: Int32,
    touched: Int32,
    slot_starts: Int32,
    records: Float32,
    score: Float32,
    seen: Float32,
    weight: Float32,
    pulls: tuple[Real, Real],
) -> None:
    """Differentiate as ``pullback.pull_back`` does and move the visible ``rows`` at once, for the ``move``-th time."""
    m, width, lines = len(visible), rows.shape[1], layout.lines(degree)
    parameters, firsts, seconds = rows.reshape(-1), first.reshape(-1), second.reshape(-1)
    for c in prange(project.CHUNKS):
        desk, who, strain = make_desk(width), np.zeros(WIDTH, np.int64), np.zeros(WIDTH, np.float32)
        r, end = c * m // project.CHUNKS, (c + 1) * m // project.CHUNKS
        while r < end:
            count, r = next_sixteen(visible, touched, slot_starts, records, r, end, who)
            gather(rows, flat, records, slot_starts, touched, who[:count], lines, desk)
            store(strain, 0, pull_sixteen(desk, cam, degree, pulls))
            for line in range(lines):
                speed = load(rates, line * LINE)
                for g in range(count):
                    gradient = load(desk[4], line * LINE * WIDTH + g * LINE)
                    at = who[g] * width + line * LINE
                    way = speed * (smoothed(firsts, who[g] * LINE, gradient) if line == 0 else gradient)
                    move_line(parameters, seconds, at, gradient, way, unbias, at + move * STRIDE)
            for g in range(count):
                score[who[g]] += strain[g]
                weight[who[g]] = max(weight[who[g]], desk[2, WEIGHT * WIDTH + g])
        # those that show nothing do not move, but count as seen: that is how they are found out
        for r in range(c * m // project.CHUNKS, end):
            seen[visible[r]] += project.ONE * (touched[visible[r]] > 0)
