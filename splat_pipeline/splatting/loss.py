"""The photometric loss 0.8 L1 + 0.2 (1 - SSIM) with its derivative written by hand.

x, y     (3, H, W) float32, picture and truth
G        11x11 Gaussian window of sigma 1.5, separable, zeros outside the picture
ux, uy   G * x, G * y; sxx = G * x^2 - ux^2, sxy = G * xy - ux uy
S        (2 ux uy + C1)(2 sxy + C2) / ((ux^2 + uy^2 + C1)(sxx + syy + C2)), Wang et al. 2004,
         eq. 13, with C1 = 0.01^2, C2 = 0.03^2
maps     (3, 3, H, W): dS/d(G * x), dS/d(G * x^2), dS/d(G * xy) for each channel

    dLoss/dx = 0.8 sign(x - y) / n - 0.2 / n (G * maps[0] + 2 x G * maps[1] + y G * maps[2]),  n = 3 H W
as G is symmetric. Windows and weights are those of Kerbl et al. 2023, eq. 7. Each row is filtered down, then across,
while it is in the cache: no filtered picture is ever stored. The lines between the two passes lie in one array at
constant offsets: LLVM gives up on vector code where it would have to prove that many arrays do not overlap.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from splat_pipeline.splatting.layout import Float32, Real

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
HALF = np.float32(0.5)
BANDS = 24
"""Shares of a channel's rows."""
PITCH = 128
STRIP = PITCH - 2 * REACH
"""Pixels of a row that are filtered at once: with the padding, ``PITCH`` floats a line."""
P1, P2, P3, P4 = np.uint64(PITCH), np.uint64(2 * PITCH), np.uint64(3 * PITCH), np.uint64(4 * PITCH)


@njit(cache=True, fastmath=True, error_model="numpy")
def across(lines: Float32, i: int) -> Real:
    """Return the window's sum over a line, padded by 5 at both ends, at its pixel ``i`` of ``lines``."""
    total: Real = (
        W0 * lines[i + 5]
        + W1 * (lines[i + 4] + lines[i + 6])
        + W2 * (lines[i + 3] + lines[i + 7])
        + W3 * (lines[i + 2] + lines[i + 8])
        + W4 * (lines[i + 1] + lines[i + 9])
        + W5 * (lines[i] + lines[i + 10])
    )
    return total


