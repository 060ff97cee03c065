"""What the camera did to the light of each picture, in torch: the model of ``splatting.exposure``.

M, b of a picture: what the Gaussians show, c, is compared as M c + b. The mean of M over all pictures is held at the
identity and that of b at zero.
"""

from __future__ import annotations

from typing import Any

import torch

from splat_pipeline.splatting.exposure import KINDS
from splat_pipeline.splatting.recipe import TrainRecipe


class Lights:
    """Learned exposures of V pictures; neutral where nothing is to be learned."""

    def __init__(self, recipe: TrainRecipe, views: int, device: Any) -> None:
        """Begin neutral. Raises ``ValueError`` for an unknown kind."""
        if recipe.exposure not in KINDS:
            raise ValueError(f"exposure must be one of {', '.join(KINDS)}, got {recipe.exposure!r}")
        self.recipe = recipe
        self.learned = torch.tensor(KINDS[recipe.exposure], dtype=torch.float32, device=device)
        self.on = bool(self.learned.any())
        self.change = torch.nn.Parameter(torch.zeros(views, 3, 4, device=device))
        self.mover = torch.optim.Adam([self.change], lr=recipe.exposure_rate)

    def apply(self, image: Any, number: int) -> Any:
        """Return ``image`` (H, W, 3) as the camera showed it."""
        if not self.on:
            return image
        change = self.change[number] * self.learned
        return image + image @ change[:, :3].T + change[:, 3]

    def pull(self, number: int) -> Any:
        """Return the loss that pulls towards the neutral."""
        return self.recipe.exposure_weight * (self.change[number] ** 2).sum() if self.on else 0.0

    def step(self, share: float) -> None:
        """Move against the gradient after ``share`` of the training."""
        if not self.on:
            return
        first, last = self.recipe.exposure_rate, self.recipe.exposure_rate_end
        self.mover.param_groups[0]["lr"] = first * (last / first) ** share
        self.mover.step()
        self.mover.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.change -= self.change.mean(0)
