"""How Gaussians come and go while a scene is trained: one of several ways, chosen by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from splat_pipeline.splatting.densify import Population, prune, split
from splat_pipeline.splatting.mcmc import Mcmc
from splat_pipeline.splatting.recipe import TrainRecipe

OPACITY_WEIGHT, COARSE_OPACITY_WEIGHT = 0.05, 0.01
"""Of the mean opacity in the loss at the whole resolution and at the coarse ones: see the lab notes."""


class Strategy(Protocol):
    """What a training calls between the steps of its optimiser. It keeps nothing that a checkpoint would have to."""

    def penalties(self, factor: int) -> tuple[float, float]:
        """Return the weights of opacity and of scale in the loss, where the recipe names none.

        ``factor``: by how much the pictures are made smaller, see course.py.
        """
        ...

    def adapt(self, people: Population, wanted: int, step: int) -> None:
        """Drop or move what is of no use and go on towards ``wanted`` Gaussians; once in many steps."""
        ...

    def stir(self, people: Population, rate: float, step: int) -> None:
        """Do what is done after every step. ``rate``: the means' step, world units."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Drops the transparent, splits those that the loss pulls hardest across the image: see densify.py."""

    recipe: TrainRecipe
    extent: float
    seed: int

    def penalties(self, factor: int) -> tuple[float, float]:
        """Return a weight in the opacity alone: views that are trained on are matched less closely, others better."""
        return (OPACITY_WEIGHT if factor == 1 else COARSE_OPACITY_WEIGHT, 0.0)

    def adapt(self, people: Population, wanted: int, step: int) -> None:
        """Prune, then split up to ``wanted``."""
        del step
        prune(people, self.extent, self.recipe)
        split(people, wanted, self.recipe)

    def stir(self, people: Population, rate: float, step: int) -> None:
        """Leave all as it is."""


STRATEGIES: dict[str, Callable[..., Strategy]] = {"ranked": Ranked, "mcmc": Mcmc}


def strategy_of(recipe: TrainRecipe, *, extent: float, seed: int) -> Strategy:
    """Return what ``recipe.strategy`` names, for a scene of ``extent`` world units. Raises ``ValueError``."""
    if recipe.strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {recipe.strategy!r}")
    return STRATEGIES[recipe.strategy](recipe=recipe, extent=extent, seed=seed)
