"""Front-to-back blending of a tile's Gaussians, and its derivative.

C      (3, H, W) float32, the image: sum of colour alpha T over a pixel's Gaussians, plus background T_end
T      what passes all Gaussians in front, 1 at first; T <- T (1 - alpha)
alpha  min(0.99, opacity exp(-|L d|^2)), 0 where below 1/255, 0 once T has fallen below 1e-4
w      alpha T, the weight of a Gaussian in a pixel
flat   (N, 16), starts (T + 1,), ids (P,): see project.py and tiles.py
least  weight that a Gaussian must exceed in one of a block's pixels for the block to count as drawn; 0 in exact passes
blocks (P,) uint16, one bit for each of a tile's 16 blocks of 4x4 pixels: whether the pair draws anything there
field  (F, 256) float32 of one tile, flattened, block by block: all that the inner loop touches

Kerbl et al. 2023, eq. 3 and appendix C. A block is what ``Lanes`` hold: most Gaussians are a few pixels across, so a
square wastes less than a row of sixteen. Blocks that the ellipse misses, or that are opaque, are left out at once.
exp is a polynomial: libm's cannot be vectorised here.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from splat_pipeline.splatting.blocks import (
    ALL,
    DIM,
    GRID,
    MOST,
    ONE,
    OPAQUE,
    PIXELS,
    STRONG,
    ZERO,
    falloff,
    lit_blocks,
    open_tile,
    place,
    read_row,
    touched_blocks,
    weave_plane,
    write_row,
)
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import (
    WIDTH,
    bits,
    choose,
    fetch,
    first_bit,
    lanes,
    lesser,
    load,
    room,
    store,
    store_ten,
)
from splat_pipeline.splatting.layout import LINE, RECORD, Float32, Int32, Int64, Real
from splat_pipeline.splatting.shares import WORKERS, take_next
from splat_pipeline.splatting.spans import BLUE, CUT, DEPTH, GREEN, L11, L21, L22, RED, TILE
from splat_pipeline.splatting.turns import totals

UInt16 = NDArray[np.uint16]

PATIENCE = 8
"""Gaussians between two looks at which blocks are opaque."""
AHEAD = 8
"""Gaussians from which memory is asked for beforehand: they lie anywhere, and waiting for them took half the time."""


@njit(cache=True, fastmath=True, error_model="numpy")
def blend_tile(
    flat: Float32, ids: Int32, blocks: UInt16, grid: Float32, field: Float32, left: Real, top: Real, deep: bool,
    least: Real,
) -> int:  # fmt: skip
    """Blend the Gaussians ``ids`` into ``field``: T, red, green, blue and, if ``deep``, depth.

    Returns how many it took until all was opaque. Where a Gaussian lies is worked out one turn ahead: the loop over its
    blocks depends on it, and a processor that has to guess how long a loop is guesses wrong.
    """
    px, py = load(grid, 0), load(grid, WIDTH)
    spots, lines = room(4 * WIDTH), flat.reshape(-1)
    count, alive, coming = len(ids), ALL, 0
    if count > 0:
        coming = touched_blocks(flat[ids[0]], left, top, grid, spots, 0)
    for s in range(count):
        fetch(lines, ids[min(s + AHEAD, count - 1)] * LINE)
        p = flat[ids[s]]
        todo, here, there = coming & alive, (s & 1) * 2 * WIDTH, (1 - (s & 1)) * 2 * WIDTH
        coming = touched_blocks(flat[ids[min(s + 1, count - 1)]], left, top, grid, spots, there)
        wx0, wy0, dim = px * p[L11] + py * p[L21], py * p[L22], DIM - p[CUT]
        drawn = 0
        while todo != 0:
            block = first_bit(todo)
            todo &= todo - 1
            q = block * WIDTH
            wx, wy = wx0 + spots[here + block], wy0 + spots[here + WIDTH + block]
            power = wx * wx + (wy * wy + dim)
            passing = load(field, q)
            seen = (power <= DIM) & (passing >= OPAQUE)
            w = choose(seen, lesser(falloff(power), MOST) * passing, ZERO)
            drawn |= np.int64(bits(w > least) != 0) << block
            store(field, q, passing - w)
            store(field, q + PIXELS, load(field, q + PIXELS) + w * p[RED])
            store(field, q + 2 * PIXELS, load(field, q + 2 * PIXELS) + w * p[GREEN])
            store(field, q + 3 * PIXELS, load(field, q + 3 * PIXELS) + w * p[BLUE])
            if deep:
                store(field, q + 4 * PIXELS, load(field, q + 4 * PIXELS) + w * p[DEPTH])
        blocks[s] = drawn
        if s % PATIENCE == PATIENCE - 1:
            alive = lit_blocks(field)
            if alive == 0:
                return s + 1
    return count


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def blend(
    flat: Float32, starts: Int64, ids: Int32, background: Float32, image: Float32, extra: Float32, used: Int32,
    blocks: UInt16, least: Real,
) -> None:  # fmt: skip
    """Blend all tiles.

    Writes ``image`` (3, H, W), ``extra`` (2, H, W): alpha and alpha-weighted depth (left out
    if it is (0, H, W)), ``used`` (T,): how many of a
    tile's Gaussians were blended before all of its pixels were opaque, and ``blocks`` (P,) of those.
    """
    height, width = image.shape[1], image.shape[2]
    columns = (width + TILE - 1) // TILE
    count = len(starts) - 1
    counter = np.zeros(1, np.int64)
    deep = len(extra) > 0
    for _ in prange(WORKERS):
        field = room(5 * PIXELS)
        grid = GRID.copy()
        while True:
            t = take_next(counter)
            if t >= count:
                break
            x0, y0 = t % columns * TILE, t // columns * TILE
            across, down = min(TILE, width - x0), min(TILE, height - y0)
            open_tile(field, across, down)
            field[PIXELS:] = ZERO
            mine = slice(starts[t], starts[t + 1])
            used[t] = blend_tile(
                flat, ids[mine], blocks[mine], grid, field, np.float32(x0), np.float32(y0), deep, least
            )
            for plane in range(5 if deep else 4):
                weave_plane(field, plane * PIXELS)
            for j in range(down):
                passing = field[j * TILE : j * TILE + across]
                for channel in range(3):
                    at = (1 + channel) * PIXELS + j * TILE
                    write_row(field[at : at + across], passing, background[channel], image[channel, y0 + j], x0)
                if deep:
                    at = 4 * PIXELS + j * TILE
                    extra[0, y0 + j, x0 : x0 + across] = ONE - passing
                    extra[1, y0 + j, x0 : x0 + across] = field[at : at + across]


@njit(cache=True, fastmath=True, error_model="numpy")
def differentiate_tile(
    flat: Float32,
    ids: Int32,
    slots: Int32,
    blocks: UInt16,
    grid: Float32,
    field: Float32,
    left: Real,
    top: Real,
    records: Float32,
) -> None:
    """Walk the Gaussians ``ids`` again and write their records; ``field``: T, behind, dred, dgreen, dblue."""
    px, py, nothing = load(grid, 0), load(grid, WIDTH), lanes(ZERO)
    spots, lines, written, last = room(2 * WIDTH), flat.reshape(-1), records.reshape(-1), len(ids) - 1
    for s in range(len(ids)):
        soon = min(s + AHEAD, last)
        fetch(lines, ids[soon] * LINE)
        fetch(written, slots[soon] * RECORD)
        if blocks[s] == 0:
            store_ten(written, slots[s] * RECORD, nothing)
            continue
        p = flat[ids[s]]
        place(p, left, top, grid, spots, 0)
        wx0, wy0, dim = px * p[L11] + py * p[L21], py * p[L22], DIM - p[CUT]
        red, green, blue = p[RED], p[GREEN], p[BLUE]
        m0, mx, my, mxx, mxy, myy = nothing, nothing, nothing, nothing, nothing, nothing
        sr, sg, sb, sw = nothing, nothing, nothing, nothing
        todo = np.int64(blocks[s])
        while todo != 0:
            block = first_bit(todo)
            todo &= todo - 1
            q = block * WIDTH
            wx, wy = wx0 + spots[block], wy0 + spots[WIDTH + block]
            power = wx * wx + (wy * wy + dim)
            passing = load(field, q)
            seen = (power <= DIM) & (passing >= OPAQUE)
            alpha = lesser(falloff(power), MOST)
            w = choose(seen, alpha * passing, ZERO)
            dred, dgreen = load(field, q + 2 * PIXELS), load(field, q + 3 * PIXELS)
            dblue = load(field, q + 4 * PIXELS)
            shade = dred * red + dgreen * green + dblue * blue
            behind = load(field, q + PIXELS) - w * shade
            store(field, q, passing - w)
            store(field, q + PIXELS, behind)
            g = choose(seen & (power > STRONG), alpha * (passing * shade - behind / (ONE - alpha)), ZERO)
            gx, gy = g * wx, g * wy
            m0, mx, my = m0 + g, mx + gx, my + gy
            mxx, mxy, myy = mxx + gx * wx, mxy + gx * wy, myy + gy * wy
            sr, sg, sb, sw = sr + w * dred, sg + w * dgreen, sb + w * dblue, sw + w
        store_ten(written, slots[s] * RECORD, totals((m0, mx, my, mxx, mxy, myy, sr, sg, sb, sw)))


@njit(cache=True, parallel=True, fastmath=True, error_model="numpy")
def blend_backward(
    flat: Float32, starts: Int64, ids: Int32, slots: Int32, used: Int32, blocks: UInt16, image: Float32,
    gradient: Float32, records: Float32,
) -> None:  # fmt: skip
    """Differentiate ``blend``: from ``gradient`` (3, H, W), dLoss/dC, to one record a pair.

    ``records`` (P, 10), at the pair's slot. With G = dLoss/dalpha alpha and (a, b) = L d, sums over the tile's pixels
    of G, G a, G b, G a a, G a b, G b b, of w dLoss/dC for red, green and blue, and of w: ``pullback.py`` makes
    derivatives of them. The tile is walked front to back again, so T needs no division;
    what lies behind a Gaussian is the finished pixel minus what has been blended so far, one number a pixel:
    (dLoss/dC) . C.
    """
    height, width = image.shape[1], image.shape[2]
    columns = (width + TILE - 1) // TILE
    count = len(starts) - 1
    counter = np.zeros(1, np.int64)
    for _ in prange(WORKERS):
        field = room(5 * PIXELS)
        grid = GRID.copy()
        while True:
            t = take_next(counter)
            if t >= count:
                break
            x0, y0 = t % columns * TILE, t // columns * TILE
            across, down = min(TILE, width - x0), min(TILE, height - y0)
            field[:] = ZERO
            open_tile(field, across, down)
            for j in range(down):
                for channel, plane in enumerate((2, 3, 4)):
                    read_row(gradient[channel, y0 + j], image[channel, y0 + j], x0, across, field, plane, j * TILE)
            for plane in range(1, 5):
                weave_plane(field, plane * PIXELS)
            mine = slice(starts[t], starts[t] + used[t])
            differentiate_tile(
                flat, ids[mine], slots[mine], blocks[mine], grid, field, np.float32(x0), np.float32(y0), records
            )
            for s in range(starts[t] + used[t], starts[t + 1]):
                records[slots[s]] = ZERO
