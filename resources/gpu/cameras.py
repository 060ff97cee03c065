"""Small corrections of the camera poses, learned with the Gaussians.

A correction is a turn (3) and a shift (3) in the camera's own axes, the shift in extents of the scene, by which both
are of one size: cam_from_world' = (exp(turn), shift E) cam_from_world. Their mean over all views is held at zero, so
that the world stays where it was.
"""

from __future__ import annotations

from typing import Any

import torch

from resources.gpu.recipe import GpuRecipe


class Cameras:
    """Corrections of V views; none where the recipe does not ask for them."""

    def __init__(self, recipe: GpuRecipe, views: int, extent: float, device: Any) -> None:
        """``extent``: world units."""
        self.recipe, self.extent, self.on = recipe, extent, recipe.refine_poses
        self.moved = torch.nn.Parameter(torch.zeros(views, 6, device=device))
        self.mover = torch.optim.Adam([self.moved], lr=recipe.pose_rate)

    def apply(self, viewmat: Any, number: int) -> Any:
        """Return ``viewmat`` (4, 4) corrected."""
        if not self.on:
            return viewmat
        turn, shift = self.moved[number, :3], self.moved[number, 3:] * self.extent
        zero = torch.zeros_like(turn[0])
        rows = [zero, -turn[2], turn[1], turn[2], zero, -turn[0], -turn[1], turn[0], zero]
        rotation = torch.linalg.matrix_exp(torch.stack(rows).reshape(3, 3))
        last = torch.tensor([[0.0, 0.0, 0.0, 1.0]], device=viewmat.device)
        return torch.cat([torch.cat([rotation, shift[:, None]], 1), last]) @ viewmat

    def pull(self, number: int) -> Any:
        """Return the loss that pulls towards where the camera was."""
        return self.recipe.pose_weight * (self.moved[number] ** 2).sum() if self.on else 0.0

    def step(self, share: float) -> None:
        """Move against the gradient after ``share`` of the training: ever less."""
        if not self.on:
            return
        self.mover.param_groups[0]["lr"] = self.recipe.pose_rate * 0.01**share
        self.mover.step()
        self.mover.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.moved -= self.moved.mean(0)
