"""How many keyframes a job may have: by the detail that is asked for, and by what the machine can hold."""

from __future__ import annotations

from dataclasses import dataclass

from splat_pipeline.domain.recipe import Recipe

WANTED = {"preview": 80, "reduced": 120, "full": 160, "auto": 160}
"""By detail. Matching and mapping take their time in proportion."""
MEMORY_SHARE = 0.4
"""Of the free memory that the pictures of a training may take, all at once; the Gaussians take the rest."""
CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many keyframes."""

    wanted: int
    """Where they overlap: no more than this."""
    most: int
    """Where they would not overlap otherwise: never more than this."""


def budget_of(recipe: Recipe, *, free_bytes: int | None, width_px: int, height_px: int) -> Budget:
    """Return the budget of a job. ``width_px``, ``height_px``: of its largest kept pictures.

    ``free_bytes``: of memory, None where nobody knows. A number in the recipe is taken at its word, and is a limit.
    """
    asked = recipe.frames.max_keyframes
    if asked is not None:
        return Budget(wanted=asked, most=asked)
    wanted = WANTED[recipe.detail]
    picture_bytes = CHANNELS * max(1, width_px * height_px)
    fits = wanted if free_bytes is None else int(MEMORY_SHARE * free_bytes / picture_bytes)
    return Budget(wanted=wanted, most=max(wanted, fits))
