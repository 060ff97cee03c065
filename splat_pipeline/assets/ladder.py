"""Training that walks down: FULL, REDUCED, PREVIEW. Every step is kept with its reason and its figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from splat_pipeline.assets.splat_measures import Measured, measure
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import OutOfMemory, SplatError, TrainingError
from splat_pipeline.domain.memory import fitted
from splat_pipeline.domain.plans import LADDERS, TrainingPlan, step_down
from splat_pipeline.domain.quality import Verdict
from splat_pipeline.ports.machine import Machine
from splat_pipeline.ports.training import ImageLoader, SplatTrainer, TrainingResult, TrainingViews

KEPT, WORSE = "kept", "worse"


@dataclass(frozen=True, kw_only=True, eq=False)
class Doors:
    """What a training needs from outside."""

    loader: ImageLoader
    trainer: SplatTrainer
    machine: Machine


@dataclass(frozen=True, kw_only=True, eq=False)
class Attempt:
    """A rung that came to Gaussians."""

    plan: TrainingPlan
    trained: TrainingResult
    measured: Measured
    verdicts: Sequence[Verdict]

    @property
    def complaint(self) -> str:
        """What speaks for a lower rung, in words; "" when nothing does."""
        return "; ".join(
            f"{v.gate}: {v.because}"
            for v in self.verdicts
            if not v.holds and (v.severity == "ERROR" or _reaches(v, self.plan))
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """Where the ladder ended, and every rung that was tried: rows of ``tables.LADDER``."""

    best: Attempt
    rows: Sequence[Mapping[str, Any]]

    @property
    def short_of_memory(self) -> bool:
        """Whether more memory would have given another result."""
        fitted_in = any("memory: " in reason for reason in self.best.plan.reasons)
        return fitted_in or any(row["outcome"] == OutOfMemory.__name__ for row in self.rows)


def _reaches(verdict: Verdict, plan: TrainingPlan) -> bool:
    """Whether a warning asks for a rung below this one."""
    rungs = list(type(plan.detail))
    to = verdict.limit.lowers_to
    return to is not None and rungs.index(to) > rungs.index(plan.detail)


def walk_down(work: Work, plan: TrainingPlan, doors: Doors) -> Walk:
    """Train at ``plan``; on divergence, lack of memory or a bad held-out result one rung lower, while there is one.

    What came out best is kept: a lower rung that is worse than one before it gives way. Raises the last error where no
    rung came to Gaussians.
    """
    best: Attempt | None = None
    rows: list[dict[str, Any]] = []
    take_over = False
    while True:
        plan = _made_to_fit(work, plan, doors)
        began = time.monotonic()
        failure: SplatError | None = None
        try:
            made = _attempt(work, plan, doors, take_over=take_over)
        except (TrainingError, OutOfMemory, MemoryError) as error:
            failure = _alone(error)
            rows.append(_row(plan, type(failure).__name__, str(failure), began=began))
        else:
            rows.append(_row(plan, KEPT, made.complaint, began=began, made=made))
            best = _better(work, best, made, doors, rows)
            if not made.complaint:
                break
        because = str(rows[-1]["because"])
        what, said = (type(failure).__name__, failure.cause.partition("\n")[0]) if failure else ("gates", because)
        lower = step_down(plan, f"{what} at {plan.detail}: {said}", ladder=LADDERS[doors.trainer.device])
        if lower is None:
            break
        work.log(f"{because}; going on at {lower.detail}")
        # What was too large is no worse for it; what has diverged, or came out badly, is.
        take_over, plan = isinstance(failure, OutOfMemory), lower
    if best is None:
        assert failure is not None
        raise failure
    return Walk(best=best, rows=rows)


def load(work: Work, loader: ImageLoader, plan: TrainingPlan, *, holdout: bool) -> TrainingViews:
    """Return the views of one split; of those to train on, the ones that the plan leaves out are missing."""
    folders = (work.input("keyframes"), work.input("camera_poses"), work.input("point_cloud"))
    views = loader.load(*folders, longer_side_px=plan.longer_side_px, holdout=holdout)
    return views if holdout else views.without(plan.left_out)


def _attempt(work: Work, plan: TrainingPlan, doors: Doors, *, take_over: bool) -> Attempt:
    """Train once, measure and judge. What it read is forgotten when it fails."""
    points = tables.read_table(work.input("point_cloud") / "points.parquet", tables.POINTS)
    positions = points[["x", "y", "z"]].to_numpy(np.float32)
    colors = points[["red", "green", "blue"]].to_numpy(np.uint8)
    views = load(work, doors.loader, plan, holdout=False)
    work.log(f"training at {plan.detail}: {len(views.views)} views, {plan.iterations} iterations")
    trained = doors.trainer.train(
        views, positions, colors, plan, say=work.log, ongoing=work.ongoing(), take_over=take_over
    )
    heldout = load(work, doors.loader, plan, holdout=True)
    work.log(f"measuring {len(heldout.views)} held-out views")
    measured = measure(work, trained, views, heldout, doors.trainer, course=not take_over)
    return Attempt(plan=plan, trained=trained, measured=measured, verdicts=work.judge(measured.metrics))


def _better(work: Work, best: Attempt | None, made: Attempt, doors: Doors, rows: list[dict[str, Any]]) -> Attempt:
    """Return the better of the best so far and what was made just now, seen at the size of the latter."""
    if best is None:
        return made
    heldout = load(work, doors.loader, made.plan, holdout=True)
    before = _mean([psnr for psnr, _ in doors.trainer.evaluate(best.trained.gaussians, heldout)])
    now = _mean([row["psnr_db"] for row in made.measured.heldout])
    worse = f"{made.plan.detail} gave {now:.2f} dB, {best.plan.detail} {before:.2f} dB at its size"
    work.log(worse)
    older = next(row for row in reversed(rows[:-1]) if row["outcome"] == KEPT)
    if now > before or not np.isfinite(before):
        older["outcome"] = WORSE
        return made
    rows[-1]["outcome"] = WORSE
    return Attempt(
        plan=best.plan.because(f"a lower rung was no better: {worse}"),
        trained=best.trained,
        measured=best.measured,
        verdicts=best.verdicts,
    )


def _row(
    plan: TrainingPlan, outcome: str, because: str, *, began: float, made: Attempt | None = None
) -> dict[str, Any]:
    metrics = made.measured.metrics if made else {}
    return {
        "rung": str(plan.detail),
        "outcome": outcome,
        "because": because,
        "longer_side_px": plan.longer_side_px,
        "iterations": plan.iterations,
        "max_gaussians": plan.max_gaussians,
        "gaussians": len(made.trained.gaussians) if made else None,
        "psnr_db": metrics.get("psnr_heldout_db"),
        "ssim": metrics.get("ssim_heldout"),
        "seconds": time.monotonic() - began,
    }


def _made_to_fit(work: Work, plan: TrainingPlan, doors: Doors) -> TrainingPlan:
    """Return ``plan`` with as much resolution and as many Gaussians as the memory has room for."""
    on_gpu = doors.trainer.device == "gpu"
    free_bytes = doors.trainer.free_bytes() if on_gpu else doors.machine.free_bytes()
    footprint = doors.trainer.footprint(plan.sh_degree)
    if free_bytes is None or footprint is None:
        return plan
    pictures = doors.loader.sizes(work.input("keyframes"), work.input("camera_poses"))
    kind = "GPU memory" if on_gpu else "memory"
    fit = fitted(plan, pictures, footprint, free_bytes, kind=kind, ladder=LADDERS[doors.trainer.device])
    if fit != plan:
        work.log(fit.reasons[-1])
    return fit


def _alone(error: TrainingError | OutOfMemory | MemoryError) -> SplatError:
    """Return ``error`` as one of ours, without tracebacks: they hold on to all the arrays of what has failed."""
    for link in (error, error.__cause__, error.__context__):
        if link is not None:
            link.with_traceback(None)
    return error if isinstance(error, SplatError) else OutOfMemory(str(error))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
