"""A tile in blocks of 4x4 pixels, each of which ``Lanes`` hold.

p      (16,) float32, a Gaussian as ``project.py`` lays it on the image plane; d and L as there
grid   (64,) float32, x and y of a block's pixels from its first, then of the blocks' first ones from the tile's corner
field  float32, planes of 256: one number a pixel of a tile, block by block

Most Gaussians are a few pixels across: a square of sixteen wastes less of its lanes on them than a row of sixteen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, bits, load, store
from splat_pipeline.splatting.layout import Float32, Real
from splat_pipeline.splatting.series import size
from splat_pipeline.splatting.spans import CUT, HALF_X, HALF_Y, L11, L21, L22, SLACK, TILE, U, V
from splat_pipeline.splatting.turns import weave

PIXELS = TILE * TILE
SIDE = 4
"""Pixels along a block's side."""
ALL = (1 << PIXELS // WIDTH) - 1

HALF = np.float32(0.5)
ONE = np.float32(1)
ZERO = np.float32(0)
MOST = np.float32(0.99)
OPAQUE = np.float32(1e-4)
REACH = np.float32((SIDE - 1) / 2)
"""From a block's centre to its outermost pixel centres."""
DIM = np.float32(np.log(255))
"""-log alpha at which a contribution is no longer drawn."""
STRONG = np.float32(-np.log(0.99))
"""-log alpha below which alpha is capped."""
E0 = np.float32(0.999999925153215)
E1 = np.float32(-0.12499911217985028)
E2 = np.float32(0.007810734880868395)
E3 = np.float32(-0.00032420560076535824)
E4 = np.float32(9.718417348809311e-06)
E5 = np.float32(-1.790695479739227e-07)
"""exp(-p) = (E0 + E1 p + ... + E5 p^5)^8 for 0 <= p <= log 255, relative error 6e-7 (minimax fit of exp(-p / 8))."""

_number = np.arange(WIDTH)
GRID = np.concatenate([_number % SIDE, _number // SIDE, _number % SIDE * SIDE, _number // SIDE * SIDE]).astype(
    np.float32
)
GRID[2 * WIDTH :] += HALF
"""x and y of the sixteen pixels of a block from its first, then of the blocks' first from the tile's corner."""


@njit(cache=True, fastmath=True, error_model="numpy")
def falloff(power: Any) -> Any:
    """Return exp(-power) of Lanes from 0 to ``DIM``; beyond it, where nothing is drawn, anything."""
    e = E0 + power * (E1 + power * (E2 + power * (E3 + power * (E4 + power * E5))))
    e = e * e
    e = e * e
    return e * e


@njit(cache=True, fastmath=True, error_model="numpy")
def place(p: Float32, left: Real, top: Real, grid: Float32, spots: Float32, at: int) -> Any:
    """Write L d of the first pixel of each block of the tile at (left, top) to ``spots``, from ``at`` on; return d."""
    dx, dy = load(grid, 2 * WIDTH) + (left - p[U]), load(grid, 3 * WIDTH) + (top - p[V])
    store(spots, at, dx * p[L11] + dy * p[L21])
    store(spots, at + WIDTH, dy * p[L22])
    return dx, dy


@njit(cache=True, fastmath=True, error_model="numpy")
def touched_blocks(p: Float32, left: Real, top: Real, grid: Float32, spots: Float32, at: int) -> int:
    """Place ``p`` and return the bits of the blocks that its ellipse may touch.

    A block is left out if a line parts it from the ellipse: a vertical one, a horizontal one, or one along the
    ellipse's conjugate diameter, where l11 dx + l21 dy is constant.
    """
    l11, l21 = p[L11], p[L21]
    dx, dy = place(p, left, top, grid, spots, at)
    across = size(dx * l11 + dy * l21 + (l11 + l21) * REACH)
    near = across <= np.sqrt(p[CUT]) + (l11 + abs(l21)) * (REACH + SLACK)
    wide, high = size(dx + REACH) <= p[HALF_X] + (REACH + SLACK), size(dy + REACH) <= p[HALF_Y] + (REACH + SLACK)
    touched: int = bits(wide & high & near)
    return touched


@njit(cache=True, fastmath=True, error_model="numpy")
def open_tile(field: Float32, across: int, down: int) -> None:
    """Fill the first plane of ``field`` with T: 1, and 0 in pixels outside of the picture: those are done at once."""
    if across < TILE or down < TILE:
        for j in range(TILE):
            for i in range(TILE):
                field[j * TILE + i] = ONE if (j < down) & (i < across) else ZERO
    else:
        field[:PIXELS] = ONE
    weave_plane(field, 0)


@njit(cache=True, fastmath=True, error_model="numpy")
def weave_plane(field: Float32, first: int) -> None:
    """Turn a plane of ``field`` that begins at ``first`` from rows of pixels into blocks, or back."""
    for band in range(SIDE):
        weave(field, first + band * SIDE * WIDTH)


@njit(cache=True, fastmath=True, error_model="numpy")
def lit_blocks(field: Float32) -> int:
    """Return the bits of the blocks that still let light through."""
    alive = 0
    for block in range(PIXELS // WIDTH):
        alive |= int(bits(load(field, block * WIDTH) >= OPAQUE) != 0) << block
    return alive


@njit(cache=True, fastmath=True, error_model="numpy")
def write_row(color: Float32, passing: Float32, behind: Real, row: Float32, x0: int) -> None:
    """Write a tile's row of pixels, with the background ``behind``, to ``row`` of the image from ``x0`` on."""
    if len(color) == TILE:
        store(row, x0, load(color, 0) + load(passing, 0) * behind)
        return
    for i in range(len(color)):
        row[x0 + i] = color[i] + passing[i] * behind


@njit(cache=True, fastmath=True, error_model="numpy")
def read_row(gradient: Float32, image: Float32, x0: int, across: int, field: Float32, plane: int, at: int) -> None:
    """Read a tile's row of pixels of one channel into ``plane`` of ``field`` and add its part of what is behind."""
    q, behind = plane * PIXELS + at, PIXELS + at
    if across == TILE:
        g = load(gradient, x0)
        store(field, q, g)
        store(field, behind, load(field, behind) + g * load(image, x0))
        return
    for i in range(across):
        g = gradient[x0 + i]
        field[q + i] = g
        field[behind + i] += g * image[x0 + i]
