"""Which images are matched with which: neighbours in time, and views that look alike however far apart.

N images in order of clip and time, V visual words. Matching costs about 45 ms a pair, so not every pair is tried.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

WORDS = 512
PER_WORD = 8
"""Descriptors at least, on average: a word of one descriptor is never seen again."""
ROUNDS = 6
TRAINED_ON = 40_000
PER_IMAGE = 1500
SPREAD = 3
"""Images on either side of a loop candidate that are taken to show the same."""
FACING_DEG = 60.0
"""Cameras that look further apart are taken to see different things."""


def appearance(descriptors: Sequence[NDArray[np.uint8]], *, seed: int) -> Float:
    """Return (N, V) unit rows, one an image: tf-idf of visual words learned from the images themselves.

    ``descriptors``: (K_i, 128) uint8 each, of which ``sampled`` ones count. Sivic and Zisserman 2003.
    """
    few = [sampled(each).astype(np.float32) for each in descriptors]
    pool = np.concatenate([np.zeros((1, 128), np.float32), *few])
    rng = np.random.default_rng(seed)
    words = _words(pool[rng.permutation(len(pool))[:TRAINED_ON]])
    counts = np.stack([np.bincount(_nearest(d, words), minlength=len(words)) for d in few]).astype(np.float32)
    seen_in = (counts > 0).sum(0)
    weighted = np.sqrt(counts) * np.log((1 + len(few)) / (1 + seen_in)).astype(np.float32)
    unit: Float = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-9)
    return unit


def sampled(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return at most ``PER_IMAGE`` rows, evenly over their order, which is that of scale. Idempotent."""
    step = -(-len(descriptors) // PER_IMAGE)
    return descriptors[:: max(1, step)].copy()


def _words(sample: Float) -> Float:
    """K-means; ``sample`` is in random order, so its head is a random start."""
    words = sample[: min(WORDS, max(1, len(sample) // PER_WORD))].copy()
    for _ in range(ROUNDS):
        index = _nearest(sample, words)
        order = np.argsort(index, kind="stable")
        found, starts = np.unique(index[order], return_index=True)
        sums = np.add.reduceat(sample[order], starts, axis=0)
        words[found] = sums / np.diff([*starts, len(sample)])[:, None]
    return words


def _nearest(rows: Float, words: Float) -> NDArray[np.intp]:
    """Rows come in blocks to bound memory; |a - b|^2 without the |a|^2 that is the same for every word."""
    half = 0.5 * (words**2).sum(1)
    blocks = [np.argmax(rows[i : i + 8192] @ words.T - half, axis=1) for i in range(0, len(rows), 8192)]
    return np.concatenate([np.zeros(0, np.intp), *blocks])


def sequence_pairs(count: int, overlap: int) -> set[tuple[int, int]]:
    """Return the pairs of each image with its ``overlap`` next ones."""
    return {(i, j) for i in range(count) for j in range(i + 1, min(i + overlap, count - 1) + 1)}


def instant_pairs(instants: Sequence[Sequence[int]], *, after: int) -> set[tuple[int, int]]:
    """Return the pairs of images of one instant, and of an instant with the ``after`` next ones, first the smaller."""
    pairs = set()
    for at, group in enumerate(instants):
        later = [image for other in instants[at : at + after + 1] for image in other]
        pairs |= {(min(i, j), max(i, j)) for i in group for j in later if i != j}
    return pairs


def gap_pairs(lost: Collection[int], count: int, reach: int) -> set[tuple[int, int]]:
    """Return the pairs of each ``lost`` image with all that are at most ``reach`` places away."""
    return {(min(i, j), max(i, j)) for i in lost for j in range(max(0, i - reach), min(count, i + reach + 1)) if i != j}


def all_pairs(count: int) -> set[tuple[int, int]]:
    """Return every pair."""
    return {(i, j) for i in range(count) for j in range(i + 1, count)}


def similar_pairs(looks: Float, groups: Sequence[str], *, overlap: int, each: int) -> set[tuple[int, int]]:
    """Return, for each image, the ``each`` images most like it that are no neighbours in time.

    With several ``groups`` (clips or segments) as many are looked for in the other groups: clips of one scene must
    join, and within a clip there are always better looking partners.
    """
    count = len(looks)
    score = looks @ looks.T
    near = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) <= overlap
    names = np.array(groups)
    same = names[:, None] == names[None, :]
    pairs: set[tuple[int, int]] = set()
    for excluded in (near, same):
        ranked = np.argsort(-np.where(excluded, -np.inf, score), axis=1, kind="stable")[:, :each]
        pairs |= {(min(i, j), max(i, j)) for i, row in enumerate(ranked) for j in row.tolist() if not excluded[i, j]}
    return pairs


def loop_pairs(looks: Float, *, apart: int, each: int) -> set[tuple[int, int]]:
    """Return, for each image, the ``each`` images most like it that lie more than ``apart`` away in the order.

    Of candidates side by side only the best counts: one place seen again is one loop.
    """
    count = len(looks)
    score = looks @ looks.T
    score[np.abs(np.subtract.outer(np.arange(count), np.arange(count))) <= apart] = -np.inf
    pairs: set[tuple[int, int]] = set()
    for i, row in enumerate(score):
        for _ in range(each):
            j = int(np.argmax(row))
            if row[j] <= 0:
                break
            pairs.add((min(i, j), max(i, j)))
            row[max(0, j - SPREAD) : j + SPREAD + 1] = -np.inf
    return pairs


def posed_pairs(cams_from_world: NDArray[np.float64], *, each: int) -> set[tuple[int, int]]:
    """Return pairs of (N, 4, 4) posed cameras: of each one, up to ``each`` that stand near it and look its way.

    They are ranked by distance over the median distance plus angle over ``FACING_DEG``, and the ranks taken grow
    geometrically: the nearest share most, those farther off see the same points under wide angles. Turning all cameras'
    axes alike, as a mistaken convention does, changes no pair.
    """
    rotations, count = cams_from_world[:, :3, :3], len(cams_from_world)
    centers = -np.einsum("nji,nj->ni", rotations, cams_from_world[:, :3, 3])
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    angle_deg = np.degrees(np.arccos(np.clip(rotations[:, 2] @ rotations[:, 2].T, -1, 1)))
    score = apart / max(float(np.median(apart)), 1e-12) + angle_deg / FACING_DEG
    score[(angle_deg > FACING_DEG) | np.eye(count, dtype=bool)] = np.inf
    pairs: set[tuple[int, int]] = set()
    for i, row in enumerate(score):
        near = np.argsort(row, kind="stable")[: int(np.isfinite(row).sum())]
        ranks = np.unique(np.geomspace(1, max(1, len(near)), each).round().astype(int)) - 1
        pairs |= {(min(i, j), max(i, j)) for j in near[ranks[ranks < len(near)]].tolist()}
    return pairs
