"""Which Gaussian touches which 16x16 tile of the image, front to back.

T      tiles, in rows from the top left
P      pairs (tile, Gaussian) that touch
flat   (N, 16) float32, the Gaussians as ``project.py`` lays them on the image plane
order  (M,) int32, the visible Gaussians from near to far
starts (T + 1,) int64, where a tile's list begins in ``ids`` and ``slots``
ids    (P,) int32, the Gaussians of each tile, near to far
slots  (P,) int32, the number of the pair, counted Gaussian by Gaussian: where its gradient is written

One sort by depth serves all tiles: Gaussians are dealt out to the tiles in that order, in chunks whose share of every
list is counted first, so that threads write to places of their own and no list is sorted again. What is found out on
the way is kept as spans of tiles, one for each tile row that a Gaussian reaches. How many rows these are is worked out
twice and must agree: the arithmetic of this module is strict IEEE, with none of the liberties of ``layout.FAST``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, fetch, greater, lesser, load, room, store
from splat_pipeline.splatting.layout import LINE, Float32, Int32, Int64, Real
from splat_pipeline.splatting.series import downwards, root, upwards

TILE = 16
"""Pixels along a tile's side."""
CHUNKS = 32
"""Shares of the Gaussians in the counting pass; fixed, so that results do not depend on the number of threads."""
AHEAD = 8
"""Gaussians from which memory is asked for beforehand."""
BINS = 2048
"""Values of one digit of the depth sort: three digits of 11 bits hold a positive float32."""

U, V, L11, L21, L22, CUT, OPACITY, RED, GREEN, BLUE, DEPTH, HALF_X, HALF_Y, TILT = range(14)
"""Columns of ``flat``; their meaning stands in project.py."""

HALF = np.float32(0.5)
ONE = np.float32(1)
LAST = np.float32(TILE - 0.5)
SIDE = np.float32(TILE)
ZERO = np.float32(0)
SLACK = np.float32(0.02)
"""Pixels by which an ellipse is taken larger, against rounding."""


@njit(cache=True, error_model="numpy")
def ceiling(x: Real) -> int:
    """Return the least integer not below ``x`` >= 0: a conversion and a comparison, where math.ceil is a call."""
    whole = int(x)
    return whole + 1 if np.float32(whole) < x else whole


@njit(cache=True, error_model="numpy")
def tile_rows(p: Float32, rows: int) -> tuple[int, int]:
    """Return the half-open range of tile rows in which the ellipse ``p`` (16,) reaches a pixel centre."""
    reach = p[HALF_Y] + SLACK
    end = p[V] + reach - HALF
    if end < ZERO:
        return 0, 0
    first = ceiling(min(max((p[V] - reach - LAST) / SIDE, ZERO), np.float32(rows)))
    return first, int(min(end / SIDE, np.float32(rows - 1))) + 1


@njit(cache=True, error_model="numpy")
def tile_columns(p: Float32, row: int, columns: int, numbers: Any, ends: Float32) -> None:
    """Write the first and the last tile of the sixteen tile rows from ``row`` on to ``ends`` (32,).

    The tiles are those that hold a pixel centre's abscissa of the ellipse ``p`` (16,); none if the last is before the
    first. ``numbers``: 0 to 15. The ellipse is |L d|^2 <= cut (see project.py). Cut by the horizontal strip of a row it
    is convex, so the tiles that it touches are an interval, whose ends are the extreme abscissae within the strip:
    those of the whole ellipse where it lies in the strip, otherwise those on the strip's nearer edge.
    """
    top = numbers * SIDE + (np.float32(row) * SIDE + HALF - p[V])
    bottom = top + (LAST - HALF)
    right_y = lesser(greater(top, p[TILT]), bottom)
    left_y = lesser(greater(top, -p[TILT]), bottom)
    right_w, left_w = right_y * p[L22], left_y * p[L22]
    narrow = ONE / p[L11]
    right = (root(greater(p[CUT] - right_w * right_w, ZERO)) - right_y * p[L21]) * narrow + (p[U] + SLACK - HALF)
    left = (-root(greater(p[CUT] - left_w * left_w, ZERO)) - left_y * p[L21]) * narrow + (p[U] - SLACK - LAST)
    store(ends, 0, upwards(lesser(greater(left / SIDE, ZERO), np.float32(columns))))
    store(ends, WIDTH, downwards(lesser(greater(right / SIDE, -ONE), np.float32(columns - 1))))


@njit(cache=True, error_model="numpy")
def collect(touched: Int32, visible: Int32) -> int:
    """List the Gaussians that may touch a tile in ``visible``; return how many."""
    count = 0
    for i in range(len(touched)):
        visible[count] = i
        count += touched[i] > 0
    return count


@njit(cache=True, error_model="numpy")
def number_pairs(visible: Int32, touched: Int32, slot_starts: Int64) -> int:
    """Write the number of each visible Gaussian's first pair to ``slot_starts`` (N,); return the number of pairs."""
    pairs = 0
    for i in visible:
        slot_starts[i] = pairs
        pairs += touched[i]
    return pairs


