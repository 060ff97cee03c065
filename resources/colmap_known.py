"""Lenses that were known before anything was reconstructed: put back, and poses and points adjusted to them.

In the worker's child process only. The incremental mapper holds single lenses; the global one all or none.
"""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from collections.abc import Mapping

import numpy as np
import pycolmap as pc

from resources.colmap_database import Request, say
from resources.colmap_readjust import solve

ROUNDS = 3
MAX_ERROR_PX, MIN_ANGLE_DEG = 4.0, 1.5
"""COLMAP's own bounds on points."""


def hold(model: pc.Reconstruction, known: Mapping[int, pc.Camera], request: Request) -> None:
    """Give ``known`` cameras of the model their lenses back where a mapper changed them, and adjust all else."""
    used = {model.image(image_id).camera_id for image_id in model.reg_image_ids()} & set(known)
    moved = [i for i in sorted(used) if not np.array_equal(model.camera(i).params, known[i].params)]
    if not moved:
        return
    for camera_id in moved:
        model.camera(camera_id).params = known[camera_id].params
    options = pc.BundleAdjustmentOptions()
    options.print_summary = options.refine_sensor_from_rig = False
    options.ceres.loss_function_type = pc.LossFunctionType.SOFT_L1
    options.ceres.solver_options.num_threads = request["threads"]
    for _ in range(ROUNDS):
        solve(model, options, free=set(model.cameras) - used)
        pc.ObservationManager(model).filter_all_points3D(MAX_ERROR_PX, MIN_ANGLE_DEG)
    model.update_point_3d_errors()
    say(f"lenses of {len(moved)} cameras held as calibrated: {model.compute_mean_reprojection_error():.2f} px")
