"""What a training on a GPU tells while it runs, and when it is stopped. The loss stays on the device between looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from resources.gpu.splats import Splats
from splat_pipeline.domain.errors import Diverged
from splat_pipeline.domain.progress import Progress, Step
from splat_pipeline.splatting.course import Course
from splat_pipeline.splatting.watch import STEPS

WINDOW = 50
"""Iterations that a mean is of, and after which a loss that is not finite has been noticed."""


@dataclass(kw_only=True, eq=False)
class Watch:
    """Keeps the history, tells the progress, and stops a training that has gone wrong."""

    tell: Callable[[Progress], None] | None
    best: float = float("inf")
    history: list[Step] = field(default_factory=list)
    losses: list[Any] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    """Mean squared differences of the views just trained."""
    last_told: float = -float("inf")
    last: tuple[float, float] = (float("nan"), float("nan"))
    """Loss and PSNR of the last window."""

    def note(self, course: Course, loss: Any, error: Any, splats: Splats, factor: int) -> None:
        """Take note of the iteration just counted; ``loss`` and ``error`` are scalars. Raises ``Diverged``."""
        self.losses.append(loss.detach())
        self.errors.append(error.detach())
        if course.done % WINDOW and not course.over:
            return
        mean = float(torch.stack(self.losses).mean())
        psnr_db = float(-10 * torch.log10(torch.stack(self.errors).clamp_min(1e-12)).mean())
        self.losses.clear()
        self.errors.clear()
        self.last = (mean, psnr_db)
        self._check(course.done, mean, splats)
        self._tell(course, len(splats["means"]), factor)

    def _tell(self, course: Course, count: int, factor: int) -> None:
        seconds = course.stopwatch.seconds()
        step = Step(
            iteration=course.done,
            loss=self.last[0],
            psnr_db=self.last[1],
            gaussians=count,
            factor=factor,
            seconds=seconds,
        )
        if course.over or course.share * STEPS >= len(self.history):
            self.history.append(step)
        if self.tell is not None and (course.over or seconds - self.last_told >= 1):
            self.last_told = seconds
            self.tell(Progress(**asdict(step), iterations=course.iterations, seconds_left=course.seconds_left()))

    def _check(self, done: int, mean: float, splats: Splats) -> None:
        if mean != mean or mean in (float("inf"), -float("inf")):  # noqa: PLR0124  # not a number is not itself
            raise Diverged(f"the loss is {mean} at iteration {done}")
        for name, values in splats.items():
            if not bool(torch.isfinite(values.detach().sum())):
                raise Diverged(f"{name} of some Gaussians are not finite at iteration {done}")
        self.best = min(self.best, mean)
        if mean > 1.5 * self.best + 0.1:
            raise Diverged(f"the loss rose from {self.best:.3f} to {mean:.3f} at iteration {done}")

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes, as JSON has it."""
        kept = {name: [float(value) for value in getattr(self, name)] for name in ("losses", "errors")}
        return {"best": self.best, "history": [asdict(step) for step in self.history], **kept}

    def restore(self, state: Mapping[str, Any], device: Any) -> None:
        """Go on as the watch did whose ``state`` it is."""
        self.best = state["best"]
        self.history = [Step(**step) for step in state["history"]]
        self.losses = [torch.tensor(value, device=device) for value in state["losses"]]
        self.errors = [torch.tensor(value, device=device) for value in state["errors"]]
