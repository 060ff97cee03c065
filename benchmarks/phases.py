"""Where the time of a training step goes.

Steps are made on Gaussians that have been trained, at the full resolution, with a clock around every call of a kernel;
the training itself is not touched. A phase is the least of its times over some rounds, a view; the figure is their mean
over the views. A round is as many steps as it takes for the harmonics to move once. What a step takes besides (rates,
allocations, Python) is ``other``; ``step`` is the sum of all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.ports.training import TrainingViews
from splat_pipeline.splatting import blend, optim, project, seeds, studio, tiles
from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.pictures import at_size
from splat_pipeline.splatting.recipe import TrainRecipe

PHASES: dict[str, list[tuple[ModuleType, str]]] = {
    "project": [(project, "project")],
    "sort": [(tiles, "sort_by_depth")],
    "tile_lists": [
        (tiles, name) for name in ("number_pairs", "list_pairs", "count_lists", "place_lists", "fill_lists")
    ],
    "blend": [(blend, "blend")],
    "loss": [(studio, "to_planes"), (studio, "loss_and_gradient")],
    "blend_backward": [(blend, "blend_backward")],
    "pullback_adam": [(optim, "pull_back_and_step")],
}


def ms_per_phase(
    gaussians: Gaussians, shown: TrainingViews, recipe: TrainRecipe, *, views: int = 6, rounds: int = 5
) -> dict[str, float]:
    """Return wall milliseconds of each phase of a step, of what is ``other``, and of the whole ``step``."""
    people = Population.of(gaussians, len(gaussians))
    room = studio.Studio(people=people, recipe=recipe, extent=seeds.scene_extent(shown.views))
    chosen = np.unique(np.linspace(0, len(shown.views) - 1, views).round().astype(int))
    times = []
    for i in chosen:
        picture = at_size(shown.images[i], shown.views[i], 1)
        room.step(picture, gaussians.sh_degree, 1.0)
        step = partial(room.step, picture, gaussians.sh_degree, 1.0)
        times.append(_least(step, rounds, recipe.detail_every))
    means = {name: 1000 * float(np.mean([row[name] for row in times])) for name in times[0]}
    return {name: round(value, 3) for name, value in {**means, "step": sum(means.values())}.items()}


def _least(step: Callable[[], Any], rounds: int, steps: int) -> dict[str, float]:
    rows = []
    for _ in range(rounds):
        with _clocks() as spent:
            start = time.perf_counter()
            for _ in range(steps):
                step()
            whole = time.perf_counter() - start
        times = {**spent, "other": whole - sum(spent.values())}
        rows.append({name: value / steps for name, value in times.items()})
    return {name: min(row[name] for row in rows) for name in rows[0]}


@contextmanager
def _clocks() -> Iterator[dict[str, float]]:
    """Put a clock around the functions of ``PHASES`` and take it off again; give the seconds spent in each phase."""
    spent = dict.fromkeys(PHASES, 0.0)
    kept = [(module, name, getattr(module, name)) for calls in PHASES.values() for module, name in calls]
    for phase, calls in PHASES.items():
        for module, name in calls:
            setattr(module, name, _timed(getattr(module, name), phase, spent))
    try:
        yield spent
    finally:
        for module, name, function in kept:
            setattr(module, name, function)


def _timed(function: Callable[..., Any], phase: str, spent: dict[str, float]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[phase] += time.perf_counter() - start

    return call


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return ``rows`` of the same keys as a table of plain text."""
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
