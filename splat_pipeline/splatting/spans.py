"""Which tiles an ellipse touches: a span of neighbours in each row of tiles that it reaches.

reach (N, 16) int16, what is known of each Gaussian: the first row of tiles that it reaches, how many rows it reaches,
      and of up to ``KEPT`` rows the first tile's column and how many tiles
ends  (32,) float32, the first and the last column of sixteen spans; there is none where the last is before the first

The ellipse is |L d|^2 <= cut (see project.py). Cut by the horizontal strip of a row it is convex, so the tiles that it
touches are neighbours, from the tile of the leftmost to that of the rightmost point within the strip: those of the
whole ellipse where they lie in the strip, otherwise those on the strip's nearer edge. Nearly all Gaussians reach a few
rows: their spans are worked out for sixteen Gaussians at once, and kept. Those of the taller ones are worked out for
sixteen rows at once whenever they are asked for, and must agree: the arithmetic of this module is strict IEEE, with
none of the liberties of ``layout.FAST``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import LANES, WIDTH, bits, choose, column, greater, lesser, store
from splat_pipeline.splatting.layout import LINE, Float32, Real
from splat_pipeline.splatting.series import downwards, root, upwards

Int16 = NDArray[np.int16]

TILE = 16
"""Pixels along a tile's side."""
U, V, L11, L21, L22, CUT, OPACITY, RED, GREEN, BLUE, DEPTH, HALF_X, HALF_Y, TILT = range(14)
"""Columns of ``flat``; their meaning stands in project.py."""
TOP, ROWS, FIRST, COUNT = range(4)
"""Columns of ``reach``; the last two are those of the first row, the others' follow."""
KEPT = (LINE - FIRST) // 2
"""Rows of a Gaussian whose spans are kept."""
NUMBERS = np.arange(WIDTH).astype(np.float32)

HALF = np.float32(0.5)
ONE = np.float32(1)
LAST = np.float32(TILE - 0.5)
SIDE = np.float32(TILE)
ZERO = np.float32(0)
SLACK = np.float32(0.02)
"""Pixels by which an ellipse is taken larger, against rounding."""


@intrinsic
def keep_line(_typing: Any, line: Any, _at: Any, _value: Any) -> Any:
    """Write Lanes of whole numbers to ``line``, of int16, from ``at`` on. Bounds are not looked at."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = ir.VectorType(ir.IntType(16), WIDTH)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), whole.as_pointer())
        builder.store(builder.fptosi(args[2], whole), place, align=2)
        return context.get_dummy_value()

    return types.void(line, types.int64, LANES), generate


@intrinsic
def store_run(_typing: Any, array: Any, _at: Any, _first: Any) -> Any:
    """Write a whole number and the fifteen after it to ``array``, of int32, from ``at`` on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number, whole = ir.IntType(32), ir.VectorType(ir.IntType(32), WIDTH)
        one = builder.insert_element(ir.Constant(whole, ir.Undefined), builder.trunc(args[2], number), number(0))
        spread = builder.shuffle_vector(one, one, ir.Constant(whole, [0] * WIDTH))
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), whole.as_pointer())
        builder.store(builder.add(spread, ir.Constant(whole, list(range(WIDTH)))), place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


@njit(cache=True, error_model="numpy")
def columns_touched(shape: tuple[Any, ...], row: Any, columns: int) -> tuple[Any, Any]:
    """Return the first and the last column that an ellipse touches in a row of tiles.

    ``shape``: u, v, l11, l21, l22, cut, tilt as in project.py. Either ``shape`` or ``row`` are Lanes.
    """
    u, v, l11, l21, l22, cut, tilt = shape
    top = row * SIDE + HALF - v
    bottom = top + (LAST - HALF)
    right_y = lesser(greater(top, tilt), bottom)
    left_y = lesser(greater(top, -tilt), bottom)
    right_w, left_w = right_y * l22, left_y * l22
    narrow = ONE / l11
    right = (root(greater(cut - right_w * right_w, ZERO)) - right_y * l21) * narrow + (u + SLACK - HALF)
    left = (-root(greater(cut - left_w * left_w, ZERO)) - left_y * l21) * narrow + (u - SLACK - LAST)
    return (
        upwards(lesser(greater(left / SIDE, ZERO), np.float32(columns))),
        downwards(lesser(greater(right / SIDE, -ONE), np.float32(columns - 1))),
    )


@njit(cache=True, error_model="numpy")
def reach_of_sixteen(ellipse: Float32, grid: tuple[int, int], lines: Float32) -> Any:
    """Write the lines of ``reach`` of sixteen Gaussians to ``lines`` (256,), column by column; return numbers of tiles.

    ``ellipse`` (256,): theirs as in project.py, column by column. ``grid``: columns and rows of tiles. Of those that
    reach more than ``KEPT`` rows, only the rows are right.
    """
    v, half = column(ellipse, V), column(ellipse, HALF_Y) + SLACK
    down = np.float32(grid[1])
    first = lesser(upwards(greater((v - half - LAST) / SIDE, ZERO)), down)
    last = lesser(downwards(greater((v + half - HALF) / SIDE, -ONE)), down - ONE)
    rows = greater(last - first + ONE, ZERO)
    store(lines, TOP * WIDTH, first)
    store(lines, ROWS * WIDTH, rows)
    shape = (
        column(ellipse, U),
        v,
        column(ellipse, L11),
        column(ellipse, L21),
        column(ellipse, L22),
        column(ellipse, CUT),
        column(ellipse, TILT),
    )
    tiles = rows * ZERO
    for k in range(KEPT):
        there = rows > np.float32(k)
        if bits(there) == 0:
            break
        left, right = columns_touched(shape, first + np.float32(k), grid[0])
        count = choose(there, greater(right - left + ONE, ZERO), ZERO)
        store(lines, (FIRST + 2 * k) * WIDTH, left)
        store(lines, (COUNT + 2 * k) * WIDTH, count)
        tiles = tiles + count
    return tiles


@njit(cache=True, error_model="numpy")
def spans_from(p: Float32, row: Real, columns: int, numbers: Any, ends: Float32) -> None:
    """Write the spans of the sixteen rows from ``row`` on of the ellipse ``p`` (16,) to ``ends``; ``numbers``: 0 to 15.

    ``row`` is a whole number.
    """
    shape = (p[U], p[V], p[L11], p[L21], p[L22], p[CUT], p[TILT])
    left, right = columns_touched(shape, numbers + row, columns)
    store(ends, 0, left)
    store(ends, WIDTH, right)


@njit(cache=True, error_model="numpy")
def span(p: Float32, top: int, k: int, columns: int, numbers: Any, ends: Float32) -> tuple[int, int]:
    """Return the first column and the number of tiles of the ``k``-th row from ``top`` on, the rows in turn.

    ``p`` (16,): a Gaussian of ``flat``. ``ends`` is kept from one row to the next.
    """
    turn = k % WIDTH
    if turn == 0:
        spans_from(p, np.float32(top + k), columns, numbers, ends)
    first = int(ends[turn])
    return first, max(int(ends[WIDTH + turn]) - first + 1, 0)


@njit(cache=True, error_model="numpy")
def tiles_of(p: Float32, top: int, rows: int, columns: int, numbers: Any, ends: Float32) -> int:
    """Return how many tiles a Gaussian of ``flat`` touches in ``rows`` from ``top`` on."""
    total = 0
    for k in range(rows):
        total += span(p, top, k, columns, numbers, ends)[1]
    return total
