"""The photometric loss (1 - w) L1 + w (1 - SSIM) + q MSE with its derivative written by hand.

x, y     (3, H, W) float32, picture and truth
G        11x11 Gaussian window of sigma 1.5, separable, zeros outside the picture
ux, uy   G * x, G * y; sxx = G * x^2 - ux^2, sxy = G * xy - ux uy
S        (2 ux uy + C1)(2 sxy + C2) / ((ux^2 + uy^2 + C1)(sxx + syy + C2)), Wang et al. 2004,
         eq. 13, with C1 = 0.01^2, C2 = 0.03^2
maps     dS/d(G * x), dS/d(G * x^2), dS/d(G * xy): three numbers a pixel, zeros outside the picture

    dLoss/dx = (1 - w) sign(x - y) / n + 2 q (x - y) / n - w / n (G * maps[0] + 2 x G * maps[1] + y G * maps[2]),
n = 3 H W, as G is symmetric. Windows are those of Kerbl et al. 2023, eq. 7, where w is 0.2 and q is 0. As sxx and syy
appear only as a sum, four filtered pictures are enough: x, y, x^2 + y^2, x y.

A band of a channel's rows is walked down once, four rows at a time: rows of the pictures enter a ring, ten rows behind
them rows of the maps enter another, another ten behind the gradient is done. Nothing but the gradient is ever written
to memory. Each row of a ring is loaded once for four filtered rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, choose, lanes, load, room, store
from splat_pipeline.splatting.layout import Float32, Real
from splat_pipeline.splatting.series import size
from splat_pipeline.splatting.shares import WORKERS, take_next
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
BAND = 80
"""Rows of a channel that a thread takes at a time, about. Each band looks at twenty rows of its neighbours' again."""
STEP = 4
"""Rows worked on at once."""
RING = 16
"""Rows kept: four with all in their reach are fourteen."""
NUMBERS = np.arange(WIDTH, dtype=np.float32)


@njit(cache=True, fastmath=True, error_model="numpy")
def pitch_of(width: int) -> int:
    """Return the floats of a line of ``width`` pixels: WIDTH zeros on either side, and whole Lanes."""
    return (width + WIDTH - 1) // WIDTH * WIDTH + 2 * WIDTH


@njit(cache=True, fastmath=True, error_model="numpy")
def window(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, i: Any, j: Any, k: Any) -> Any:
    """Return the window's sums (Lanes) of eleven neighbours."""
    return f * W0 + (e + g) * W1 + (d + h) * W2 + (c + i) * W3 + (b + j) * W4 + (a + k) * W5


@njit(cache=True, fastmath=True, error_model="numpy")
def across(lines: Float32, at: int) -> Any:
    """Return the window's sums (Lanes) over a line, around the pixel at ``at`` in ``lines``."""
    return window(
        load(lines, at - 5),
        load(lines, at - 4),
        load(lines, at - 3),
        load(lines, at - 2),
        load(lines, at - 1),
        load(lines, at),
        load(lines, at + 1),
        load(lines, at + 2),
        load(lines, at + 3),
        load(lines, at + 4),
        load(lines, at + 5),
    )


@njit(cache=True, fastmath=True, error_model="numpy")
def filter_down(ring: Float32, lines: Float32, row: int, pitch: int, count: int) -> None:
    """Filter the rows from ``row`` to ``row`` + 3, of ``count`` lines each, down from ``ring`` into ``lines``."""
    each = count * pitch
    base = row + RING - REACH
    p0, p1, p2, p3 = base % RING * each, (base + 1) % RING * each, (base + 2) % RING * each, (base + 3) % RING * each
    p4, p5 = (base + 4) % RING * each, (base + 5) % RING * each
    p6, p7 = (base + 6) % RING * each, (base + 7) % RING * each
    p8, p9 = (base + 8) % RING * each, (base + 9) % RING * each
    pa, pb = (base + 10) % RING * each, (base + 11) % RING * each
    pc, pd = (base + 12) % RING * each, (base + 13) % RING * each
    for m in range(count):
        for at in range(m * pitch + WIDTH, (m + 1) * pitch - WIDTH, WIDTH):
            r0, r1, r2, r3 = load(ring, p0 + at), load(ring, p1 + at), load(ring, p2 + at), load(ring, p3 + at)
            r4, r5, r6, r7 = load(ring, p4 + at), load(ring, p5 + at), load(ring, p6 + at), load(ring, p7 + at)
            r8, r9, ra, rb = load(ring, p8 + at), load(ring, p9 + at), load(ring, pa + at), load(ring, pb + at)
            rc, rd = load(ring, pc + at), load(ring, pd + at)
            store(lines, at, window(r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra))
            store(lines, at + each, window(r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb))
            store(lines, at + 2 * each, window(r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc))
            store(lines, at + 3 * each, window(r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd))


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
        inside = numbers < np.float32(width - i)
        store(found, at, choose(inside, (uy * a2 * scale - s * ux * b2 * scale - ux * dxx) * TWO - uy * dxy, ZERO))
        store(found, at + pitch, choose(inside, dxx, ZERO))
        store(found, at + 2 * pitch, choose(inside, dxy, ZERO))
        similar = similar + choose(inside, s, ZERO)
    over_row: Real = total(similar)
    return over_row


