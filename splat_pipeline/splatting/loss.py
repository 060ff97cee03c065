"""The photometric loss 0.8 L1 + 0.2 (1 - SSIM) with its derivative written by hand.

x, y     (3, H, W) float32, picture and truth
G        11x11 Gaussian window of sigma 1.5, separable, zeros outside the picture
ux, uy   G * x, G * y; sxx = G * x^2 - ux^2, sxy = G * xy - ux uy
S        (2 ux uy + C1)(2 sxy + C2) / ((ux^2 + uy^2 + C1)(sxx + syy + C2)), Wang et al. 2004,
         eq. 13, with C1 = 0.01^2, C2 = 0.03^2
maps     (3, 3, H, W): dS/d(G * x), dS/d(G * x^2), dS/d(G * xy) for each channel

    dLoss/dx = 0.8 sign(x - y) / n - 0.2 / n (G * maps[0] + 2 x G * maps[1] + y G * maps[2]),  n = 3 H W
as G is symmetric. Windows and weights are those of Kerbl et al. 2023, eq. 7. Each row is filtered down, then across,
while it is in the cache: no filtered picture is ever stored.
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
BANDS = 24
"""Shares of a channel's rows."""


@njit(cache=True, fastmath=True, error_model="numpy")
def across(line: Float32, i: int) -> Real:
    """Return the window's sum over ``line`` (W + 10,), padded by 5 zeros at both ends, at pixel ``i``."""
    total: Real = (
        W0 * line[i + 5]
        + W1 * (line[i + 4] + line[i + 6])
        + W2 * (line[i + 3] + line[i + 7])
        + W3 * (line[i + 2] + line[i + 8])
        + W4 * (line[i + 1] + line[i + 9])
        + W5 * (line[i] + line[i + 10])
    )
    return total


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def similarity(x: Float32, y: Float32, maps: Float32, sums: Float32) -> None:
    """Write ``maps`` (3, 3, H, W) and, in ``sums`` (3, H), the sum of S over each row of pixels."""
    height, width = x.shape[1], x.shape[2]
    for task in prange(3 * BANDS):
        channel, band = task % 3, task // 3
        lines = np.zeros((5, width + 2 * REACH), np.float32)
        lx, ly, lxx, lyy, lxy = lines[0], lines[1], lines[2], lines[3], lines[4]
        for j in range(band * height // BANDS, (band + 1) * height // BANDS):
            lines[:, REACH : REACH + width] = ZERO
            for down in range(max(j - REACH, 0), min(j + REACH + 1, height)):
                weight = WINDOW[down - j + REACH]
                a, b = x[channel, down], y[channel, down]
                for i in range(width):
                    p, q = weight * a[i], weight * b[i]
                    lx[i + REACH] += p
                    ly[i + REACH] += q
                    lxx[i + REACH] += p * a[i]
                    lyy[i + REACH] += q * b[i]
                    lxy[i + REACH] += p * b[i]
            m0, m1, m2 = maps[0, channel, j], maps[1, channel, j], maps[2, channel, j]
            total = ZERO
            for i in range(width):
                ux, uy = across(lx, i), across(ly, i)
                a1 = TWO * ux * uy + C1
                a2 = TWO * (across(lxy, i) - ux * uy) + C2
                b1 = ux * ux + uy * uy + C1
                b2 = across(lxx, i) + across(lyy, i) - ux * ux - uy * uy + C2
                scale = ONE / (b1 * b2)
                s = a1 * a2 * scale
                dxx = -s / b2
                dxy = TWO * a1 * scale
                m0[i] = TWO * (uy * a2 * scale - s * ux / b1 - ux * dxx) - uy * dxy
                m1[i] = dxx
                m2[i] = dxy
                total += s
            sums[channel, j] = total


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
        lines = np.zeros((3, width + 2 * REACH), np.float32)
        l0, l1, l2 = lines[0], lines[1], lines[2]
        for j in range(band * height // BANDS, (band + 1) * height // BANDS):
            lines[:, REACH : REACH + width] = ZERO
            for down in range(max(j - REACH, 0), min(j + REACH + 1, height)):
                w = WINDOW[down - j + REACH]
                m0, m1, m2 = maps[0, channel, down], maps[1, channel, down], maps[2, channel, down]
                for i in range(width):
                    l0[i + REACH] += w * m0[i]
                    l1[i + REACH] += w * m1[i]
                    l2[i + REACH] += w * m2[i]
            a, b, g = x[channel, j], y[channel, j], gradient[channel, j]
            total = ZERO
            for i in range(width):
                d = a[i] - b[i]
                sign = absolute if d > ZERO else (-absolute if d < ZERO else ZERO)
                g[i] = sign - similar * (across(l0, i) + TWO * a[i] * across(l1, i) + b[i] * across(l2, i))
                total += abs(d)
            sums[channel, j] = total


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
