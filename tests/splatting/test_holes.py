"""What counts as lost of a picture: nothing there, or something right before the lens."""

from __future__ import annotations

import numpy as np
import pytest
from turning import CAMERA

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.splatting.holes import lost_share


def wall(z: float, *, left_only: bool = False) -> Gaussians:
    """An opaque wall across the picture of a camera at the origin, or across its left half."""
    x, y = np.meshgrid(np.arange(-1.5, -0.02 if left_only else 1.5, 0.03), np.arange(-1.5, 1.5, 0.03))
    means = np.stack([x.ravel() * z, y.ravel() * z, np.full(x.size, z)], axis=1).astype(np.float32)
    count = len(means)
    return Gaussians(
        means=means,
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        log_scales=np.full((count, 3), np.log(0.02 * z), np.float32),
        logit_opacities=np.full(count, 5, np.float32),
        sh=np.random.default_rng(0).normal(size=(count, 4, 3)).astype(np.float32),
    )


VIEW = View(name="", camera=CAMERA, cam_from_world=np.eye(4))
AWAY = View(name="", camera=CAMERA, cam_from_world=np.diag([-1.0, 1, -1, 1]))


def test_a_wall_at_its_distance_loses_nothing_and_looking_away_from_it_everything() -> None:
    assert lost_share(wall(4), [VIEW, AWAY], near=1).tolist() == pytest.approx([0, 1])


def test_half_a_wall_loses_the_other_half() -> None:
    assert lost_share(wall(4, left_only=True), [VIEW], near=1)[0] == pytest.approx(0.5, abs=0.02)


def test_a_wall_right_before_the_lens_hides_the_picture() -> None:
    assert lost_share(wall(0.5), [VIEW], near=1)[0] == pytest.approx(1, abs=0.01)
