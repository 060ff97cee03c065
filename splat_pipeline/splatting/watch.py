"""What a training tells while it runs, and when it is stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from splat_pipeline.domain.errors import Diverged
from splat_pipeline.splatting.pictures import Picture
from splat_pipeline.splatting.studio import Studio

STEPS = 100
"""Rows of a history, about."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands, for a person who watches."""

    iteration: int
    iterations: int
    loss: float
    """Running mean."""
    psnr_db: float
    """Of the view just trained, at the resolution just trained."""
    gaussians: int
    seconds: float
    seconds_left: float
    """An estimate."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of a training's history."""

    iteration: int
    loss: float
    """Running mean of 0.8 L1 + 0.2 (1 - SSIM)."""
    gaussians: int
    seconds: float


@dataclass(kw_only=True, eq=False)
class Watch:
    """Keeps the history, tells the progress, and stops a training that has gone wrong."""

    iterations: int
    window: int
    clock: Callable[[], float]
    tell: Callable[[Progress], None] | None
    best: float
    """Least running mean so far; at first the loss before the training."""
    history: list[Step] = field(default_factory=list)
    recent: deque[float] = field(default_factory=deque)
    start: float = field(init=False)
    last_told: float = 0.0
    """Seconds since the start."""

    def __post_init__(self) -> None:
        self.start = self.clock()

    def loss(self) -> float:
        """Return the running mean."""
        return float(np.mean(self.recent)) if self.recent else float("nan")

    def note(self, iteration: int, loss: float, studio: Studio, picture: Picture, work: float) -> None:
        """Take note of an iteration (counted from 1) done. ``work``: the share of all work done so far.

        Raises ``Diverged``.
        """
        self.recent.append(loss)
        if len(self.recent) > self.window:
            self.recent.popleft()
        self._check(iteration, loss, studio)
        last = iteration == self.iterations
        seconds = self.clock() - self.start
        count = studio.people.count
        if last or iteration % max(self.iterations // STEPS, 1) == 0:
            self.history.append(Step(iteration=iteration, loss=self.loss(), gaussians=count, seconds=seconds))
        if self.tell is not None and (last or seconds - self.last_told >= 1):
            self.last_told = seconds
            easel = studio.easel(picture)
            error = float(np.mean(np.square(np.clip(easel.shown, 0, 1) - easel.truth)))
            self.tell(
                Progress(
                    iteration=iteration,
                    iterations=self.iterations,
                    loss=self.loss(),
                    psnr_db=-10 * float(np.log10(max(error, 1e-12))),
                    gaussians=count,
                    seconds=seconds,
                    seconds_left=seconds * (1 - work) / work,
                )
            )

    def _check(self, iteration: int, loss: float, studio: Studio) -> None:
        if not np.isfinite(loss):
            raise Diverged(f"the loss is {loss} at iteration {iteration}")
        if iteration % self.window and iteration != self.iterations:
            return
        rows = studio.people.rows[: studio.people.count]
        if not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows)).any(axis=1).sum())
            raise Diverged(f"{bad} of {len(rows)} Gaussians are not finite at iteration {iteration}")
        self.best = min(self.best, self.loss())
        if self.loss() > 1.5 * self.best + 0.1:
            raise Diverged(f"the loss rose from {self.best:.3f} to {self.loss():.3f} at iteration {iteration}")
