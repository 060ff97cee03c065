"""Gaussians as samples of a Markov chain (Kheradmand et al. 2024, "3D Gaussian Splatting as MCMC").

Nothing is dropped or split: the dead are put where the living are, which is done such that the picture hardly changes,
and noise keeps the faint moving until they find something to show. What differs from the paper: the number grows as the
course of the training wants it, not by 5 % every 100 iterations, as a short training would never reach its cap; and
the noise is measured in scene extents, so that it does not depend on the unit of the world (the paper's code and gsplat
agree with this at an extent of 1, as gsplat's normalised scenes have it).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.splatting import layout
from splat_pipeline.splatting.chance import Purpose, dice
from splat_pipeline.splatting.densify import Population, rotations
from splat_pipeline.splatting.layout import Float32, Int64
from splat_pipeline.splatting.recipe import TrainRecipe

Float64 = NDArray[np.float64]

MOST = 51
"""A Gaussian is shared by at most so many, as in the paper's code."""
STEEPNESS = 100.0
"""Of the step from moving to still, in opacity (paper, eq. 9)."""
STILL = 0.15
"""Above this opacity the noise is below a millionth of its full strength: left out."""
MOST_OPAQUE = 1 - 1e-6
_ORDERS = np.arange(1, MOST + 1)
_SIGNED = np.array([[(-1) ** (j + 1) * comb(n, j) / np.sqrt(j) for j in _ORDERS] for n in range(MOST + 1)])


def shared(opacity: Float64, among: Int64) -> tuple[Float64, Float64]:
    """Return (opacity, shrink) of each of ``among`` (M,) equal Gaussians in the place of one of ``opacity`` (M,).

    Together they hide as much as it did in the middle, 1 - (1 - new)^n = old, and as much in all along any line
    through it: its standard deviations are multiplied by old / sum over j of (-1)^(j+1) C(n, j) new^j / sqrt(j)
    (paper, eq. 8, with the inner sum over binomial coefficients done).
    """
    among = np.minimum(among, MOST)
    new = 1 - (1 - opacity) ** (1 / among)
    return new, opacity / (_SIGNED[among] * new[:, None] ** _ORDERS).sum(axis=1)


@dataclass(frozen=True, kw_only=True)
class Mcmc:
    """The strategy of that name: see strategies.py."""

    recipe: TrainRecipe
    extent: float
    seed: int

    def penalties(self, factor: int) -> tuple[float, float]:
        """Return the weights of the paper, section 4.3, at every resolution."""
        del factor
        return (0.01, 0.01)

    def adapt(self, people: Population, wanted: int, step: int) -> None:
        """Put the dead where the living are, then add copies of the living up to ``wanted``."""
        rng, n = dice(self.seed, Purpose.MOVING, step), people.count
        opacity = _opacities(people.rows[:n])
        alive = np.flatnonzero(opacity > self.recipe.prune_opacity)
        if not len(alive):
            return
        dead = np.flatnonzero(opacity <= self.recipe.prune_opacity)
        self._copy(people, _drawn(rng, alive, opacity, len(dead)), dead)
        more = max(min(wanted, len(people.rows)) - n, 0)
        people.count = n + more
        places = np.arange(n, n + more)
        self._copy(people, _drawn(rng, np.arange(n), _opacities(people.rows[:n]), more), places)

    def stir(self, people: Population, rate: float, step: int) -> None:
        """Move the faint at random: by their covariance, the more the nearer to death, in proportion to ``rate``."""
        rows = people.rows[: people.count]
        faint = np.flatnonzero(rows[:, layout.OPACITY] < np.log(STILL / (1 - STILL)))
        if not len(faint):
            return
        some = rows[faint, : layout.OPACITY + 1]
        moving = 1 / (1 + np.exp(STEEPNESS * (_opacities(some) - self.recipe.prune_opacity)))
        strength = self.recipe.mcmc_noise * rate / self.extent**2 * moving
        noise = dice(self.seed, Purpose.STIRRING, step).standard_normal((len(faint), 3), np.float32)
        turn, scales = rotations(some[:, layout.QUAT : layout.QUAT + 4]), some[:, layout.SCALE : layout.SCALE + 3]
        along = np.einsum("nij,ni->nj", turn, noise) * np.exp(2 * scales)
        rows[faint, :3] += (np.einsum("nij,nj->ni", turn, along) * strength[:, None]).astype(np.float32)

    def _copy(self, people: Population, sources: Int64, places: Int64) -> None:
        """Write each of ``sources`` (M,), once or more, to ``places`` (M,) as well, as ``shared`` says."""
        which, times = np.unique(sources, return_counts=True)
        new, shrink = shared(np.minimum(_opacities(people.rows[which]), MOST_OPAQUE), times + 1)
        new = np.maximum(new, self.recipe.prune_opacity)
        people.rows[which, layout.OPACITY] = np.log(new / (1 - new))
        people.rows[which, layout.SCALE : layout.SCALE + 3] += np.log(shrink)[:, None].astype(np.float32)
        people.rows[places] = people.rows[sources]
        for values in (people.first, people.second, people.score, people.seen, people.weight):
            values[which] = 0
            values[places] = 0


def _opacities(rows: Float32) -> Float64:
    return 1 / (1 + np.exp(-rows[:, layout.OPACITY].astype(np.float64)))


def _drawn(rng: np.random.Generator, candidates: Int64, opacity: Float64, count: int) -> Int64:
    """Return (count,) of ``candidates``, with replacement, in proportion to their ``opacity`` (all Gaussians')."""
    chances = opacity[candidates]
    return rng.choice(candidates, count, p=chances / chances.sum())
