"""What a training tells while it runs, and when it is stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from splat_pipeline.domain.errors import Diverged
from splat_pipeline.domain.progress import Progress, Step
from splat_pipeline.splatting.course import Course
from splat_pipeline.splatting.metrics import squared_error
from splat_pipeline.splatting.pictures import Picture
from splat_pipeline.splatting.studio import Studio

STEPS = 100
"""Rows of a history, about."""


PSNR_EVERY = 10
"""Iterations between two of which the PSNR is taken: all would cost a percent of the training."""


@dataclass(kw_only=True, eq=False)
class Watch:
    """Keeps the history, tells the progress, and stops a training that has gone wrong."""

    window: int
    best: float = np.inf
    """Least running mean so far; at first the loss before the training."""
    tell: Callable[[Progress], None] | None = None
    history: list[Step] = field(default_factory=list)
    losses: deque[float] = field(init=False)
    errors: deque[float] = field(init=False)
    """Mean squared differences of the views just trained."""
    last_told: float = -np.inf
    """Seconds since the start."""

    def __post_init__(self) -> None:
        self.losses, self.errors = deque(maxlen=self.window), deque(maxlen=max(self.window // PSNR_EVERY, 1))

    def loss(self) -> float:
        """Return the running mean."""
        return float(np.mean(self.losses)) if self.losses else float("nan")

    def psnr_db(self) -> float:
        """Return the running mean."""
        return float(np.mean(-10 * np.log10(np.maximum(self.errors, 1e-12)))) if self.errors else float("nan")

    def note(self, course: Course, loss: float, studio: Studio, picture: Picture) -> None:
        """Take note of the iteration that ``course`` has just counted. Raises ``Diverged``."""
        self.losses.append(loss)
        if course.done % PSNR_EVERY == 1:
            easel = studio.easel(picture)
            self.errors.append(float(squared_error(easel.shown, easel.truth)) / easel.truth.size)
        self._check(course, loss, studio)
        seconds = course.stopwatch.seconds()
        step = Step(
            iteration=course.done,
            loss=self.loss(),
            psnr_db=self.psnr_db(),
            gaussians=studio.people.count,
            factor=picture.factor,
            seconds=seconds,
        )
        if course.over or course.share * STEPS >= len(self.history):
            self.history.append(step)
        if self.tell is not None and (course.over or (course.done > 1 and seconds - self.last_told >= 1)):
            self.last_told = seconds
            left = course.seconds_left()
            self.tell(Progress(**asdict(step), iterations=course.iterations, seconds_left=left))

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes, as JSON has it."""
        steps = [asdict(step) for step in self.history]
        return {"best": self.best, "losses": list(self.losses), "errors": list(self.errors), "history": steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as the watch did whose ``state`` it is. Raises ``KeyError``, ``TypeError`` for another's."""
        self.best = state["best"]
        self.losses.extend(state["losses"])
        self.errors.extend(state["errors"])
        self.history = [Step(**step) for step in state["history"]]

    def _check(self, course: Course, loss: float, studio: Studio) -> None:
        iteration = course.done
        if not np.isfinite(loss):
            raise Diverged(f"the loss is {loss} at iteration {iteration}")
        if iteration % self.window and not course.over:
            return
        rows = studio.people.rows[: studio.people.count]
        if not np.isfinite(rows.sum(dtype=np.float64)):  # a mask of all rows would be a quarter of their memory
            bad = int((~np.isfinite(rows)).any(axis=1).sum())
            raise Diverged(f"{bad} of {len(rows)} Gaussians are not finite at iteration {iteration}")
        for name, values in studio.state().items():
            if not np.isfinite(values).all():
                raise Diverged(f"{name} is not finite at iteration {iteration}")
        self.best = min(self.best, self.loss())
        if self.loss() > 1.5 * self.best + 0.1:
            raise Diverged(f"the loss rose from {self.best:.3f} to {self.loss():.3f} at iteration {iteration}")
