"""One training on its way: Gaussians, optimisers, strategy, and what else is learned; one step of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from resources.gpu import memory, movers
from resources.gpu.cameras import Cameras
from resources.gpu.draw import Drawn, Style, draw, seen
from resources.gpu.growth import Growth
from resources.gpu.lights import Lights
from resources.gpu.loss import depth_apart, penalty, photometric
from resources.gpu.pictures import Picture
from resources.gpu.recipe import GpuRecipe
from resources.gpu.splats import Splats, gaussians_of
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.splatting.background import Background


class Atelier:
    """What a training holds."""

    def __init__(self, plan: TrainingPlan, recipe: GpuRecipe, splats: Splats, *, extent: float, views: int) -> None:
        """``extent``: of the scene, world units; ``views``: pictures that are trained on."""
        self.recipe, self.splats, self.extent = recipe, splats, extent
        device = splats["means"].device
        self.movers = movers.movers_of(splats, recipe.train, extent, kind=recipe.movers)
        self.growth = Growth(plan, recipe, extent=extent)
        self.lights = Lights(recipe.train, views, device)
        self.cameras = Cameras(recipe, views, extent, device)
        self.background = Background.of(recipe.train.background, seed=plan.seed, fade=recipe.train.background_fade)
        self.style = Style(
            antialiased=recipe.train.antialias,
            absgrad=recipe.absgrad,
            packed=recipe.packed,
            depth=recipe.depth_weight > 0,
        )

    def step(self, picture: Picture, degree: int, *, done: int, share: float) -> tuple[Any, Any]:
        """Move what ``picture`` shows, ``done`` iterations and ``share`` into the training; return loss and error.

        The loss is the photometric one, the error the mean squared difference; both before the step.
        """
        wanted = movers.rates(self.recipe.train, self.extent, share)
        movers.set_rates(self.movers, wanted)
        drawn, shown, behind = self._shown(picture, degree, self.background.at(done, share))
        truth = picture.image()
        loss = photometric(shown, truth, self.recipe.train.ssim_weight)
        pulls = penalty(self.splats, self.recipe.penalties, self.extent)
        pulls = pulls + self.lights.pull(picture.number) + self.cameras.pull(picture.number)
        if self.style.depth and len(picture.places):
            apart = depth_apart(drawn.depth, drawn.alpha, picture.places, picture.inverse_depths, self.extent)
            pulls = pulls + self.recipe.depth_weight * apart
        self.growth.before(self.splats, self.movers, done, drawn)
        (loss + pulls).backward()
        visible = seen(drawn, len(self.splats["means"]))
        movers.move(self.movers, self.splats, visible, self.recipe.movers)
        self.lights.step(share)
        self.cameras.step(share)
        if self.background.learns:
            self._learn_background(behind, share)
        self.growth.after(self.splats, self.movers, done, drawn, rate=wanted["means"])
        return loss, ((shown.detach().clamp(0, 1) - truth) ** 2).mean()

    @torch.no_grad()
    def look(self, picture: Picture, degree: int) -> float:
        """Return the loss of the Gaussians as they are."""
        shown = self._shown(picture, degree, self.background.still())[1]
        return float(photometric(shown, picture.image(), self.recipe.train.ssim_weight))

    def _shown(self, picture: Picture, degree: int, behind: Any) -> tuple[Drawn, Any, Any]:
        viewmat = self.cameras.apply(picture.viewmat, picture.number)
        drawn = draw(self.splats, viewmat, picture.lens, picture.size, degree=degree, style=self.style)
        color = torch.tensor(behind, device=drawn.image.device, requires_grad=self.background.learns)
        image = drawn.image + (1 - drawn.alpha)[..., None] * color
        return drawn, self.lights.apply(image, picture.number), color

    def _learn_background(self, behind: Any, share: float) -> None:
        rate = self.recipe.train.background_rate * (1 - share)
        self.background.color.move(0, behind.grad.cpu().numpy().astype(np.float64), rate)
        np.clip(self.background.color.values, 0, 1, out=self.background.color.values)

    def gaussians(self) -> Gaussians:
        """Return a copy of what has been trained, with how it is to be drawn."""
        red, green, blue = (round(float(value), 6) for value in self.background.still())
        return gaussians_of(self.splats, background=(red, green, blue), antialiased=self.style.antialiased)

    def arrays(self) -> dict[str, Any]:
        """Return all that decides how the training goes on, by name."""
        few = {"lights": (self.lights.change, self.lights.mover), "cameras": (self.cameras.moved, self.cameras.mover)}
        arrays = memory.arrays_of(self.splats, self.movers) | memory.chance()
        arrays |= {f"growth.{name}": values for name, values in self.growth.arrays().items()}
        arrays |= {f"behind.{name}": values for name, values in self.background.state().items()}
        for name, (values, mover) in few.items():
            arrays[f"{name}.values"] = values.detach().cpu().numpy().copy()
            arrays |= {f"{name}.mover.{key}": kept for key, kept in memory.mover_arrays(mover).items()}
        return arrays

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Take back what ``arrays`` returned, but for the splats, with which it was made."""
        for name, mover in self.movers.items():
            memory.restore_mover(mover, memory.named(arrays, f"{memory.MOVERS}{name}."))
        self.growth.restore(memory.named(arrays, "growth."), self.splats["means"].device)
        self.restore_few(arrays)
        memory.restore_chance(arrays)

    def restore_few(self, arrays: Mapping[str, Any]) -> None:
        """Take back what was learned beside the Gaussians."""
        self.background.restore(memory.named(arrays, "behind."))
        few = {"lights": (self.lights.change, self.lights.mover), "cameras": (self.cameras.moved, self.cameras.mover)}
        for name, (values, mover) in few.items():
            with torch.no_grad():
                values.copy_(torch.tensor(arrays[f"{name}.values"]))
            memory.restore_mover(mover, memory.named(arrays, f"{name}.mover."))
