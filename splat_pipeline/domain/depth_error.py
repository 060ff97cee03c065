"""How far points of a reconstruction are off along the views, where another model of the same images has points too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from splat_pipeline.domain.formats.colmap import ColmapModel
from splat_pipeline.domain.poses import cam_from_world

Float = NDArray[np.float64]

SAME_PLACE = 0.003
"""Of the picture's width: so near two observations show the same thing. 2 px of 640, what features are off by."""
LEAST_PAIRS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Depths:
    """What one image saw of a model's points."""

    places: Float
    """(N, 2) where, in widths of the picture."""
    depths: Float
    """(N,) along the view, in units of the model."""


def depths_of(model: ColmapModel) -> dict[str, Depths]:
    """Return the depths of the points that each image of a model observes, by the image's name."""
    row_of = {int(point_id): row for row, point_id in enumerate(model.points.ids)}
    found = {}
    for image_id, image in model.images.items():
        seen = image.point3d_ids >= 0
        rows = [row_of[int(point_id)] for point_id in image.point3d_ids[seen]]
        pose = cam_from_world(model, image_id)
        along = model.points.xyz[rows] @ pose[2, :3] + pose[2, 3]
        width = model.cameras[image.camera_id].width_px
        ahead = along > 0
        found[image.name] = Depths(places=image.xys[seen][ahead] / width, depths=along[ahead])
    return found


def depth_error(
    ours: Mapping[str, Depths], truth: Mapping[str, Depths], pairs: Mapping[str, str], scale: float
) -> dict[str, float | int | None]:
    """Return ``depth_error_median`` and ``depth_error_p90``, as shares of the true depth, over ``depth_points`` pairs.

    ``pairs``: names of the same image here and there. ``scale``: units of the truth in one of ours. None where fewer
    than ``LEAST_PAIRS`` observations coincide.
    """
    errors = [np.zeros(0)]
    for mine, theirs in pairs.items():
        a, b = ours[mine], truth[theirs]
        if len(a.depths) and len(b.depths):
            distance, nearest = cKDTree(b.places).query(a.places)
            same = distance < SAME_PLACE
            errors.append(np.abs(a.depths[same] * scale / b.depths[nearest[same]] - 1))
    every = np.concatenate(errors)
    if len(every) < LEAST_PAIRS:
        return {"depth_error_median": None, "depth_error_p90": None, "depth_points": len(every)}
    median, p90 = np.percentile(every, [50, 90])
    return {"depth_error_median": float(median), "depth_error_p90": float(p90), "depth_points": len(every)}
