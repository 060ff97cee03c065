"""A training as a whole: begun on its first Gaussians, taken apart into a checkpoint's state, put together again.

Put together again it goes on as if it had never stopped: what is not in the state (pictures, workspaces, what is drawn
upon) is written anew before it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.formats.splat import by_importance
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.splatting import harmonics, layout, seeds
from splat_pipeline.splatting.checkpoint import State
from splat_pipeline.splatting.course import Course, Stopwatch
from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.studio import Studio
from splat_pipeline.splatting.watch import Watch

COURSE = ("first", "done", "share", "split", "rounds", "order", "pace_s")
PEOPLE, STUDIO = "people.", "studio."
"""What the names of arrays of the two begin with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """What a training has been asked for."""

    views: Sequence[View]
    plan: TrainingPlan
    recipe: TrainRecipe
    seconds: float | None
    stopwatch: Stopwatch


@dataclass(kw_only=True, eq=False)
class Training:
    """A training on its way."""

    studio: Studio
    course: Course
    watch: Watch
    before: float
    """The loss before the first iteration; NaN: not known yet."""

    @staticmethod
    def begun(order: Order, first: Gaussians, rng: np.random.Generator) -> Training:
        """Return a training that begins with the Gaussians ``first``."""
        people = Population.of(first, order.plan.max_gaussians)
        return Training(
            studio=Studio(
                people=people,
                recipe=order.recipe,
                extent=seeds.scene_extent(order.views),
                seed=order.plan.seed,
                views=len(order.views),
            ),
            course=Course(
                plan=order.plan,
                recipe=order.recipe,
                views=order.views,
                first=len(first),
                rng=rng,
                stopwatch=order.stopwatch,
                seconds=order.seconds,
            ),
            watch=Watch(window=order.recipe.diverged_window),
            before=float("nan"),
        )

    def state(self) -> State:
        """Return all that decides how the training goes on. The arrays are not copied."""
        people, course = self.studio.people, self.course
        arrays = {PEOPLE + name: values[: people.count] for name, values in _columns(people)}
        arrays |= {STUDIO + name: values for name, values in self.studio.state().items()}
        facts = {
            "coefficients": people.coefficients,
            "course": {name: getattr(course, name) for name in COURSE},
            "rng": course.rng.bit_generator.state,
            "seconds": course.stopwatch.seconds(),
            "watch": self.watch.state(),
            "before": self.before,
        }
        return State(facts=facts, arrays=arrays)


def resumed(order: Order, state: State) -> Training:
    """Return the training that ``state`` was taken of. Raises ``ValueError`` when it does not fit this program."""
    facts = state.facts
    rng = np.random.default_rng()
    try:
        training = Training.begun(order, _gaussians(state), rng)
        rng.bit_generator.state = facts["rng"]
        _fill(training.studio.people, state.arrays)
        training.studio.restore(_named(state.arrays, STUDIO))
        for name, value in facts["course"].items():
            setattr(training.course, name, value)
        training.watch.restore(facts["watch"])
        training.before = facts["before"]
        order.stopwatch.before = facts["seconds"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"its contents are of another version: {error!r}") from error
    return training


def taken_over(order: Order, state: State, rng: np.random.Generator) -> Training:
    """Return a training that begins with the Gaussians of another of its scene, after the same share of the course.

    They are thinned to the cap, the most important kept, and lose the harmonics that the plan does not have. Raises
    ``ValueError`` when the state does not fit this program.
    """
    plan = order.plan
    try:
        found = _gaussians(state)
        share, first = state.facts["course"]["share"], state.facts["course"]["first"]
        kept = found.take(np.sort(by_importance(found)[: plan.max_gaussians]))
        kept = replace(kept, sh=_fitted(kept.sh, harmonics.coefficients(plan.sh_degree)))
        training = Training.begun(order, kept, rng)
        training.studio.restore(_named(state.arrays, STUDIO))
        training.studio.moves = 0  # the moments begin anew
        training.course.take_up(share, first=min(first, plan.max_gaussians))
        training.before = training.watch.best = state.facts["before"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"its contents are of another version: {error!r}") from error
    return training


def _columns(people: Population) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the name and array of all that is kept a Gaussian, whatever that may be."""
    for entry in fields(people):
        values = getattr(people, entry.name)
        if isinstance(values, np.ndarray):
            yield entry.name, values


def _fill(people: Population, arrays: Mapping[str, NDArray[Any]]) -> None:
    columns, kept = dict(_columns(people)), _named(arrays, PEOPLE)
    if set(columns) != set(kept):
        raise ValueError(f"it holds {sorted(kept)} of a Gaussian where {sorted(columns)} are needed")
    for name, values in columns.items():
        saved = kept[name]
        if (saved.dtype, saved.shape) != (values.dtype, values[: people.count].shape):
            raise ValueError(f"its {name} are {saved.dtype} {saved.shape}, not {values.dtype} {values.shape[1:]}")
        values[: people.count] = saved


def _gaussians(state: State) -> Gaussians:
    rows, k = state.arrays[PEOPLE + "rows"], state.facts["coefficients"]
    if rows.shape[1] != layout.width(k):
        raise ValueError(f"its rows are {rows.shape[1]} wide, not {layout.width(k)}")
    return layout.unpack(rows, k)


def _fitted(sh: layout.Float32, coefficients: int) -> layout.Float32:
    """Return ``sh`` (N, K, 3) with as many coefficients, cut off or zero."""
    fitted = np.zeros((len(sh), coefficients, 3), np.float32)
    fitted[:, : sh.shape[1]] = sh[:, :coefficients]
    return fitted


def _named(arrays: Mapping[str, NDArray[Any]], start: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
