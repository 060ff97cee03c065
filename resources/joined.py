"""What the COLMAP worker is asked when windows become one model."""

from __future__ import annotations

from typing import Any

from resources.lenses import lenses
from splat_pipeline.ports.sfm import AdjustmentRequest


def message(request: AdjustmentRequest) -> dict[str, Any]:
    """Return the request in JSON, as ``colmap_joined.adjust`` reads it."""
    return {
        "command": "adjust",
        "folder": str(request.folder),
        "images": list(request.images),
        "camera_ids": [int(camera_id) for camera_id in request.camera_ids],
        "cameras": lenses(request.cameras),
        "fixed": [int(camera_id) for camera_id in request.fixed],
        "cams_from_world": request.cams_from_world.tolist(),
        "features": str(request.features),
        "graph": str(request.graph),
        "left_out": [list(pair) for pair in request.left_out],
        "refine_intrinsics": request.refine_intrinsics,
        "seed": request.seed,
    }
