"""Draw the same Gaussians from many places: what is packed and reserved once serves every picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.splatting import layout, project
from splat_pipeline.splatting.layout import Float32
from splat_pipeline.splatting.render import Canvas, Workspace, draw


def film(
    gaussians: Gaussians, views: Sequence[View], *, background: tuple[float, float, float] | None = None
) -> Iterator[Float32]:
    """Give the picture (H, W, 3) of each view, as ``render`` draws it, one at a time. Each is the caller's own."""
    rows, room = layout.pack(gaussians), Workspace()
    behind = np.asarray(gaussians.background if background is None else background, dtype=np.float32)
    canvases: dict[tuple[int, int], Canvas] = {}
    for view in views:
        size = (view.camera.width_px, view.camera.height_px)
        canvas = canvases.get(size) or canvases.setdefault(size, Canvas.of(*size))
        draw(
            rows,
            project.camera_vector(view.camera, view.cam_from_world, antialiased=gaussians.antialiased),
            canvas,
            room,
            degree=gaussians.sh_degree,
            background=behind,
        )
        yield np.ascontiguousarray(canvas.image.transpose(1, 2, 0))
