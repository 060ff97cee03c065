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

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from splat_pipeline.splatting.lanes import fetch
from splat_pipeline.splatting.layout import LINE, Float32, Int32, Int64, Real

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
def tile_columns(p: Float32, row: int, columns: int) -> tuple[int, int]:
    """Return the half-open range of tiles in tile row ``row`` that hold a pixel centre's abscissa of the ellipse.

    The ellipse is |L d|^2 <= cut (see project.py). Cut by the horizontal strip of the row it is convex, so the tiles
    that it touches are an interval, whose ends are the extreme abscissae within the strip: those of the whole ellipse
    where it lies in the strip, otherwise those on the strip's nearer edge.
    """
    reach = p[HALF_X] + SLACK
    end = p[U] + reach - HALF
    if end < ZERO:
        return 0, 0
    first = ceiling(min(max((p[U] - reach - LAST) / SIDE, ZERO), np.float32(columns)))
    last = int(min(end / SIDE, np.float32(columns - 1)))
    if last <= first:  # Most are this small: no root is needed.
        return first, last + 1
    top = row * SIDE + HALF - p[V]
    bottom = row * SIDE + LAST - p[V]
    tilt = p[TILT]
    right_y = min(max(tilt, top), bottom)
    left_y = min(max(-tilt, top), bottom)
    right_w, left_w = p[L22] * right_y, p[L22] * left_y
    right = (math.sqrt(max(p[CUT] - right_w * right_w, ZERO)) - p[L21] * right_y) / p[L11]
    left = (-math.sqrt(max(p[CUT] - left_w * left_w, ZERO)) - p[L21] * left_y) / p[L11]
    end = p[U] + right + SLACK - HALF
    if end < ZERO:
        return 0, 0
    first = ceiling(min(max((p[U] + left - SLACK - LAST) / SIDE, ZERO), np.float32(columns)))
    return first, int(min(end / SIDE, np.float32(columns - 1))) + 1


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
        mine = counts[c]
        mine[:] = 0
        for r in range(c * m // CHUNKS, (c + 1) * m // CHUNKS):
            fetch(lines, order[min(r + AHEAD, m - 1)] * LINE)
            i = order[r]
            p, sum_of_rows = flat[i], 0
            top, _ = tile_rows(p, rows)
            for q in range(row_starts[r], row_starts[r + 1]):
                row = top + q - row_starts[r]
                first, last = tile_columns(p, row, columns)
                spans[q, 0] = row * columns + first
                spans[q, 1] = max(last - first, 0)
                sum_of_rows += max(last - first, 0)
                for t in range(row * columns + first, row * columns + last):
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
