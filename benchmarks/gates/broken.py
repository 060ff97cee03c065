"""Trainers that hand over damaged Gaussians, or fail: what may be wrong with a splat whose poses are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from resources.cpu_trainer import CpuTrainer
from splat_pipeline.domain.errors import Diverged, OutOfMemory, SplatError
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import Detail, TrainingPlan
from splat_pipeline.ports.training import TrainingResult

Spoil = Callable[[Gaussians], Gaussians]


@dataclass
class SpoilingTrainer(CpuTrainer):
    """Trains once for each detail, then hands over what it learned, spoiled."""

    spoil: Spoil
    cache: dict[Detail, TrainingResult] = field(default_factory=dict)
    iterations_share: float = 1.0
    only: tuple[Detail, ...] = tuple(Detail)
    """Details at which it spoils; at others it is sound."""

    def train(self, views: Any, points: Any, colors: Any, plan: TrainingPlan, **more: Any) -> TrainingResult:
        """Train, or remember, and spoil."""
        if self.iterations_share < 1:
            plan = replace(plan, iterations=max(1, round(plan.iterations * self.iterations_share)))
            return super().train(views, points, colors, plan, **more)
        if plan.detail not in self.cache:
            self.cache[plan.detail] = super().train(views, points, colors, plan, **more)
        made = self.cache[plan.detail]
        return replace(made, gaussians=self.spoil(made.gaussians)) if plan.detail in self.only else made


@dataclass
class FailingTrainer(CpuTrainer):
    """Fails at some details as a machine or an optimiser does, and trains at others."""

    error: SplatError
    at: tuple[Detail, ...]

    def train(self, views: Any, points: Any, colors: Any, plan: TrainingPlan, **more: Any) -> TrainingResult:
        """Train, or fail."""
        if plan.detail in self.at:
            raise self.error
        return super().train(views, points, colors, plan, **more)


def without_numbers(share: float) -> Spoil:
    """NaN in a share of the Gaussians."""

    def spoil(gaussians: Gaussians) -> Gaussians:
        rows = _some(gaussians, share)
        means = gaussians.means.copy()
        means[rows] = np.nan
        return replace(gaussians, means=means)

    return spoil


def huge(share: float, *, times: float = 60.0) -> Spoil:
    """Make a share of the Gaussians as large as rooms."""

    def spoil(gaussians: Gaussians) -> Gaussians:
        rows = _some(gaussians, share)
        scales = gaussians.log_scales.copy()
        scales[rows] = scales[rows].max(1, keepdims=True) + np.log(times)
        return replace(gaussians, log_scales=scales)

    return spoil


def floating(count: int) -> Spoil:
    """Opaque blobs in the air, where cameras are and between them and the scene."""

    def spoil(gaussians: Gaussians) -> Gaussians:
        rng = np.random.default_rng(0)
        rows = rng.choice(len(gaussians), count)
        middle, spread = np.median(gaussians.means, 0), np.std(gaussians.means, 0)
        added = gaussians.take(rows)
        added = replace(
            added,
            means=(middle + rng.normal(0, 0.6, (count, 3)) * spread).astype(np.float32),
            log_scales=np.full((count, 3), np.log(0.05 * spread.mean()), np.float32),
            logit_opacities=np.full(count, 4.0, np.float32),
        )
        names = ("means", "quats", "log_scales", "logit_opacities", "sh")
        columns: dict[str, Any] = {n: np.concatenate([getattr(gaussians, n), getattr(added, n)]) for n in names}
        return replace(gaussians, **columns)

    return spoil


def scattered(sigma: float) -> Spoil:
    """Every Gaussian somewhere else, by so much of the scene's spread."""

    def spoil(gaussians: Gaussians) -> Gaussians:
        rng = np.random.default_rng(0)
        shift = rng.normal(0, sigma, gaussians.means.shape) * np.std(gaussians.means, 0)
        return replace(gaussians, means=(gaussians.means + shift).astype(np.float32))

    return spoil


def _some(gaussians: Gaussians, share: float) -> Any:
    return np.random.default_rng(0).choice(len(gaussians), max(1, round(share * len(gaussians))), replace=False)


def out_of_memory(*at: Detail) -> FailingTrainer:
    """Have no memory at some details."""
    return FailingTrainer(error=OutOfMemory("no memory to train on"), at=at)


def diverging(*at: Detail) -> FailingTrainer:
    """Have a loss that is no number at some details."""
    return FailingTrainer(error=Diverged("the loss is nan at iteration 90"), at=at)
