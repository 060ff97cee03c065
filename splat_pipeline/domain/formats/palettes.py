"""Many numbers by few: a codebook of 256 values, and a palette of vectors, by k-means (Lloyd 1982).

N values or vectors of D numbers; K vectors of the palette. Nothing is random: the same numbers give the same palette.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

Float32 = NDArray[np.float32]
VALUES, _ADAPTED = 256, 192
_SAMPLE, _ROUNDS = 1 << 18, 12
_EACH, _VECTOR_ROUNDS = 64, 6
"""So many vectors of a sample for each of the palette; rounds of k-means."""
_ALONE = 1 << 18
"""So many multiplications does OpenBLAS leave to one thread."""


def codebook(values: Float32) -> tuple[Float32, NDArray[np.uint8]]:
    """Return (256,) rising values and, for each of ``values`` (any shape), which is nearest: uint8.

    Three in four are where the values are, the others in equal steps over their range, so that no value is off by more
    than 1/126 of it. All stay exact where there are no more than 256 different ones.
    """
    flat = values.ravel()
    some = np.sort(flat[:: max(1, len(flat) // _SAMPLE)]).astype(np.float64)
    if not len(some):
        return np.zeros(VALUES, np.float32), np.zeros(values.shape, np.uint8)
    distinct = np.unique(flat) if len(flat) <= _SAMPLE else np.unique(some)
    if len(distinct) <= VALUES:
        book = np.concatenate([distinct, np.full(VALUES - len(distinct), distinct[-1])]).astype(np.float64)
    else:
        book = np.quantile(some, (np.arange(_ADAPTED) + 0.5) / _ADAPTED)
        sums = np.concatenate([[0], np.cumsum(some)])
        for _ in range(_ROUNDS):
            edges = np.searchsorted(some, np.concatenate([[-np.inf], (book[1:] + book[:-1]) / 2, [np.inf]]))
            count = np.diff(edges)
            book = np.where(count > 0, np.diff(sums[edges]) / np.maximum(count, 1), book)
        book = np.sort(np.concatenate([book, np.linspace(flat.min(), flat.max(), VALUES - _ADAPTED)]))
    middle = (book[1:] + book[:-1]) / 2
    return book.astype(np.float32), np.searchsorted(middle, flat).astype(np.uint8).reshape(values.shape)


def palette(vectors: Float32, most: int) -> tuple[Float32, NDArray[np.int64]]:
    """Return the palette (K, D), K <= ``most``, and which of it is near each of ``vectors`` (N, D).

    In two steps, first near which of the roots of K, then near which of its own: it costs N sqrt(K) instead of N K.
    """
    count = len(vectors)
    if count <= most:
        return vectors.copy(), np.arange(count)
    coarse = max(1, int(np.sqrt(most)))
    roots = _means(vectors[:: max(1, count // (coarse * _EACH))], coarse)
    near = _nearest(vectors, roots)
    order = np.argsort(near, kind="stable")
    stops = np.searchsorted(near[order], np.arange(len(roots) + 1))
    found: list[Float32] = []
    labels = np.empty(count, np.int64)
    used = 0
    for i in range(len(roots)):
        mine = order[stops[i] : stops[i + 1]]
        if len(mine):
            share = max(1, min(len(mine), most * len(mine) // count))
            own = _means(vectors[mine][:: max(1, len(mine) // (share * _EACH))], share)
            labels[mine] = used + _nearest(vectors[mine], own)
            found.append(own)
            used += len(own)
    return np.concatenate(found), labels


def _means(some: Float32, count: int) -> Float32:
    """Return at most ``count`` centres of ``some`` (S, D)."""
    if len(some) <= count:
        return some.copy()
    # Spread over the order along the first principal axis: near to one another is near in that order.
    middle = some.mean(axis=0)
    order = np.argsort((some - middle) @ _axis(some - middle), kind="stable")
    centres = some[order[np.linspace(0, len(some) - 1, count).astype(np.int64)]].copy()
    for _ in range(_VECTOR_ROUNDS):
        near = _nearest(some, centres)
        sizes = np.bincount(near, minlength=len(centres))
        # A matrix of zeros and ones adds up those near each: np.add.at is ten times slower.
        members = csc_array((np.ones(len(some), np.float32), near, np.arange(len(some) + 1)), (len(centres), len(some)))
        sums = members @ some
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres).astype(np.float32)
    return centres


def _axis(around: Float32) -> Float32:
    """Return (D,) the first principal axis of ``around`` (S, D), whose middle is 0. A few rows a product, as below."""
    wide = around.shape[1]
    few = max(1, _ALONE // wide**2)
    rows = np.zeros((-(-len(around) // few) * few, wide), np.float32)
    rows[: len(around)] = around
    parts = rows.reshape(-1, few, wide)
    spread = (parts.transpose(0, 2, 1) @ parts).sum(axis=0, dtype=np.float64)
    out: Float32 = np.linalg.eigh(spread)[1][:, -1].astype(np.float32)
    return out


def _products(vectors: Float32, centres: Float32) -> Float32:
    """Return (N, K) ``vectors`` (N, D) times ``centres`` (K, D).

    A few rows a product: BLAS shares larger ones among threads, which wait for one another, spinning, where the
    processors have other work: ten times the seconds were seen.
    """
    few = max(1, _ALONE // centres.size)
    whole = len(vectors) // few * few
    across = np.ascontiguousarray(centres.T)
    out = np.empty((len(vectors), len(centres)), np.float32)
    np.matmul(vectors[:whole].reshape(-1, few, len(across)), across, out=out[:whole].reshape(-1, few, len(centres)))
    np.matmul(vectors[whole:], across, out=out[whole:])
    return out


def _nearest(vectors: Float32, centres: Float32, chunk: int = 1 << 12) -> NDArray[np.int64]:
    """Return (N,) which centre is nearest; |x - c|^2 = |x|^2 - 2 x c + |c|^2, and |x| is the same for all.

    ``chunk``: so many at a time, whose products fit into the processor's cache.
    """
    half = (centres.astype(np.float64) ** 2).sum(axis=1).astype(np.float32) / 2
    out = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), chunk):
        rows = slice(start, start + chunk)
        out[rows] = np.argmax(_products(vectors[rows], centres) - half, axis=1)
    return out
