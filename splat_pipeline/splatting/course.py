"""How far a training is and what comes next: resolution, degree, rounds of splitting, the order of views.

A course is measured in shares, 0 at its beginning and 1 at its end. By iterations, the share is that of the iterations
done, and the same seed gives the same course. By the clock, the share is that of the iterations that fit into the time,
as a model of their cost has it; then no two courses are quite the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.splatting.densify import target_count
from splat_pipeline.splatting.recipe import TrainRecipe

GRID = 1000
"""Points of a course at which the work is added up."""
PER_PICTURE, PER_GAUSSIAN, POWER = 0.65, 0.35, -1.5
"""Cost of an iteration over that of one at the whole resolution with all Gaussians: what goes with the resolution's
factor to this power, and what goes with the number of Gaussians. Fitted at 480x270 with up to 50,000, to a tenth."""
PACE_KEPT = 0.95
"""Share that a running mean of the seconds an iteration keeps."""
LOOK = 0.5
"""Seconds of looking at a view over those of an iteration: drawing is the smaller half."""


@dataclass(kw_only=True, eq=False)
class Stopwatch:
    """Seconds of a training, over all the processes that worked on it."""

    clock: Callable[[], float]
    before: float = 0.0
    """Seconds of earlier processes."""
    start: float = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.clock()

    def seconds(self) -> float:
        """Return the seconds so far."""
        return self.before + self.clock() - self.start

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count what happens inside."""
        at = self.clock()
        yield
        self.start += self.clock() - at


@dataclass(kw_only=True, eq=False)
class Course:
    """Where a training stands. What is not an argument of the training is in a checkpoint."""

    plan: TrainingPlan
    recipe: TrainRecipe
    views: Sequence[View]
    first: int
    """Gaussians at the beginning."""
    rng: np.random.Generator
    stopwatch: Stopwatch
    seconds: float | None = None
    """Seconds that the training may take; None: the plan's iterations, however long they take."""
    done: int = 0
    """Iterations."""
    share: float = 0.0
    split: int = 0
    """Iteration after which Gaussians were last split, or might have been."""
    rounds: int = 0
    """Rounds of splitting so far."""
    order: list[int] = field(default_factory=list)
    """Views yet to come, the next one last, before they are drawn anew."""
    pace_s: float = 0.0
    """Running mean of the seconds an iteration."""
    since: tuple[float, float] = field(init=False)
    """Seconds and share of the work when this process began with iterations, or had done the first of all."""
    last_s: float = field(init=False)
    side_px: int = field(init=False)
    """The shortest of all images."""
    work: NDArray[np.float64] = field(init=False)
    """(GRID + 1,) share of the work done at 0, 1 / GRID, ..., 1."""

    def __post_init__(self) -> None:
        self.side_px = min(min(view.camera.width_px, view.camera.height_px) for view in self.views)
        at = (np.arange(GRID) + 0.5) / GRID
        sums = np.cumsum([self._cost(float(share)) for share in at])
        self.work = np.concatenate([[0.0], sums / sums[-1]])

    def take_up(self, share: float, *, first: int) -> None:
        """Begin after ``share`` of the course, as if it had begun with ``first`` Gaussians."""
        self.share, self.first = share, first
        self.done = self.split = round(share * self.plan.iterations)

    def begin(self) -> None:
        """Note when iterations begin."""
        self.last_s = self.stopwatch.seconds()
        self.since = (self.last_s, self.work_done)

    @property
    def work_done(self) -> float:
        """The share of the work that is done."""
        return float(np.interp(self.share * GRID, np.arange(GRID + 1), self.work))

    @property
    def over(self) -> bool:
        """Nothing is left to do."""
        return self.share >= 1

    @property
    def iterations(self) -> int:
        """How many there will be, by the clock an estimate."""
        return self.plan.iterations if self.seconds is None else round(self.done / self.share) if self.share > 0 else 0

    @property
    def factor(self) -> int:
        """By how much images are made smaller now: 4, 2 or 1."""
        return self._factor(self.share)

    @property
    def degree(self) -> int:
        """The degree of the harmonics that are trained now."""
        most, every = self.plan.sh_degree, self.recipe.degree_every
        return min(most, int(self.share / every)) if every > 0 else most

    def next_view(self) -> int:
        """Return the view to be trained: all in random order, then again in another."""
        self.order = self.order or [int(v) for v in self.rng.permutation(len(self.views))]
        return self.order.pop()

    def count(self, *, looks: int) -> None:
        """Count an iteration as done. ``looks``: views that are looked at when the course is over."""
        self.done += 1
        if self.seconds is None:
            self.share = self.done / self.plan.iterations
            if self.done == 1:
                self.begin()  # anew: kernels were loaded or compiled on the way, which is no pace
            return
        now = self.stopwatch.seconds()
        took, self.last_s = now - self.last_s, now
        self.pace_s = took if self.pace_s == 0 else PACE_KEPT * self.pace_s + (1 - PACE_KEPT) * took
        start, work = self.since
        left = self.seconds - looks * LOOK * self.pace_s - start
        gone = now + 0.5 * self.pace_s - start  # by half an iteration too early as often as too late
        if gone >= left:
            self.share = 1.0
            return
        reached = np.interp(work + (1 - work) * gone / left, self.work, np.arange(GRID + 1) / GRID)
        self.share = max(self.share, float(reached))

    def seconds_left(self) -> float:
        """Return an estimate. By iterations, the first tells nothing of those to come."""
        if self.over:
            return 0.0
        now = self.stopwatch.seconds()
        if self.seconds is not None:
            return max(self.seconds - now, 0.0)
        start, work = (0.0, 0.0) if self.stopwatch.before else self.since  # of a process that goes on all count
        return (now - start) * (1 - self.work_done) / (self.work_done - work)

    def wanted(self, share: float) -> int | None:
        """Return how many Gaussians there should be before the next round, or None when no round is due.

        ``share``: of the course, at the beginning of the iteration just done.
        """
        total = self.iterations
        every = max(self.recipe.densify_least, round(total / self.recipe.densify_events))
        if self.done - self.split < every:
            return None
        self.split = self.done
        if not self.recipe.densify_from <= share <= self.recipe.densify_until:
            return None
        self.rounds += 1
        return target_count((self.done + every) / total, self.first, self.plan.max_gaussians, self.recipe)

    def _factor(self, share: float) -> int:
        wanted = 4 if share < self.recipe.quarter_until else 2 if share < self.recipe.half_until else 1
        while wanted > 1 and self.side_px < wanted * self.recipe.least_side_px:
            wanted //= 2
        return wanted

    def _cost(self, share: float) -> float:
        cap = self.plan.max_gaussians
        gaussians = target_count(share, self.first, cap, self.recipe) / cap
        return float(PER_PICTURE * self._factor(share) ** POWER + PER_GAUSSIAN * gaussians)
