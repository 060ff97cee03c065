"""The one dial: ``Detail`` decides resolution, iterations, Gaussians, SH degree and frames of a training.

The ladder FULL -> REDUCED -> PREVIEW is walked downward only, and every step keeps its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any


class Detail(StrEnum):
    """How much detail a delivered splat has."""

    FULL = "full"
    REDUCED = "reduced"
    PREVIEW = "preview"

    @property
    def below(self) -> Detail | None:
        """The next rung of the ladder, or None on the last."""
        rungs = list(Detail)
        at = rungs.index(self) + 1
        return rungs[at] if at < len(rungs) else None


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What a trainer is asked to do."""

    detail: Detail
    longer_side_px: int
    """Training images are resampled so that their longer side has at most this many pixels."""
    iterations: int
    max_gaussians: int
    sh_degree: int
    seed: int
    trainer: str = "cpu"
    """Who trains: a name out of ``ports.SplatTrainers``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What was asked of the trainer beside the detail, by the names of ``recipe.TrainingOptions``."""
    draft: bool = False
    """It is to be replaced: a run for the final result follows."""
    left_out: tuple[int, ...] = ()
    """Registered keyframes, by id, that are not trained on; held-out views are measured all the same."""
    reasons: tuple[str, ...] = ()
    """Why this detail, in the order in which it was decided; empty when nothing spoke against the asked one."""

    def because(self, reason: str) -> TrainingPlan:
        """Return the plan with one more reason."""
        return replace(self, reasons=(*self.reasons, reason))


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What a detail means for one kind of trainer."""

    longer_side_px: int
    iterations: int
    max_gaussians: int
    sh_degree: int


CPU_LADDER: dict[Detail, Rung] = {
    Detail.FULL: Rung(longer_side_px=800, iterations=3500, max_gaussians=100_000, sh_degree=3),
    Detail.REDUCED: Rung(longer_side_px=640, iterations=2000, max_gaussians=50_000, sh_degree=2),
    Detail.PREVIEW: Rung(longer_side_px=480, iterations=800, max_gaussians=25_000, sh_degree=1),
}
"""Sized so that FULL trains in minutes, PREVIEW in seconds, on two cores."""
GPU_LADDER: dict[Detail, Rung] = {
    Detail.FULL: Rung(longer_side_px=1600, iterations=30_000, max_gaussians=1_500_000, sh_degree=3),
    Detail.REDUCED: Rung(longer_side_px=1280, iterations=15_000, max_gaussians=800_000, sh_degree=3),
    Detail.PREVIEW: Rung(longer_side_px=800, iterations=7_000, max_gaussians=300_000, sh_degree=2),
}
"""30,000 and 7,000 iterations are what Kerbl et al. 2023 report of; images are never enlarged to the longer side."""
LADDERS: dict[str, dict[Detail, Rung]] = {"cpu": CPU_LADDER, "gpu": GPU_LADDER}
"""By ``ports.SplatTrainer.device``."""


def plan_for(
    detail: Detail, *, seed: int, ladder: dict[Detail, Rung] = CPU_LADDER, trainer: str = "cpu"
) -> TrainingPlan:
    """Return the plan of a rung, with no reasons yet."""
    rung = ladder[detail]
    return TrainingPlan(
        detail=detail,
        longer_side_px=rung.longer_side_px,
        iterations=rung.iterations,
        max_gaussians=rung.max_gaussians,
        sh_degree=rung.sh_degree,
        seed=seed,
        trainer=trainer,
    )


def step_down(plan: TrainingPlan, reason: str, *, ladder: dict[Detail, Rung] = CPU_LADDER) -> TrainingPlan | None:
    """Return the plan one rung lower with ``reason`` added, or None when there is no lower rung.

    Nothing of it is more than it was: a job or the memory may ask for less than the lower rung has.
    """
    below = plan.detail.below
    if below is None:
        return None
    rung = ladder[below]
    return replace(
        plan,
        detail=below,
        longer_side_px=min(plan.longer_side_px, rung.longer_side_px),
        iterations=min(plan.iterations, rung.iterations),
        max_gaussians=min(plan.max_gaussians, rung.max_gaussians),
        sh_degree=min(plan.sh_degree, rung.sh_degree),
        reasons=(*plan.reasons, reason),
    )


def plan_to_json(plan: TrainingPlan) -> dict[str, Any]:
    """Return plain values."""
    lists = {"left_out": list(plan.left_out), "reasons": list(plan.reasons)}
    return {**asdict(plan), "detail": str(plan.detail), **lists}


def plan_from_json(data: Mapping[str, Any]) -> TrainingPlan:
    """Invert ``plan_to_json``."""
    lists = {name: tuple(data.get(name, ())) for name in ("left_out", "reasons")}
    return TrainingPlan(**{**data, "detail": Detail(data["detail"]), **lists})


def detail_lines(detail: str, reasons: Sequence[str]) -> list[str]:
    """Return lines for the header of a file, printable ASCII: the detail and, unless it is full, each reason for it."""
    told = [f"Detail-reason: {_plain(reason)}" for reason in reasons] if detail != Detail.FULL else []
    return [f"Detail: {detail}", *told]


def _plain(text: str) -> str:
    shown = " ".join(text.split()).encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in shown)
