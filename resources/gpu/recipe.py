"""The figures of a training on a GPU: those of the reference (Kerbl et al. 2023), for 7,000 to 30,000 iterations.

The recipe of the CPU hurries: it has a tenth of the iterations. Beyond the figures both are one: ``TrainRecipe``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.splatting.recipe import TrainRecipe

REFERENCE: Mapping[str, Any] = {
    "means_rate": 1.6e-4,
    "means_rate_end": 1.6e-6,
    "quats_rate": 1e-3,
    "scales_rate": 5e-3,
    "opacity_rate": 5e-2,
    "color_rate": 2.5e-3,
    "detail_rate": 2.5e-3 / 20,
    "anneal_to": 1.0,
    "ssim_weight": 0.2,
    "square_weight": 0.0,
    "degree_every": 1 / 30,
    "quarter_until": 0.01,
    "half_until": 0.05,
    "background": "black",
    "background_fade": 0.0,
    "cover_share": 0.0,
    "start_reach": 1e9,
}
USUAL = 30_000
"""Iterations that the strategies' own figures are for."""
PACKED_ABOVE = 2_000_000
"""Gaussians: with more of them, what is projected of the invisible is worth its memory."""
PENALTY = 0.01
"""Of opacity and scale under mcmc (Kheradmand et al. 2024, section 4.3)."""
OWN = ("depth_weight", "refine_poses")
"""Options that the recipe of the CPU does not have."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When Gaussians come and go, iterations."""

    start: int
    stop: int
    every: int
    reset_every: int
    """The opacities, by the strategy that does that."""

    @staticmethod
    def of(iterations: int, *, mcmc: bool) -> Schedule:
        """Return the strategies' own for the usual length, and one as dense for a shorter training."""
        every, short = max(10, round(100 * min(1.0, iterations / USUAL * 2))), min(1.0, iterations / USUAL)
        return Schedule(
            start=round(500 * min(1.0, 2 * short)),
            stop=round(iterations * 25 / 30) if mcmc else iterations // 2,
            every=every,
            reset_every=max(every, round(3000 * short)),
        )


@dataclass(frozen=True, kw_only=True)
class GpuRecipe:
    """What a training on a GPU does with a plan."""

    train: TrainRecipe
    absgrad: bool
    packed: bool
    movers: str
    depth_weight: float = 0.0
    """Weight of the depth's difference from the sparse points, as inverse depth in scene extents (gsplat: 1e-2)."""
    refine_poses: bool = False
    pose_rate: float = 1e-5
    """Radians, and scene extents, a step (gsplat's trainer)."""
    pose_weight: float = 1e-2
    """Pull of the cameras towards where they were."""

    @staticmethod
    def of(plan: TrainingPlan, *, on_gpu: bool) -> GpuRecipe:
        """Return the recipe of ``plan``."""
        shared = {**REFERENCE, **{name: value for name, value in plan.options.items() if name not in OWN}}
        train = TrainRecipe(**shared)
        return GpuRecipe(
            train=train,
            absgrad=train.strategy != "mcmc",
            packed=on_gpu and plan.max_gaussians > PACKED_ABOVE,
            movers="selective" if on_gpu else "all",
            depth_weight=plan.options.get("depth_weight", 0.0),
            refine_poses=plan.options.get("refine_poses", False),
        )

    @property
    def penalties(self) -> tuple[float, float]:
        """Weights of the mean opacity and of the mean size, in scene extents."""
        usual = PENALTY if self.train.strategy == "mcmc" else 0.0
        opacity, scale = self.train.opacity_weight, self.train.scale_weight
        return (usual if opacity is None else opacity, usual if scale is None else scale)
