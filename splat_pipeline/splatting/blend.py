"""Front-to-back blending of a tile's Gaussians, and its derivative.

C      (3, H, W) float32, the image: sum of colour alpha T over a pixel's Gaussians, plus background T_end
T      what passes all Gaussians in front, 1 at first; T <- T (1 - alpha)
alpha  min(0.99, opacity exp(-|L d|^2)), 0 where below 1/255, 0 once T has fallen below 1e-4
w      alpha T, the weight of a Gaussian in a pixel
flat   (N, 16), starts (T + 1,), ids (P,): see project.py and tiles.py
field  (F, 256) float32 of one tile, pixel by pixel, flattened: all that the inner loop touches

Kerbl et al. 2023, eq. 3 and appendix C. The inner loop runs over the pixel rows that a Gaussian's ellipse reaches,
without a branch, in one flat array with constant offsets: so LLVM sees that nothing overlaps and turns it into vector
code. That is why it is one long function, and why exp is a polynomial (libm's cannot be vectorised here).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from splat_pipeline.splatting.layout import Float32, Int32, Int64, Real
from splat_pipeline.splatting.shares import WORKERS, take_next
from splat_pipeline.splatting.tiles import (
    BLUE,
    DEPTH,
    GREEN,
    HALF_Y,
    L11,
    L21,
    L22,
    OPACITY,
    RED,
    SLACK,
    TILE,
    U,
    V,
    ceiling,
)

PIXELS = TILE * TILE
PATIENCE = 8
"""Gaussians between two looks at whether the whole tile is opaque."""

HALF = np.float32(0.5)
ONE = np.float32(1)
ZERO = np.float32(0)
MOST = np.float32(0.99)
LEAST = np.float32(1 / 255)
OPAQUE = np.float32(1e-4)
FAR = np.float32(6)
E0 = np.float32(0.9999998798169621)
E1 = np.float32(-0.12499869265930162)
E2 = np.float32(0.007810109309233362)
E3 = np.float32(-0.00032387896961359595)
E4 = np.float32(9.648938688360214e-06)
E5 = np.float32(-1.739107669983157e-07)
"""exp(-p) = (E0 + E1 p + ... + E5 p^5)^8 for 0 <= p <= 6, relative error 2.5e-6 (minimax fit of exp(-p / 8))."""


@njit(cache=True, fastmath=True, error_model="numpy")
def fill_pixels(field: Float32) -> None:
    """Write the pixel centres of a tile, from its corner, to the first 512 floats of ``field``."""
    for q in range(PIXELS):
        field[q] = np.float32(q % TILE) + HALF
        field[PIXELS + q] = np.float32(q // TILE) + HALF


@njit(cache=True, fastmath=True, error_model="numpy")
def pixel_range(p: Float32, top: Real) -> tuple[int, int]:
    """Return the half-open range of pixels whose rows the ellipse ``p`` reaches in the tile that begins at ``top``."""
    reach = p[HALF_Y] + SLACK
    v = p[V] - top
    first = ceiling(max(v - reach - HALF, ZERO))
    last = int(min(v + reach - HALF, np.float32(TILE - 1)))
    return first * TILE, (last + 1) * TILE


@njit(cache=True, fastmath=True, error_model="numpy")
def is_opaque(field: Float32) -> bool:
    """Return whether no pixel of the tile lets light through any more."""
    light = ZERO  # A sum is vectorised where a maximum is not.
    for q in range(PIXELS):
        passing = field[2 * PIXELS + q]
        light += passing if passing >= OPAQUE else ZERO
    return bool(light == ZERO)


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def blend(
    flat: Float32,
    starts: Int64,
    ids: Int32,
    background: Float32,
    image: Float32,
    extra: Float32,
    used: Int32,
) -> None:
    """Blend all tiles.

    Writes ``image`` (3, H, W), ``extra`` (2, H, W): alpha and alpha-weighted depth, and ``used`` (T,): how many of a
    tile's Gaussians were blended before all of its pixels were opaque.
    """
    height, width = image.shape[1], image.shape[2]
    columns = (width + TILE - 1) // TILE
    count = len(starts) - 1
    counter = np.zeros(1, np.int64)
    for _ in prange(WORKERS):
        # px, py, T, red, green, blue, depth
        field = np.empty(7 * PIXELS, np.float32)
        fill_pixels(field)
        while True:
            t = take_next(counter)
            if t >= count:
                break
            left, top = np.float32(t % columns * TILE), np.float32(t // columns * TILE)
            field[2 * PIXELS : 3 * PIXELS] = ONE
            field[3 * PIXELS :] = ZERO
            begin, end = starts[t], starts[t + 1]
            done = end - begin
            for s in range(begin, end):
                p = flat[ids[s]]
                l11, l21, l22, opacity = p[L11], p[L21], p[L22], p[OPACITY]
                red, green, blue, depth = p[RED], p[GREEN], p[BLUE], p[DEPTH]
                u, v = p[U] - left, p[V] - top
                wx0, wy0 = -l11 * u - l21 * v, -l22 * v
                low, high = pixel_range(p, top)
                for step in range(max(high - low, 0)):
                    q = np.uint64(low) + np.uint64(step)
                    py = field[q + np.uint64(PIXELS)]
                    wx = l11 * field[q] + l21 * py + wx0
                    wy = l22 * py + wy0
                    e = min(wx * wx + wy * wy, FAR)
                    e = E0 + e * (E1 + e * (E2 + e * (E3 + e * (E4 + e * E5))))
                    e *= e
                    e *= e
                    alpha = min(opacity * e * e, MOST)
                    passing = field[q + np.uint64(2 * PIXELS)]
                    w = alpha * passing if (alpha >= LEAST) & (passing >= OPAQUE) else ZERO
                    field[q + np.uint64(2 * PIXELS)] = passing - w
                    field[q + np.uint64(3 * PIXELS)] += w * red
                    field[q + np.uint64(4 * PIXELS)] += w * green
                    field[q + np.uint64(5 * PIXELS)] += w * blue
                    field[q + np.uint64(6 * PIXELS)] += w * depth
                if (s - begin) % PATIENCE == PATIENCE - 1 and is_opaque(field):
                    done = s - begin + 1
                    break
            used[t] = done
            x0, y0 = t % columns * TILE, t // columns * TILE
            across = min(TILE, width - x0)
            for j in range(min(TILE, height - y0)):
                for i in range(across):
                    at = j * TILE + i
                    passing = field[2 * PIXELS + at]
                    for channel in range(3):
                        value = field[(3 + channel) * PIXELS + at] + passing * background[channel]
                        image[channel, y0 + j, x0 + i] = value
                    extra[0, y0 + j, x0 + i] = ONE - passing
                    extra[1, y0 + j, x0 + i] = field[6 * PIXELS + at]


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def blend_backward(
    flat: Float32,
    starts: Int64,
    ids: Int32,
    slots: Int32,
    used: Int32,
    image: Float32,
    gradient: Float32,
    records: Float32,
) -> None:
    """Differentiate ``blend``: from ``gradient`` (3, H, W), dLoss/dC, to one record a pair.

    ``records`` (P, 9), at the pair's slot. With G = dLoss/dalpha alpha and (a, b) = L d, sums over the tile's pixels of
    G, G a, G b, G a a, G a b, G b b, and of w dLoss/dC for red, green and blue: ``pullback.py`` makes derivatives of
    them. The tile is walked front to back again, so T needs no division; what lies behind a
    Gaussian is the finished pixel minus what has been blended so far, one number a pixel: (dLoss/dC) . C.
    """
    height, width = image.shape[1], image.shape[2]
    columns = (width + TILE - 1) // TILE
    count = len(starts) - 1
    counter = np.zeros(1, np.int64)
    for _ in prange(WORKERS):
        # px, py, T, behind, dred, dgreen, dblue
        field = np.empty(7 * PIXELS, np.float32)
        fill_pixels(field)
        while True:
            t = take_next(counter)
            if t >= count:
                break
            x0, y0 = t % columns * TILE, t // columns * TILE
            left, top = np.float32(x0), np.float32(y0)
            field[2 * PIXELS : 3 * PIXELS] = ONE
            field[3 * PIXELS :] = ZERO
            across = min(TILE, width - x0)
            for j in range(min(TILE, height - y0)):
                for i in range(across):
                    at = j * TILE + i
                    for channel in range(3):
                        g = gradient[channel, y0 + j, x0 + i]
                        field[(4 + channel) * PIXELS + at] = g
                        field[3 * PIXELS + at] += g * image[channel, y0 + j, x0 + i]
            begin, end = starts[t], starts[t] + used[t]
            for s in range(begin, end):
                p = flat[ids[s]]
                l11, l21, l22, opacity = p[L11], p[L21], p[L22], p[OPACITY]
                red, green, blue = p[RED], p[GREEN], p[BLUE]
                u, v = p[U] - left, p[V] - top
                wx0, wy0 = -l11 * u - l21 * v, -l22 * v
                low, high = pixel_range(p, top)
                m0, mx, my, mxx, mxy, myy, sr, sg, sb = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
                for step in range(max(high - low, 0)):
                    q = np.uint64(low) + np.uint64(step)
                    py = field[q + np.uint64(PIXELS)]
                    wx = l11 * field[q] + l21 * py + wx0
                    wy = l22 * py + wy0
                    e = min(wx * wx + wy * wy, FAR)
                    e = E0 + e * (E1 + e * (E2 + e * (E3 + e * (E4 + e * E5))))
                    e *= e
                    e *= e
                    raw = opacity * e * e
                    alpha = min(raw, MOST)
                    passing = field[q + np.uint64(2 * PIXELS)]
                    drawn = (alpha >= LEAST) & (passing >= OPAQUE)
                    w = alpha * passing if drawn else ZERO
                    dred, dgreen = field[q + np.uint64(4 * PIXELS)], field[q + np.uint64(5 * PIXELS)]
                    dblue = field[q + np.uint64(6 * PIXELS)]
                    shade = red * dred + green * dgreen + blue * dblue
                    behind = field[q + np.uint64(3 * PIXELS)] - w * shade
                    field[q + np.uint64(2 * PIXELS)] = passing - w
                    field[q + np.uint64(3 * PIXELS)] = behind
                    g = alpha * (passing * shade - behind / (ONE - alpha))
                    g = g if drawn & (raw < MOST) else ZERO
                    gx, gy = g * wx, g * wy
                    m0 += g
                    mx += gx
                    my += gy
                    mxx += gx * wx
                    mxy += gx * wy
                    myy += gy * wy
                    sr += w * dred
                    sg += w * dgreen
                    sb += w * dblue
                record = records[slots[s]]
                record[0], record[1], record[2] = m0, mx, my
                record[3], record[4], record[5] = mxx, mxy, myy
                record[6], record[7], record[8] = sr, sg, sb
            for s in range(end, starts[t + 1]):
                record = records[slots[s]]
                for j in range(len(record)):
                    record[j] = ZERO