@njit(cache=True, fastmath=True, error_model="numpy")
def row_or_nothing(plane: Float32, j: int, span: tuple[int, int], nothing: Float32) -> Float32:
    """Return the pixels ``span`` of row ``j`` of ``plane`` (H, W), zeros where there is no such row."""
    low, high = span
    return plane[j, low:high] if 0 <= j < len(plane) else nothing[: high - low]


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def similarity(x: Float32, y: Float32, maps: Float32, sums: Float32) -> None:
    """Write ``maps`` (3, 3, H, W) and, in ``sums`` (3, H), the sum of S over each row of pixels."""
    height, width = x.shape[1], x.shape[2]
    for task in prange(3 * BANDS):
        channel, band = task % 3, task // 3
        # Five padded lines of G_down * (x, y, x^2, y^2, x y), three of results: see the module's docstring.
        lines, found, nothing = (
            np.zeros(5 * PITCH, np.float32),
            np.zeros(3 * PITCH, np.float32),
            np.zeros(PITCH, np.float32),
        )
        xs, ys = x[channel], y[channel]
        first, end = band * height // BANDS, (band + 1) * height // BANDS
        sums[channel, first:end] = ZERO
        for left in range(0, width, STRIP):
            span = (max(left - REACH, 0), min(left + STRIP + REACH, width))
            pad, count = np.uint64(span[0] - left + REACH), span[1] - span[0]
            for j in range(first, end):
                lines[:] = ZERO
                for away in range(REACH + 1):
                    # A row and its mirror image have the same weight; the middle row is its own.
                    weight = HALF * WINDOW[REACH] if away == 0 else WINDOW[REACH + away]
                    xu, xd = row_or_nothing(xs, j - away, span, nothing), row_or_nothing(xs, j + away, span, nothing)
                    yu, yd = row_or_nothing(ys, j - away, span, nothing), row_or_nothing(ys, j + away, span, nothing)
                    for i in range(count):
                        q = pad + np.uint64(i)
                        a, b, c, d = xu[i], xd[i], yu[i], yd[i]
                        lines[q] += weight * (a + b)
                        lines[q + P1] += weight * (c + d)
                        lines[q + P2] += weight * (a * a + b * b)
                        lines[q + P3] += weight * (c * c + d * d)
                        lines[q + P4] += weight * (a * c + b * d)
                right = min(left + STRIP, width)
                total = ZERO
                for i in range(right - left):
                    ux, uy = across(lines, i), across(lines, i + PITCH)
                    a1 = TWO * ux * uy + C1
                    a2 = TWO * (across(lines, i + 4 * PITCH) - ux * uy) + C2
                    b1 = ux * ux + uy * uy + C1
                    b2 = across(lines, i + 2 * PITCH) + across(lines, i + 3 * PITCH) - ux * ux - uy * uy + C2
                    scale = ONE / (b1 * b2)
                    s = a1 * a2 * scale
                    dxx = -s * b1 * scale
                    dxy = TWO * a1 * scale
                    found[i] = TWO * (uy * a2 * scale - s * ux * b2 * scale - ux * dxx) - uy * dxy
                    found[i + PITCH] = dxx
                    found[i + 2 * PITCH] = dxy
                    total += s
                for m in range(3):
                    maps[m, channel, j, left:right] = found[m * PITCH : m * PITCH + right - left]
                sums[channel, j] += total


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def gradient_of(x: Float32, y: Float32, maps: Float32, weight: Real, gradient: Float32, sums: Float32) -> None:
    """Write dLoss/dx to ``gradient`` (3, H, W) and, in ``sums`` (3, H), the sum of |x - y| over each row of pixels.

    ``weight``: the share of 1 - SSIM in the loss.
    """
    height, width = x.shape[1], x.shape[2]
    similar = weight / np.float32(3 * height * width)
    absolute = (ONE - weight) / np.float32(3 * height * width)
    for task in prange(3 * BANDS):
        channel, band = task % 3, task // 3
        lines, nothing = np.zeros(3 * PITCH, np.float32), np.zeros(PITCH, np.float32)
        m0, m1, m2 = maps[0, channel], maps[1, channel], maps[2, channel]
        first, end = band * height // BANDS, (band + 1) * height // BANDS
        sums[channel, first:end] = ZERO
        for left in range(0, width, STRIP):
            span = (max(left - REACH, 0), min(left + STRIP + REACH, width))
            pad, count = np.uint64(span[0] - left + REACH), span[1] - span[0]
            for j in range(first, end):
                lines[:] = ZERO
                for away in range(REACH + 1):
                    w = HALF * WINDOW[REACH] if away == 0 else WINDOW[REACH + away]
                    u0, d0 = row_or_nothing(m0, j - away, span, nothing), row_or_nothing(m0, j + away, span, nothing)
                    u1, d1 = row_or_nothing(m1, j - away, span, nothing), row_or_nothing(m1, j + away, span, nothing)
                    u2, d2 = row_or_nothing(m2, j - away, span, nothing), row_or_nothing(m2, j + away, span, nothing)
                    for i in range(count):
                        q = pad + np.uint64(i)
                        lines[q] += w * (u0[i] + d0[i])
                        lines[q + P1] += w * (u1[i] + d1[i])
                        lines[q + P2] += w * (u2[i] + d2[i])
                right = min(left + STRIP, width)
                a, b, g = x[channel, j, left:right], y[channel, j, left:right], gradient[channel, j, left:right]
                total = ZERO
                for i in range(right - left):
                    d = a[i] - b[i]
                    sign = absolute if d > ZERO else (-absolute if d < ZERO else ZERO)
                    pull = (
                        across(lines, i) + TWO * a[i] * across(lines, i + PITCH) + b[i] * across(lines, i + 2 * PITCH)
                    )
                    g[i] = sign - similar * pull
                    total += abs(d)
                sums[channel, j] += total


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