@njit(cache=True, error_model="numpy")
def sort_by_depth(flat: Float32, visible: Int32, order: Int32, keys: NDArray[np.uint32], spare: Int32) -> None:
    """Write ``visible`` (M,) ordered by depth to ``order`` (M,); equal depths keep their order.

    A radix sort: the bits of positive floats order like the floats. ``keys`` (2, M) and ``spare`` (M,)
    are room to work.
    """
    m = len(visible)
    counts = np.zeros((3, BINS), np.int64)
    depths = keys[0].view(np.float32)
    for r in range(m):
        depths[r] = flat[visible[r], DEPTH]
        spare[r] = visible[r]
    for r in range(m):
        key = keys[0, r]
        counts[0, key & 2047] += 1
        counts[1, (key >> 11) & 2047] += 1
        counts[2, key >> 22] += 1
    for digit in range(3):
        place = 0
        for b in range(BINS):
            size = counts[digit, b]
            counts[digit, b] = place
            place += size
        shift = 11 * digit
        source, target = digit % 2, (digit + 1) % 2
        ids_in = spare if source == 0 else order
        ids_out = order if source == 0 else spare
        for r in range(m):
            key = keys[source, r]
            b = (key >> shift) & 2047
            at = counts[digit, b]
            counts[digit, b] = at + 1
            keys[target, at] = key
            ids_out[at] = ids_in[r]


@njit(cache=True, error_model="numpy")
def stack_rows(order: Int32, touched: Int32, row_starts: Int64) -> int:
    """Write where each Gaussian's tile rows begin among those of all of ``order`` to ``row_starts`` (M + 1,).

    Returns how many there are. ``touched`` (N,): how many tile rows each of them reaches.
    """
    total = 0
    for r in range(len(order)):
        row_starts[r] = total
        total += touched[order[r]]
    row_starts[len(order)] = total
    return total


@njit(cache=True, parallel=True, error_model="numpy")
def count_lists(
    flat: Float32,
    order: Int32,
    grid: tuple[int, int],
    row_starts: Int64,
    counts: Int32,
    touched: Int32,
    spans: Int32,
) -> None:
    """Count in ``counts`` (CHUNKS, T) how many Gaussians of each chunk of ``order`` touch each tile.

    Writes to ``spans`` (rows, 2) the first tile and the number of tiles of every tile row that a Gaussian reaches, and
    to ``touched`` (N,) how many tiles it touches. ``grid``: columns and rows of tiles.
    """
    m, lines = len(order), flat.reshape(-1)
    columns, rows = grid
    for c in prange(CHUNKS):
        mine, ends, numbers = counts[c], room(2 * WIDTH), load(np.arange(WIDTH).astype(np.float32), 0)
        mine[:] = 0
        for r in range(c * m // CHUNKS, (c + 1) * m // CHUNKS):
            fetch(lines, order[min(r + AHEAD, m - 1)] * LINE)
            i = order[r]
            p, sum_of_rows = flat[i], 0
            top, _ = tile_rows(p, rows)
            for q in range(row_starts[r], row_starts[r + 1]):
                turn = (q - row_starts[r]) % WIDTH
                if turn == 0:
                    tile_columns(p, top + q - row_starts[r], columns, numbers, ends)
                first, count = int(ends[turn]), max(int(ends[WIDTH + turn]) - int(ends[turn]) + 1, 0)
                tile = (top + q - row_starts[r]) * columns + first
                spans[q, 0] = tile
                spans[q, 1] = count
                sum_of_rows += count
                for t in range(tile, tile + count):
                    mine[t] += 1
            touched[i] = sum_of_rows


@njit(cache=True, error_model="numpy")
def place_lists(counts: Int32, starts: Int64) -> None:
    """Turn ``counts`` into the place where each chunk begins in each tile's list, and fill ``starts`` (T + 1,)."""
    place = 0
    for t in range(counts.shape[1]):
        starts[t] = place
        for c in range(CHUNKS):
            size = counts[c, t]
            counts[c, t] = place
            place += size
    starts[counts.shape[1]] = place


@njit(cache=True, parallel=True, error_model="numpy")
def fill_lists(
    order: Int32,
    row_starts: Int64,
    spans: Int32,
    places: Int32,
    slot_starts: Int64,
    ids: Int32,
    slots: Int32,
) -> None:
    """Deal the Gaussians out to the lists ``ids`` and ``slots`` (P,), from ``places`` that ``place_lists`` made."""
    m = len(order)
    for c in prange(CHUNKS):
        mine = places[c]
        for r in range(c * m // CHUNKS, (c + 1) * m // CHUNKS):
            i = order[r]
            slot = slot_starts[i]
            for q in range(row_starts[r], row_starts[r + 1]):
                for t in range(spans[q, 0], spans[q, 0] + spans[q, 1]):
                    at = mine[t]
                    ids[at] = i
                    slots[at] = slot
                    mine[t] = at + 1
                    slot += 1
