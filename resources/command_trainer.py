"""Trainers that are programs of their own: a folder, of COLMAP's layout, in, a PLY of Gaussians out.

The arguments are a template. What may stand in braces, in arguments and in the place of the result:

    data iterations max_gaussians sh_degree seed longer_side_px output    what is asked for, and where it goes
    half                                                                   half of the iterations
    program, and what else the row's ``find`` returns                      where the program is

A line that the row's ``progress`` matches is progress (groups ``iteration``, ``loss``, ``gaussians``, each optional
but the first); other lines are shown too, one a second at most. The program is killed with all that it started at the
time limit and when the step is interrupted.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resources.colmap_folder import write_capture
from resources.eyes import OurEyes
from resources.sandbox import run_child
from resources.trained_ply import read_trained
from splat_pipeline.domain.errors import OutOfMemory, ToolCrashed, ToolMissing
from splat_pipeline.domain.memory import Footprint
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.ports.progress import Say
from splat_pipeline.ports.training import TrainingResult, TrainingViews

Places = Mapping[str, str]
HOURS = 3600.0
NO_ROOM = re.compile(r"out of memory|OutOfMemory|CUDA_ERROR_OUT_OF_MEMORY|bad_alloc|VK_ERROR_OUT_OF", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Program:
    """One row: how a program is found, called and read."""

    name: str
    licence: str
    find: Callable[[], Places | str]
    """Where it is, by placeholder, ``program`` among them; or why it cannot be used, in words."""
    argv: Sequence[str]
    output: str
    """Where the PLY is when it has ended, relative to the folder ``output``; * stands for what is not known."""
    then: Sequence[Sequence[str]] = ()
    """What to run after it, one after the other; a path with a * is the newest that there is by then."""
    write: Callable[[Path, TrainingViews, NDArray[np.float32], NDArray[np.uint8]], None] = write_capture
    """Writes the folder ``data``: by itself in COLMAP's layout."""
    check: Callable[[Path], None] = lambda _: None
    """Looks at the folder ``output`` after the first of them. Raises ``BadAnswer``."""
    progress: str = r"(?!)"
    """Regular expression, searched in each line."""
    device: Literal["cpu", "gpu"] = "gpu"
    least_degree: int = 0
    """It cannot do with lower harmonics; more than the plan's are cut off."""
    time_limit_s: float = 6 * HOURS

    def arguments(self, plan: TrainingPlan, places: Places) -> list[list[str]]:
        """Return what to run, one after the other. ``places``: of the program, ``data`` and ``output``."""
        values = {**self._values(plan), **places}
        return [[text.format_map(values) for text in argv] for argv in (self.argv, *self.then)]

    def result(self, plan: TrainingPlan, output: Path) -> Path:
        """Return where the result lies; the newest where there are several, a path that is not there if none."""
        return newest(output, self.output.format_map(self._values(plan)))

    def _values(self, plan: TrainingPlan) -> dict[str, str]:
        return {
            "iterations": str(plan.iterations),
            "half": str(plan.iterations // 2),
            "max_gaussians": str(plan.max_gaussians),
            "sh_degree": str(max(plan.sh_degree, self.least_degree)),
            "seed": str(plan.seed),
            "longer_side_px": str(plan.longer_side_px),
        }


def newest(folder: Path, pattern: str) -> Path:
    """Return the newest file of ``pattern``, relative to ``folder`` or below it; a path that is not there if none."""
    pattern = pattern.removeprefix(f"{folder}/")
    found = [path for path in folder.glob(pattern) if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=folder / pattern)


@dataclass(kw_only=True)
class Log:
    """Turns a program's lines into history and a quiet stream of progress."""

    program: Program
    iterations: int
    say: Say
    clock: Callable[[], float] = time.monotonic
    history: list[dict[str, float | None]] = field(default_factory=list)
    told: float = -np.inf
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def __call__(self, line: str) -> None:
        """Take one line."""
        now = self.clock()
        found = re.search(self.program.progress, line)
        if found is not None:
            self._note(found.groupdict(), now)
        if line.strip() and now - self.told >= 1:
            self.told = now
            self.say(line.strip()[:200] if found is None else self._words(found.groupdict(), now))

    def _note(self, at: Mapping[str, str | None], now: float) -> None:
        iteration, loss = int(at["iteration"] or 0), at.get("loss")
        if loss is None or (self.history and iteration <= (self.history[-1]["iteration"] or 0)):
            return
        if self.history and iteration < self.iterations and iteration * 100 < len(self.history) * self.iterations:
            return
        many = at.get("gaussians")
        row = {"iteration": iteration, "loss": float(loss), "gaussians": None if many is None else int(many)}
        self.history.append({**row, "psnr_db": np.nan, "factor": None, "seconds": now - self.began})

    def _words(self, at: Mapping[str, str | None], now: float) -> str:
        iteration, seconds = int(at["iteration"] or 0), now - self.began
        left = seconds * (self.iterations - iteration) / iteration if iteration else float("nan")
        loss = f": loss {at['loss']}" if at.get("loss") else ""
        return f"iteration {iteration} of {self.iterations}{loss}, {seconds:.0f} s, about {left:.0f} s left"


class CommandTrainer(OurEyes):
    """Fulfils ``SplatTrainer`` by a program."""

    options: Collection[str] = frozenset({"time_limit_s"})

    def __init__(self, program: Program) -> None:
        """``program``: the row."""
        self.program = program
        self.name, self.device, self.licence = program.name, program.device, program.licence

    def unavailable(self) -> str | None:
        """Return why the program cannot be used."""
        found = self.program.find()
        return found if isinstance(found, str) else None

    def footprint(self, sh_degree: int) -> Footprint | None:
        """Return None: nobody has measured it."""
        del sh_degree
        return None

    def free_bytes(self) -> int | None:
        """Return None: the program looks for itself."""
        return None

    def train(
        self,
        views: TrainingViews,
        points: NDArray[np.float32],
        colors: NDArray[np.uint8],
        plan: TrainingPlan,
        *,
        say: Say,
        ongoing: Path | None = None,
        take_over: bool = False,
    ) -> TrainingResult:
        """Run the program; it begins anew each time. Raises ``TrainingError``, ``OutOfMemory``, ``ToolError``.

        ``ongoing`` is where it works: there is room for it, and what a killed one left goes with it.
        """
        del take_over
        found = self.program.find()
        if isinstance(found, str):
            raise ToolMissing(f"{self.name}: {found}")
        log = Log(program=self.program, iterations=plan.iterations, say=say)
        with tempfile.TemporaryDirectory(prefix="training-", dir=ongoing) as made:
            data, output = Path(made) / "data", Path(made) / "output"
            output.mkdir()
            self.program.write(data, views, points, colors)
            places = {**found, "data": str(data), "output": str(output)}
            ends_s = time.monotonic() + plan.options.get("time_limit_s", self.program.time_limit_s)
            for number, argv in enumerate(self.program.arguments(plan, places)):
                real = [str(newest(output, text)) if number and "*" in text else text for text in argv]
                self.run(real, time_limit_s=max(ends_s - time.monotonic(), 1.0), cwd=output, say=log)
                if number == 0:
                    self.program.check(output)
            most = max(plan.sh_degree, self.program.least_degree)
            path = self.program.result(plan, output)
            gaussians = read_trained(path, who=self.name, most_degree=most, say=say)
        return TrainingResult(gaussians=gaussians.lowered(plan.sh_degree), history=log.history)

    def run(self, argv: Sequence[str], *, time_limit_s: float, cwd: Path, say: Say) -> None:
        """Run one of the commands. Raises ``OutOfMemory``, ``ToolError``."""
        try:
            run_child(argv, time_limit_s=time_limit_s, cwd=cwd, say=say)
        except ToolCrashed as error:
            if NO_ROOM.search(error.cause):
                raise OutOfMemory(f"{self.name} had no memory: {error.cause}") from None
            raise
