"""Where Gaussians are added and taken away while a scene is trained.

N Gaussians of at most ``cap``; rows, second (cap, W), first (cap, 16), score, seen, weight (cap,): see optim.py

Those that the loss pulls hardest across the image are split: the mean |dLoss/d(u, v)| over the views that saw them, as
in Kerbl et al. 2023, section 5.2, but ranked rather than held against a threshold: the number grows as planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.splatting import layout
from splat_pipeline.splatting.layout import Float32, Int64, UInt16
from splat_pipeline.splatting.recipe import TrainRecipe


@dataclass(kw_only=True, eq=False)
class Population:
    """The Gaussians in training and what the optimiser remembers of them. Rows from ``count`` on are unused."""

    count: int
    coefficients: int
    rows: Float32
    first: UInt16
    second: UInt16
    score: Float32
    seen: Float32
    weight: Float32

    @staticmethod
    def of(gaussians: Gaussians, cap: int) -> Population:
        """Return a population with room for ``cap`` Gaussians."""
        rows = layout.pack(gaussians, cap)
        return Population(
            count=len(gaussians),
            coefficients=gaussians.sh.shape[1],
            rows=rows,
            first=layout.halves(len(rows), layout.LINE),
            second=layout.halves(*rows.shape),
            score=np.zeros(len(rows), np.float32),
            seen=np.zeros(len(rows), np.float32),
            weight=np.zeros(len(rows), np.float32),
        )

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Return all that is kept of each Gaussian, a row or a number each."""
        return self.rows, self.first, self.second, self.score, self.seen, self.weight

    def forget(self) -> None:
        """Give up the optimiser's memory: nothing is trained any more."""
        self.first, self.second = layout.halves(0, layout.LINE), layout.halves(0, self.rows.shape[1])

    def gaussians(self) -> Gaussians:
        """Return a copy of what has been trained."""
        return layout.unpack(self.rows[: self.count], self.coefficients)


def target_count(share: float, start: int, cap: int, recipe: TrainRecipe) -> int:
    """Return how many Gaussians there should be after ``share`` of the training, between ``start`` and ``cap``."""
    way = (share - recipe.densify_from) / (recipe.densify_until - recipe.densify_from)
    return start + round(max(cap - start, 0) * float(min(max(way, 0.0), 1.0) ** recipe.densify_power))


def prune(people: Population, extent: float, recipe: TrainRecipe) -> int:
    """Drop the Gaussians that are too transparent or too large and close the gaps; return how many."""
    rows = people.rows[: people.count]
    least = np.log(recipe.prune_opacity / (1 - recipe.prune_opacity))
    largest = rows[:, layout.SCALE : layout.SCALE + 3].max(axis=1)
    solid = rows[:, layout.OPACITY] >= least
    keep = solid & (largest <= np.log(recipe.prune_extents * extent)) & _shown(people, recipe)
    kept = int(keep.sum())
    gone = people.count - kept
    if gone:
        for values in people.arrays():
            values[:kept] = values[: people.count][keep]
        people.count = kept
    return gone


def _shown(people: Population, recipe: TrainRecipe) -> NDArray[np.bool_]:
    """Return (N,) whether each Gaussian shows enough to be kept, or has not been looked at often enough to say."""
    weight, judged = people.weight[: people.count], people.seen[: people.count] >= recipe.prune_seen
    if not judged.any():
        return ~judged
    shown: NDArray[np.bool_] = ~judged | (weight >= recipe.prune_weight * np.median(weight[judged]))
    return shown


def split(people: Population, wanted: int, recipe: TrainRecipe) -> int:
    """Split as many of the best-scored Gaussians as it takes to have ``wanted``; forget all scores. Return how many."""
    n = people.count
    rank = people.score[:n] / np.maximum(people.seen[:n], 1)
    candidates = int((rank > 0).sum())
    many = max(min(wanted - n, candidates, len(people.rows) - n), 0)
    if many:
        parents = np.argpartition(-rank, many - 1)[:many]
        parents.sort()
        _split_at(people, parents, recipe)
    people.score[:] = 0
    people.seen[:] = 0
    people.weight[:] = 0
    return many


def settle(people: Population) -> None:
    """Lay Gaussians that are near each other in the world near each other in memory: kernels wait for memory less.

    They are put in the order of a Morton curve (Morton 1966) through the cells of a grid, 1,024 a side, that holds all
    but the outermost hundredth of them.
    """
    n = people.count
    means = people.rows[:n, layout.MEAN : layout.MEAN + 3].astype(np.float64)
    low, high = np.percentile(means, [1, 99], axis=0)
    cells = np.clip((means - low) / np.maximum(high - low, 1e-30) * 1023, 0, 1023).astype(np.int64)
    code = np.zeros(n, np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    order = np.argsort(code, kind="stable")
    for values in people.arrays():
        values[:n] = values[:n][order]


def _split_at(people: Population, parents: Int64, recipe: TrainRecipe) -> None:
    """Replace each parent by a child and append the other."""
    n, many = people.count, len(parents)
    rows = people.rows[parents]
    scales = rows[:, layout.SCALE : layout.SCALE + 3]
    longest = scales.argmax(axis=1)
    each = np.arange(many)
    step = recipe.child_offset * np.exp(scales[each, longest])
    offset = rotations(rows[:, layout.QUAT : layout.QUAT + 4])[each, :, longest] * step[:, None]
    rows[each, layout.SCALE + longest] += np.float32(np.log(recipe.child_shrink))
    opacity = recipe.child_opacity / (1 + np.exp(-rows[:, layout.OPACITY].astype(np.float64)))
    rows[:, layout.OPACITY] = np.log(opacity / (1 - opacity))
    people.rows[parents] = rows
    people.rows[n : n + many] = rows
    people.rows[parents, :3] += offset.astype(np.float32)
    people.rows[n : n + many, :3] -= offset.astype(np.float32)
    for values in (people.first, people.second):
        values[parents] = 0
        values[n : n + many] = 0
    people.count = n + many


def rotations(quats: Float32) -> Float32:
    """Return (M, 3, 3) the rotation of each quaternion (M, 4), wxyz of any length."""
    w, x, y, z = (quats / np.linalg.norm(quats, axis=1, keepdims=True)).T
    rows = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    return rows.transpose(2, 0, 1)
