"""How Gaussians come and go: gsplat's two strategies, on the schedule of a plan and never above its cap.

``ranked``  gsplat's DefaultStrategy (Kerbl et al. 2023), by absolute gradients (AbsGS) where the recipe of the GPU says
            so; of those that would split above the cap only the most strained do
``mcmc``    gsplat's MCMCStrategy (Kheradmand et al. 2024), with noise in scene extents
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from gsplat.strategy import DefaultStrategy, MCMCStrategy

from resources.gpu import reference
from resources.gpu.draw import Drawn
from resources.gpu.recipe import GpuRecipe, Schedule
from resources.gpu.splats import Splats
from splat_pipeline.domain.errors import Diverged
from splat_pipeline.domain.plans import TrainingPlan

GRAD, ABSGRAD = 2e-4, 8e-4
"""Mean gradient on the picture above which a Gaussian is split, and of absolute ones (gsplat's documentation)."""


class Capped(DefaultStrategy):
    """gsplat's strategy, with a cap."""

    cap: int = 0
    grow_grad2d: float = GRAD

    def _grow_gs(self, params: Any, optimizers: Any, state: dict[str, Any], step: int) -> tuple[int, int]:
        room = self.cap - len(params["means"])
        if room <= 0:
            return 0, 0
        usual, strain = self.grow_grad2d, state["grad2d"] / state["count"].clamp_min(1)
        if int((strain > usual).sum()) > room:
            self.grow_grad2d = float(strain.topk(room + 1).values[-1])
        try:
            grown: tuple[int, int] = super()._grow_gs(params, optimizers, state, step)
            return grown
        finally:
            self.grow_grad2d = usual


class Growth:
    """One of the strategies with its state."""

    def __init__(self, plan: TrainingPlan, recipe: GpuRecipe, *, extent: float) -> None:
        """``extent``: of the scene, world units."""
        self.mcmc = recipe.train.strategy == "mcmc"
        schedule = Schedule.of(plan.iterations, mcmc=self.mcmc)
        self.strategy = _mcmc(plan, schedule, extent) if self.mcmc else _capped(plan, schedule, recipe)
        self.state: dict[str, Any] = (
            self.strategy.initialize_state() if self.mcmc else self.strategy.initialize_state(scene_scale=extent)
        )
        self.packed = recipe.packed

    def before(self, splats: Splats, movers: dict[str, Any], step: int, drawn: Drawn) -> None:
        """To be called before the gradients are computed."""
        if not self.mcmc:
            self.strategy.step_pre_backward(splats, movers, self.state, step, drawn.info)

    def after(self, splats: Splats, movers: dict[str, Any], step: int, drawn: Drawn, *, rate: float) -> None:
        """To be called after the step. ``rate``: of the means, world units. Raises ``Diverged``."""
        with reference.without_kernels() if reference.stands_in(splats["means"]) else nullcontext():
            if self.mcmc:
                self._check(splats, step)
                self.strategy.step_post_backward(splats, movers, self.state, step, drawn.info, lr=rate)
            else:
                self.strategy.step_post_backward(splats, movers, self.state, step, drawn.info, packed=self.packed)

    def _check(self, splats: Splats, step: int) -> None:
        """Raise ``Diverged`` where nothing can be drawn by opacity: a kernel that is asked to takes the GPU with it."""
        strategy = self.strategy
        if not strategy.refine_start_iter < step < strategy.refine_stop_iter or step % strategy.refine_every:
            return
        opacities = torch.sigmoid(splats["opacities"].detach())
        if not bool(torch.isfinite(opacities).all()):
            raise Diverged(f"opacities of some Gaussians are not finite at iteration {step}")
        if not bool((opacities > strategy.min_opacity).any()):
            raise Diverged(f"all Gaussians are transparent at iteration {step}")

    def arrays(self) -> dict[str, Any]:
        """Return what has been summed up, for a checkpoint."""
        kept = {name: self.state.get(name) for name in ("grad2d", "count")}
        return {name: values.detach().cpu().numpy() for name, values in kept.items() if values is not None}

    def restore(self, arrays: Mapping[str, Any], device: Any) -> None:
        """Take back what ``arrays`` returned."""
        for name in ("grad2d", "count"):
            if name in arrays:
                self.state[name] = torch.tensor(np.ascontiguousarray(arrays[name]), device=device)


def _capped(plan: TrainingPlan, schedule: Schedule, recipe: GpuRecipe) -> Capped:
    made = Capped(
        grow_grad2d=ABSGRAD if recipe.absgrad else GRAD,
        refine_start_iter=schedule.start,
        refine_stop_iter=schedule.stop,
        reset_every=schedule.reset_every,
        refine_every=schedule.every,
        absgrad=recipe.absgrad,
        prune_opa=recipe.train.prune_opacity,
    )
    made.cap = plan.max_gaussians
    return made


def _mcmc(plan: TrainingPlan, schedule: Schedule, extent: float) -> MCMCStrategy:
    return MCMCStrategy(
        cap_max=plan.max_gaussians,
        noise_lr=5e5 / extent**2,
        refine_start_iter=schedule.start,
        refine_stop_iter=schedule.stop,
        refine_every=schedule.every,
    )
