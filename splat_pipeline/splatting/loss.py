"""The photometric loss 0.8 L1 + 0.2 (1 - SSIM) with its derivative written by hand.

x, y     (3, H, W) float32, picture and truth
G        11x11 Gaussian window of sigma 1.5, separable, zeros outside the picture
ux, uy   G * x, G * y; sxx = G * x^2 - ux^2, sxy = G * xy - ux uy
S        (2 ux uy + C1)(2 sxy + C2) / ((ux^2 + uy^2 + C1)(sxx + syy + C2)), Wang et al. 2004,
         eq. 13, with C1 = 0.01^2, C2 = 0.03^2
maps     (3, 3, H, W): dS/d(G * x), dS/d(G * x^2), dS/d(G * xy) for each channel

    dLoss/dx = 0.8 sign(x - y) / n - 0.2 / n (G * maps[0] + 2 x G * maps[1] + y G * maps[2]),  n = 3 H W
as G is symmetric. Windows and weights are those of Kerbl et al. 2023, eq. 7. Each row is filtered down, then across,
while it is in the cache: no filtered picture is ever stored. As sxx and syy appear only as a sum, four filtered
pictures are enough: x, y, x^2 + y^2, x y.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, choose, lanes, load, room, store
from splat_pipeline.splatting.layout import Float32, Real
from splat_pipeline.splatting.series import size
from splat_pipeline.splatting.turns import total

REACH = 5
_window = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / 1.5) ** 2)
WINDOW = (_window / _window.sum()).astype(np.float32)
W0, W1, W2, W3, W4, W5 = WINDOW[5], WINDOW[6], WINDOW[7], WINDOW[8], WINDOW[9], WINDOW[10]
C1 = np.float32(0.01**2)
C2 = np.float32(0.03**2)
ONE = np.float32(1)
TWO = np.float32(2)
ZERO = np.float32(0)
SSIM_WEIGHT = 0.2
BANDS = 12
"""Shares of a channel's rows."""
ROWS = 2 * REACH + 1
"""Rows of a picture that are in reach of one."""
NUMBERS = np.arange(WIDTH, dtype=np.float32)


@njit(cache=True, fastmath=True, error_model="numpy")
def pitch_of(width: int) -> int:
    """Return the floats of a line of ``width`` pixels: WIDTH zeros on either side, and whole Lanes."""
    return (width + WIDTH - 1) // WIDTH * WIDTH + 2 * WIDTH


@njit(cache=True, fastmath=True, error_model="numpy")
def places_of(row: int, step: int) -> tuple[int, ...]:
    """Return where the eleven rows around ``row`` lie in a ring of rows, ``step`` floats each."""
    r = row + ROWS - REACH
    return (
        r % ROWS * step,
        (r + 1) % ROWS * step,
        (r + 2) % ROWS * step,
        (r + 3) % ROWS * step,
        (r + 4) % ROWS * step,
        (r + 5) % ROWS * step,
        (r + 6) % ROWS * step,
        (r + 7) % ROWS * step,
        (r + 8) % ROWS * step,
        (r + 9) % ROWS * step,
        (r + 10) % ROWS * step,
    )


@njit(cache=True, fastmath=True, error_model="numpy")
def down(ring: Float32, places: tuple[int, ...], at: int) -> Any:
    """Return the window's sums (Lanes) over the rows that begin at ``places`` of ``ring``, at their pixel ``at``."""
    return (
        load(ring, places[5] + at) * W0
        + (load(ring, places[4] + at) + load(ring, places[6] + at)) * W1
        + (load(ring, places[3] + at) + load(ring, places[7] + at)) * W2
        + (load(ring, places[2] + at) + load(ring, places[8] + at)) * W3
        + (load(ring, places[1] + at) + load(ring, places[9] + at)) * W4
        + (load(ring, places[0] + at) + load(ring, places[10] + at)) * W5
    )


@njit(cache=True, fastmath=True, error_model="numpy")
def across(lines: Float32, at: int) -> Any:
    """Return the window's sums (Lanes) over a line, around the pixel at ``at`` in ``lines``."""
    return (
        load(lines, at) * W0
        + (load(lines, at - 1) + load(lines, at + 1)) * W1
        + (load(lines, at - 2) + load(lines, at + 2)) * W2
        + (load(lines, at - 3) + load(lines, at + 3)) * W3
        + (load(lines, at - 4) + load(lines, at + 4)) * W4
        + (load(lines, at - 5) + load(lines, at + 5)) * W5
    )


@njit(cache=True, fastmath=True, error_model="numpy")
def filter_down(ring: Float32, lines: Float32, row: int, pitch: int, count: int) -> None:
    """Filter the ``count`` lines around ``row`` in ``ring`` down into ``lines``, ``pitch`` floats each."""
    places = places_of(row, count * pitch)
    for m in range(count):
        for at in range(m * pitch + WIDTH, (m + 1) * pitch - WIDTH, WIDTH):
            store(lines, at, down(ring, places, at))


