"""How much each Gaussian contributes to pictures: the blending weight that it has in all their pixels.

N Gaussians, V views, P pairs (tile, Gaussian). The weight of a Gaussian in a pixel is alpha T, see blend.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.splatting import blend, layout, project
from splat_pipeline.splatting.layout import Float32
from splat_pipeline.splatting.render import Canvas, Drawn, Workspace, draw

WEIGHT = 9
"""The column of a pair's record that holds the sum of its weights: see ``blend.blend_backward``."""


def contributions(gaussians: Gaussians, views: Sequence[View]) -> Float32:
    """Return (N,) in pixels: the sum of the weights of each Gaussian over all pixels of all ``views``.

    The backward pass of the training gives it, asked for no gradient: one picture takes as long as a step of training.
    """
    rows, room = layout.pack(gaussians), Workspace()
    behind, records = np.zeros(3, np.float32), layout.make_records(0)
    total = np.zeros(len(gaussians), np.float64)
    for view in views:
        canvas = Canvas.of(view.camera.width_px, view.camera.height_px, deep=False)
        cam = project.camera_vector(view.camera, view.cam_from_world, antialiased=gaussians.antialiased)
        drawn = draw(rows, cam, canvas, room, degree=0, background=behind)
        if len(records) < len(drawn.ids):
            records = layout.make_records(len(drawn.ids))
        nothing = np.zeros_like(canvas.image)
        blend.blend_backward(
            drawn.flat,
            canvas.starts,
            drawn.ids,
            drawn.slots,
            canvas.used,
            drawn.blocks,
            canvas.image,
            nothing,
            records,
        )
        _add(total, drawn, records)
    return total.astype(np.float32)


def _add(total: np.ndarray[tuple[int, ...], np.dtype[np.float64]], drawn: Drawn, records: Float32) -> None:
    """Add the weights of one picture. The pairs of a Gaussian lie side by side."""
    seen = drawn.visible[drawn.touched[drawn.visible] > 0]
    if len(seen):
        weights = records[: len(drawn.ids), WEIGHT].astype(np.float64)
        total[seen] += np.add.reduceat(weights, drawn.slot_starts[seen])
