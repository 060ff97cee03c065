"""Distance to the nearest neighbours, for the first size of a Gaussian.

P points; a balanced k-d tree over them lies in three arrays: ``index`` (P,) int64, the points in the order of the
leaves; ``axes`` and ``cuts`` (nodes,), the axis and place at which node i is cut, its children being 2 i + 1, 2 i + 2.
The tree halves the points, not space: outliers and duplicates do not unbalance it.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.layout import Float32, Int64

Float64 = NDArray[np.float64]

LEAF = 16
"""A node of at most this many points is not cut."""
DEPTH = 64
"""Room for nodes yet to be visited."""
NEAREST = 3
"""Neighbours that are averaged (Kerbl et al. 2023, section 4)."""


def mean_distance(points: Float64) -> Float32:
    """Return (P,) the mean distance of each of ``points`` (P, 3) to its three nearest others, in their unit.

    Points at the same place are each other's neighbours at distance 0. With fewer than four points: to those there are.
    """
    n = len(points)
    nodes = 1
    while nodes * LEAF < n:
        nodes *= 2
    index, axes, cuts = np.arange(n), np.zeros(2 * nodes, np.int64), np.zeros(2 * nodes)
    _grow(points, index, axes, cuts)
    distances = np.zeros(n, np.float32)
    _search(points, index, axes, cuts, distances)
    return distances


def _grow(points: Float64, index: Int64, axes: Int64, cuts: Float64) -> None:
    """Order ``index`` and fill ``axes`` and ``cuts``, all nodes of a level at once: numpy is quick enough at that.

    A level's nodes lie between its ``edges``. Where it has nodes of one point more than a leaf, its leaves are cut as
    well, which changes nothing: ``_search`` goes by their size.
    """
    edges, first = np.array([0, len(points)]), 0
    while np.diff(edges).max() > LEAF:
        sizes = np.diff(edges)
        here = points[index]
        spread = np.maximum.reduceat(here, edges[:-1]) - np.minimum.reduceat(here, edges[:-1])
        widest = spread.argmax(axis=1)
        node = np.repeat(np.arange(len(sizes)), sizes)
        index[:] = index[np.lexsort((here[np.arange(len(here)), widest[node]], node))]
        middles = (edges[:-1] + edges[1:]) // 2
        mine = slice(first, first + len(sizes))
        axes[mine], cuts[mine] = widest, points[index[middles], widest]
        edges = np.sort(np.concatenate([edges, middles]))
        first += len(sizes)


@njit(cache=True, parallel=True)
def _search(points: Float64, index: Int64, axes: Int64, cuts: Float64, distances: Float32) -> None:
    n = len(points)
    for i in prange(n):
        best = np.full(NEAREST, np.inf)
        stack, away = np.zeros((DEPTH, 3), np.int64), np.zeros(DEPTH)
        stack[0, 1] = n
        size = 1
        while size > 0:
            size -= 1
            if away[size] >= best[NEAREST - 1]:
                continue
            low, high, node = stack[size]
            while high - low > LEAF:
                middle = (low + high) // 2
                gap = points[i, axes[node]] - cuts[node]
                left = (low, middle, 2 * node + 1)
                right = (middle, high, 2 * node + 2)
                near, far = (left, right) if gap < 0 else (right, left)
                stack[size, 0], stack[size, 1], stack[size, 2] = far
                away[size] = gap * gap
                size += 1
                low, high, node = near
            for other in index[low:high]:
                if other != i:
                    d = points[other] - points[i]
                    _insert(best, d[0] * d[0] + d[1] * d[1] + d[2] * d[2])
        total, found = 0.0, 0
        for squared in best:
            if squared < np.inf:
                total += np.sqrt(squared)
                found += 1
        distances[i] = total / max(found, 1)


@njit(cache=True)
def _insert(best: Float64, value: float) -> None:
    """Put ``value`` into the ascending ``best`` (3,), dropping the last."""
    if value >= best[2]:
        return
    if value < best[0]:
        best[2], best[1], best[0] = best[1], best[0], value
    elif value < best[1]:
        best[2], best[1] = best[1], value
    else:
        best[2] = value