@njit(cache=True, fastmath=True, error_model="numpy")
def compare_row(lines: Float32, found: Float32, width: int, pitch: int, numbers: Any) -> Real:
    """Filter the four ``lines`` across; write the three maps' row to ``found`` and return the sum of S over the row."""
    similar = lanes(ZERO)
    for i in range(0, width, WIDTH):
        at = WIDTH + i
        ux, uy = across(lines, at), across(lines, at + pitch)
        both, product = ux * ux + uy * uy, ux * uy
        a1, a2 = product * TWO + C1, (across(lines, at + 3 * pitch) - product) * TWO + C2
        b1, b2 = both + C1, across(lines, at + 2 * pitch) - both + C2
        scale = ONE / (b1 * b2)
        s = a1 * a2 * scale
        dxx, dxy = -ONE * s * b1 * scale, a1 * scale * TWO
        store(found, i, (uy * a2 * scale - s * ux * b2 * scale - ux * dxx) * TWO - uy * dxy)
        store(found, i + pitch, dxx)
        store(found, i + 2 * pitch, dxy)
        similar = similar + choose(numbers < np.float32(width - i), s, ZERO)
    over_row: Real = total(similar)
    return over_row


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def similarity(x: Float32, y: Float32, maps: Float32, sums: Float32) -> None:
    """Write ``maps`` (3, 3, H, W) and, in ``sums`` (3, H), the sum of S over each row of pixels."""
    height, width = x.shape[1], x.shape[2]
    pitch = pitch_of(width)
    for task in prange(3 * BANDS):
        channel, band = task % 3, task // 3
        ring, lines, found = room(ROWS * 4 * pitch), room(4 * pitch), room(3 * pitch)
        ring[:] = ZERO
        lines[:] = ZERO
        numbers = load(NUMBERS.copy(), 0)
        first, end = band * height // BANDS, (band + 1) * height // BANDS
        for j in range(first - REACH, end + REACH):
            at = (j + ROWS) % ROWS * 4 * pitch
            mine = ring[at : at + 4 * pitch]
            if 0 <= j < height:
                for i in range(width):
                    q = np.uint64(WIDTH) + np.uint64(i)
                    a, b = x[channel, j, i], y[channel, j, i]
                    mine[q] = a
                    mine[q + np.uint64(pitch)] = b
                    mine[q + np.uint64(2 * pitch)] = a * a + b * b
                    mine[q + np.uint64(3 * pitch)] = a * b
            else:
                mine[:] = ZERO
            row = j - REACH
            if row >= first:
                filter_down(ring, lines, row, pitch, 4)
                sums[channel, row] = compare_row(lines, found, width, pitch, numbers)
                for m in range(3):
                    maps[m, channel, row] = found[m * pitch : m * pitch + width]


@njit(cache=True, fastmath=True, error_model="numpy")
def pull_row(lines: Float32, pair: Float32, width: int, pitch: int, weights: tuple[Real, Real], numbers: Any) -> Real:
    """Filter the three ``lines`` across; write a row's dLoss/dx over its x in ``pair``; return the sum of |x - y|."""
    similar, absolute = weights
    apart = lanes(ZERO)
    for i in range(0, width, WIDTH):
        at = WIDTH + i
        a, b = load(pair, i), load(pair, i + pitch)
        d = a - b
        sign = choose(d > ZERO, absolute, choose(d < ZERO, -absolute, ZERO))
        pull = across(lines, at) + a * across(lines, at + pitch) * TWO + b * across(lines, at + 2 * pitch)
        store(pair, i, sign - pull * similar)
        apart = apart + choose(numbers < np.float32(width - i), size(d), ZERO)
    distance: Real = total(apart)
    return distance


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def gradient_of(x: Float32, y: Float32, maps: Float32, weight: Real, gradient: Float32, sums: Float32) -> None:
    """Write dLoss/dx to ``gradient`` (3, H, W) and, in ``sums`` (3, H), the sum of |x - y| over each row of pixels.

    ``weight``: the share of 1 - SSIM in the loss.
    """
    height, width = x.shape[1], x.shape[2]
    pitch = pitch_of(width)
    weights = (weight / np.float32(3 * height * width), (ONE - weight) / np.float32(3 * height * width))
    for task in prange(3 * BANDS):
        channel, band = task % 3, task // 3
        ring, lines, pair = room(ROWS * 3 * pitch), room(3 * pitch), room(2 * pitch)
        ring[:] = ZERO
        lines[:] = ZERO
        numbers = load(NUMBERS.copy(), 0)
        first, end = band * height // BANDS, (band + 1) * height // BANDS
        for j in range(first - REACH, end + REACH):
            at = (j + ROWS) % ROWS * 3 * pitch + WIDTH
            for m in range(3):
                mine = ring[at + m * pitch : at + m * pitch + width]
                if 0 <= j < height:
                    mine[:] = maps[m, channel, j]
                else:
                    mine[:] = ZERO
            row = j - REACH
            if row >= first:
                filter_down(ring, lines, row, pitch, 3)
                pair[:width], pair[pitch : pitch + width] = x[channel, row], y[channel, row]
                sums[channel, row] = pull_row(lines, pair, width, pitch, weights, numbers)
                gradient[channel, row] = pair[:width]


def loss_and_gradient(
    x: Float32, y: Float32, maps: Float32, gradient: Float32, *, ssim_weight: float = SSIM_WEIGHT
) -> tuple[float, float]:
    """Return (loss, L1) of the picture ``x`` against the truth ``y``, both (3, H, W), and fill ``gradient`` alike.

    ``maps`` (3, 3, H, W) is room to work.
    """
    sums = np.empty((2, *x.shape[:2]), np.float32)
    similarity(x, y, maps, sums[0])
    gradient_of(x, y, maps, np.float32(ssim_weight), gradient, sums[1])
    mean_ssim = float(sums[0].sum(dtype=np.float64)) / x.size
    l1 = float(sums[1].sum(dtype=np.float64)) / x.size
    return (1 - ssim_weight) * l1 + ssim_weight * (1 - mean_ssim), l1
