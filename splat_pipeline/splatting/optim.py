"""Adam on the Gaussians that a view saw, in the same pass that computes their gradients.

rows    (N, W) parameters; first, second (N, W) Adam's moments, laid out alike
rates   (W,) float32, learning rate of each column, divided by 1 - beta1^t
unbias  1 / sqrt(1 - beta2^t)
score   (N,) sum of |dLoss/d(u, v)| over the views that saw a Gaussian; seen (N,) how many did

Kingma and Ba 2015, algorithm 1. Only visible Gaussians move: the others have no gradient, and decaying their moments
would cost more memory traffic than the rest of the step (Mallick et al. 2024, Taming 3DGS, section 4).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from splat_pipeline.splatting import project
from splat_pipeline.splatting.layout import FAST, Float32, Int32, Int64, Real
from splat_pipeline.splatting.pullback import SUMS, add_records, pull_one

BETA1 = 0.9
BETA2 = 0.999
KEEP1 = np.float32(BETA1)
TAKE1 = np.float32(1 - BETA1)
KEEP2 = np.float32(BETA2)
TAKE2 = np.float32(1 - BETA2)
EPSILON = np.float32(1e-15)
"""As in Kerbl et al.: gradients of a mean over pixels are tiny."""


@njit(cache=True, fastmath=FAST, error_model="numpy")
def adam_row(row: Float32, first: Float32, second: Float32, gradient: Float32, rates: Float32, unbias: Real) -> None:
    """Move one row."""
    for j in range(len(rates)):
        g = gradient[j]
        m = KEEP1 * first[j] + TAKE1 * g
        v = KEEP2 * second[j] + TAKE2 * g * g
        first[j] = m
        second[j] = v
        row[j] -= rates[j] * m / (math.sqrt(v) * unbias + EPSILON)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def pull_back_and_step(
    rows: Float32,
    first: Float32,
    second: Float32,
    rates: Float32,
    unbias: Real,
    cam: Float32,
    degree: int,
    k: int,
    flat: Float32,
    visible: Int32,
    touched: Int32,
    slot_starts: Int64,
    records: Float32,
    score: Float32,
    seen: Float32,
) -> None:
    """Differentiate as ``pullback.pull_back`` does and move the visible ``rows`` at once."""
    m = len(visible)
    for c in prange(project.CHUNKS):
        room, total = np.zeros((4, 16), np.float32), np.empty(SUMS, np.float32)
        gradient = np.zeros(rows.shape[1], np.float32)
        for r in range(c * m // project.CHUNKS, (c + 1) * m // project.CHUNKS):
            i = visible[r]
            if touched[i] == 0:
                continue
            add_records(records, slot_starts[i], touched[i], total)
            score[i] += pull_one(rows[i], cam, degree, k, flat[i], total, room, gradient)
            seen[i] += project.ONE
            adam_row(rows[i], first[i], second[i], gradient, rates, unbias)
