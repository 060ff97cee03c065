"""The views of a path, drawn by gsplat, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from resources.gpu.draw import Style, draw
from resources.gpu.faults import classified
from resources.gpu.splats import splats_of
from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import Gaussians


def frames(gaussians: Gaussians, views: Sequence[View], device: str) -> Iterator[NDArray[np.uint8]]:
    """Give (H, W, 3) RGB of each view, on the Gaussians' background. Raises ``DriverLost`` and ``OutOfMemory``."""
    splats = splats_of(gaussians, device)
    behind = torch.tensor(gaussians.background, dtype=torch.float32, device=device)
    style = Style(antialiased=gaussians.antialiased)
    for view in views:
        camera = view.camera
        lens = torch.tensor(
            [[camera.fx_px, 0, camera.cx_px], [0, camera.fy_px, camera.cy_px], [0, 0, 1]],
            dtype=torch.float32, device=device,
        )  # fmt: skip
        pose = torch.tensor(view.cam_from_world, dtype=torch.float32, device=device)
        with torch.no_grad(), classified("to draw the preview"):
            size = (camera.width_px, camera.height_px)
            drawn = draw(splats, pose, lens, size, degree=gaussians.sh_degree, style=style)
            image = drawn.image + (1 - drawn.alpha)[..., None] * behind
            shown = (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()
        yield np.asarray(shown, np.uint8)
