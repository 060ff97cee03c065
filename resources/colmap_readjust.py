"""Bundle adjustment of a model whose poses came from elsewhere. In the worker's child process only."""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc

from resources.colmap_database import Request, say
from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.rigid import fit_similarity

ROUNDS = 3
MAX_ERROR_PX = 4.0
MIN_ANGLE_DEG = 1.5
DIRECT_UP_TO = 10_000
"""Images. COLMAP leaves the sparse direct solver at 1,000. A walk's normal equations are a band, which it solves in
time linear in the walk, and better: conjugate gradients stop short of a long bend (docs/lab-notes.md)."""


def readjust(request: Request) -> dict[str, Any]:
    """Adjust poses and points, drop what does not fit, again; then align the cameras with where they were.

    Lenses stay as they are: without loops, free ones bend a trajectory (docs/lab-notes.md). But the focal lengths of
    the cameras ``free`` are adjusted too: they were found from poses that err.
    """
    folder = Path(request["model"])
    model = pc.Reconstruction(folder)
    before = _poses(model)
    error_px = model.compute_mean_reprojection_error()
    options = pc.BundleAdjustmentOptions()
    options.refine_principal_point = options.refine_extra_params = options.print_summary = False
    options.refine_focal_length = bool(request["free"])
    options.ceres.loss_function_type = pc.LossFunctionType.CAUCHY
    for _ in range(ROUNDS):
        solve(model, options, free=request["free"])
        pc.ObservationManager(model).filter_all_points3D(MAX_ERROR_PX, MIN_ANGLE_DEG)
    after = _poses(model)
    fit = fit_similarity(centers(after), centers(before))
    model.transform(pc.Sim3d(fit.scale, pc.Rotation3d(fit.rotation), fit.translation))
    model.update_point_3d_errors()
    now_px = model.compute_mean_reprojection_error()
    say(f"bundle adjustment: mean reprojection error {error_px:.2f} -> {now_px:.2f} px")
    model.write_binary(folder)
    moved = np.linalg.norm(centers(_poses(model)) - centers(before), axis=1)
    return {"before_px": error_px, "after_px": now_px, "median_moved": float(np.median(moved))}


def solve(model: pc.Reconstruction, options: pc.BundleAdjustmentOptions, *, free: Collection[int]) -> None:
    """Adjust all poses and points and, as ``options`` say, the lenses of the cameras ``free``."""
    pc.ObservationManager(model).filter_observations_with_negative_depth()
    config = pc.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    for camera_id in model.cameras:
        if camera_id not in free:
            config.set_constant_cam_intrinsics(camera_id)
    config.fix_gauge(pc.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options.ceres.max_num_images_direct_sparse_cpu_solver = DIRECT_UP_TO
    pc.create_default_bundle_adjuster(options, config, model).solve()


def _poses(model: pc.Reconstruction) -> Any:
    ids = sorted(model.reg_image_ids())
    out = np.tile(np.eye(4), (len(ids), 1, 1))
    out[:, :3] = [model.image(image_id).cam_from_world().matrix() for image_id in ids]
    return out