@njit(cache=True, fastmath=True, error_model="numpy")
def read_row(a: Float32, b: Float32, mine: Float32, pitch: int) -> None:
    """Write a row of the picture ``a`` (W,), of the truth ``b`` and of their squares and product to ``mine``."""
    for i in range(len(a)):
        mine[np.uint64(WIDTH) + np.uint64(i)] = a[i]
        mine[np.uint64(WIDTH + pitch) + np.uint64(i)] = b[i]
    for at in range(WIDTH, pitch - WIDTH, WIDTH):
        x, y = load(mine, at), load(mine, at + pitch)
        store(mine, at + 2 * pitch, x * x + y * y)
        store(mine, at + 3 * pitch, x * y)


@njit(cache=True, fastmath=True, error_model="numpy")
def pull_row(
    lines: Float32, x: Float32, y: Float32, pair: Float32, pitch: int, weights: tuple[Real, Real, Real], numbers: Any
) -> Real:
    """Filter the three ``lines`` across; write a row's dLoss/dx to ``pair``; return the sum of |x - y|.

    ``x``, ``y`` (W,): the row of the picture and of the truth. ``pair``: room for two lines.
    """
    width = len(x)
    similar, absolute, squared = weights
    for i in range(width):
        pair[np.uint64(WIDTH) + np.uint64(i)] = x[i]
        pair[np.uint64(WIDTH + pitch) + np.uint64(i)] = y[i]
    apart = lanes(ZERO)
    for i in range(0, width, WIDTH):
        at = WIDTH + i
        a, b = load(pair, at), load(pair, at + pitch)
        d = a - b
        sign = choose(d > ZERO, absolute, choose(d < ZERO, -absolute, ZERO))
        pull = across(lines, at) + a * across(lines, at + pitch) * TWO + b * across(lines, at + 2 * pitch)
        store(pair, at, sign + d * squared - pull * similar)
        apart = apart + choose(numbers < np.float32(width - i), size(d), ZERO)
    distance: Real = total(apart)
    return distance


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def differentiate(x: Float32, y: Float32, asked: tuple[Real, Real], gradient: Float32, sums: Float32) -> None:
    """Write dLoss/dx to ``gradient`` (3, H, W) and each row's sums of S and of |x - y| to ``sums`` (2, 3, H).

    ``asked``: w and q.
    """
    height, width = x.shape[1], x.shape[2]
    pitch = pitch_of(width)
    n = np.float32(3 * height * width)
    weights = (asked[0] / n, (ONE - asked[0]) / n, TWO * asked[1] / n)
    bands = (height + BAND - 1) // BAND
    counter = np.zeros(1, np.int64)
    for _ in prange(WORKERS):
        task = take_next(counter)
        if task >= 3 * bands:
            continue
        ring, maps, lines = room(RING * 4 * pitch), room(RING * 3 * pitch), room(STEP * 4 * pitch)
        numbers = load(NUMBERS.copy(), 0)
        while task < 3 * bands:
            channel, band = task % 3, task // 3
            ring[:], maps[:], lines[:] = ZERO, ZERO, ZERO
            first, end = band * height // bands, (band + 1) * height // bands
            for g in range(first - 6 * STEP, end, STEP):
                m, f = g + REACH, g + 2 * REACH
                for j in range(f, f + STEP):
                    mine = ring[(j + RING) % RING * 4 * pitch : ((j + RING) % RING + 1) * 4 * pitch]
                    if 0 <= j < height:
                        read_row(x[channel, j], y[channel, j], mine, pitch)
                    else:
                        mine[:] = ZERO
                if m < first - REACH - STEP:
                    continue
                filter_down(ring, lines, m, pitch, 4)
                for j in range(m, m + STEP):
                    mine = maps[(j + RING) % RING * 3 * pitch : ((j + RING) % RING + 1) * 3 * pitch]
                    if 0 <= j < height:
                        similar = compare_row(lines[(j - m) * 4 * pitch :], mine, width, pitch, numbers)
                        if first <= j < end:
                            sums[0, channel, j] = similar
                    else:
                        mine[:] = ZERO
                if g < first:
                    continue
                filter_down(maps, lines, g, pitch, 3)
                for j in range(g, min(g + STEP, end)):
                    at = (j - g) * 3 * pitch
                    pair = lines[STEP * 3 * pitch :]
                    mine = lines[at : at + 3 * pitch]
                    sums[1, channel, j] = pull_row(mine, x[channel, j], y[channel, j], pair, pitch, weights, numbers)
                    for i in range(width):
                        gradient[channel, j, i] = pair[np.uint64(WIDTH) + np.uint64(i)]
            task = take_next(counter)


def loss_and_gradient(
    x: Float32, y: Float32, gradient: Float32, *, ssim_weight: float = SSIM_WEIGHT, square_weight: float = 0.0
) -> tuple[float, float]:
    """Return (loss, L1) of the picture ``x`` against the truth ``y``, both (3, H, W), and fill ``gradient`` alike.

    The squares are in the gradient alone: so the loss can be compared whether they count at the time or not.
    """
    similar, l1 = means(x, y, gradient, ssim_weight, square_weight)
    return (1 - ssim_weight) * l1 + ssim_weight * (1 - similar), l1


def means(
    x: Float32, y: Float32, gradient: Float32, ssim_weight: float = SSIM_WEIGHT, square_weight: float = 0.0
) -> tuple[float, float]:
    """Return the means of S and of |x - y|, and fill ``gradient`` as ``loss_and_gradient`` does."""
    sums = np.empty((2, *x.shape[:2]), np.float32)
    differentiate(x, y, (np.float32(ssim_weight), np.float32(square_weight)), gradient, sums)
    similar, l1 = sums.sum(axis=(1, 2), dtype=np.float64) / x.size
    return float(similar), float(l1)
