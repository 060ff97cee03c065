"""Which Gaussian touches which 16x16 tile of the image, front to back.

T      tiles, in rows from the top left
P      pairs (tile, Gaussian) that touch
flat   (N, 16) float32, the Gaussians as ``project.py`` lays them on the image plane; reach as in spans.py
order  (M,) int32, the visible Gaussians from near to far
starts (T + 1,) int64, where a tile's list begins in ``ids`` and ``slots``
ids    (P,) int32, the Gaussians of each tile, near to far
slots  (P,) int32, the number of the pair, counted Gaussian by Gaussian: where its gradient is written
places (P,) int32, the tile of each pair, at its number

One sort by depth serves all tiles: Gaussians are dealt out to the tiles in that order, in chunks whose share of every
list is counted first, so that threads write to places of their own and no list is sorted again. Which tiles a Gaussian
touches is for spans.py to say.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, load, room
from splat_pipeline.splatting.layout import LINE, Float32, Int32, Int64
from splat_pipeline.splatting.spans import COUNT, FIRST, KEPT, NUMBERS, ROWS, TOP, Int16, span, store_run

UInt32 = NDArray[np.uint32]

CHUNKS = 32
"""Shares of the Gaussians in the counting pass; fixed, so that results do not depend on the number of threads."""
BITS_OF_TWO, BITS_OF_THREE = 13, 11
"""Bits of a digit of the depth sort: three hold any positive float32, two what lies within eight octaves."""


@njit(cache=True, error_model="numpy")
def number_pairs(touched: Int32, depths: Float32, visible: Int32, keys: UInt32, slot_starts: Int32) -> tuple[int, int]:
    """List the Gaussians that touch a tile in ``visible``; return how many they are and how many pairs they make.

    Writes the bits of their depths to ``keys`` (M,) and the number of the first pair of each of them to ``slot_starts``
    (N,). ``touched`` (N,): how many tiles each touches.
    """
    bits, count, pairs = depths.view(np.uint32), 0, 0
    for i in range(len(touched)):
        visible[count] = i
        keys[count] = bits[i]
        slot_starts[i] = pairs
        count += touched[i] > 0
        pairs += touched[i]
    return count, pairs


@njit(cache=True, error_model="numpy")
def digits_of(widest: int) -> tuple[int, int]:
    """Return how many digits the depth sort takes for keys up to ``widest``, and their bits."""
    if widest < 1 << 2 * BITS_OF_THREE:
        return 2, BITS_OF_THREE
    if widest < 1 << 2 * BITS_OF_TWO:
        return 2, BITS_OF_TWO
    return 3, BITS_OF_THREE


@njit(cache=True, error_model="numpy")
def sort_by_depth(visible: Int32, order: Int32, spare: Int32, keys: UInt32, spare_keys: UInt32) -> None:
    """Write ``visible`` (M,) ordered by depth to ``order`` (M,); equal depths keep their order.

    A radix sort: the bits of positive floats order like the floats. ``keys`` (M,): those of ``number_pairs``, lost on
    the way; ``spare`` and ``spare_keys`` (M,): room to work.
    """
    m = len(visible)
    if m == 0:
        return
    least, most = keys.min(), keys.max()
    digits, width = digits_of(np.int64(most) - np.int64(least))
    mask = np.uint32((1 << width) - 1)
    counts = np.zeros((digits, 1 << width), np.int32)
    for r in range(m):
        key = np.uint32(keys[r] - least)
        keys[r] = key
        for digit in range(digits):
            counts[digit, (key >> np.uint32(digit * width)) & mask] += 1
    ids_in, keys_in = visible, keys
    for digit in range(digits):
        place = 0
        for b in range(1 << width):
            size = counts[digit, b]
            counts[digit, b] = place
            place += size
        here = counts[digit]
        shift = np.uint32(digit * width)
        last = (digits - digit) % 2 == 1
        ids_out, keys_out = (order if last else spare), (spare_keys if digit % 2 == 0 else keys)
        for r in range(m):
            key = keys_in[r]
            b = (key >> shift) & mask
            at = here[b]
            here[b] = at + 1
            keys_out[at] = key
            ids_out[at] = ids_in[r]
        ids_in, keys_in = ids_out, keys_out


@njit(cache=True, parallel=True, error_model="numpy")
def list_pairs(
    flat: Float32, reach: Int16, visible: Int32, columns: int, slot_starts: Int32, touched: Int32, places: Int32
) -> None:
    """Write the tile of every pair to ``places`` (P,), Gaussian by Gaussian. ``columns``: of tiles."""
    m, lines = len(visible), reach.reshape(-1)
    for c in prange(CHUNKS):
        ends, numbers = room(2 * WIDTH), load(NUMBERS.copy(), 0)
        first, end = c * m // CHUNKS, (c + 1) * m // CHUNKS
        if first == end:
            continue
        # sixteen are written at once where that many are this thread's own
        safe = slot_starts[visible[end - 1]] + touched[visible[end - 1]] - WIDTH
        for r in range(first, end):
            i = visible[r]
            at, line = slot_starts[i], i * LINE
            row, rows = lines[line + TOP] * columns, lines[line + ROWS]
            for k in range(rows):
                if rows <= KEPT:
                    column, count = np.int64(lines[line + FIRST + 2 * k]), np.int64(lines[line + COUNT + 2 * k])
                else:
                    column, count = span(flat[i], lines[line + TOP], k, columns, numbers, ends)
                if count <= WIDTH and at <= safe:
                    store_run(places, at, row + column)
                else:
                    for j in range(count):
                        places[at + j] = row + column + j
                at += count
                row += columns


@njit(cache=True, parallel=True, error_model="numpy")
def count_lists(places: Int32, order: Int32, slot_starts: Int32, touched: Int32, counts: Int32) -> None:
    """Count in ``counts`` (CHUNKS, T) how many Gaussians of each chunk of ``order`` touch each tile."""
    m = len(order)
    for c in prange(CHUNKS):
        mine = counts[c]
        mine[:] = 0
        for r in range(c * m // CHUNKS, (c + 1) * m // CHUNKS):
            i = order[r]
            first = slot_starts[i]
            for slot in range(first, first + touched[i]):
                mine[np.uint32(places[slot])] += 1


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
    places: Int32, order: Int32, slot_starts: Int32, touched: Int32, counts: Int32, ids: Int32, slots: Int32
) -> None:
    """Deal the Gaussians out to the lists ``ids`` and ``slots`` (P,), from where ``counts`` says after place_lists."""
    m = len(order)
    for c in prange(CHUNKS):
        mine = counts[c]
        for r in range(c * m // CHUNKS, (c + 1) * m // CHUNKS):
            i = order[r]
            first = slot_starts[i]
            for slot in range(first, first + touched[i]):
                t = np.uint32(places[slot])
                at = np.uint32(mine[t])
                ids[at] = i
                slots[at] = slot
                mine[t] = at + 1
