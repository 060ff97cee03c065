"""One model of images whose poses are known roughly: triangulate, adjust, filter, again. In the child process only."""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc

from resources.colmap_database import Request, fill, framed, known_cameras, rig_of, say, write_named
from resources.colmap_matches import take
from resources.colmap_readjust import solve
from resources.colmap_strays import drop_strays

ROUNDS = (16.0, 6.0, 4.0)
"""Bound on reprojection errors in px, round by round: the seams between windows are wide at first."""
LEAST_ANGLE_DEG = 1.5


def adjust(request: Request) -> dict[str, Any]:
    """Refine poses, points and, where asked for, intrinsics, and write the model."""
    database = Path(request["scratch"]) / "joined.db"
    fill(database, request, descriptors=False)
    take(database, request)
    model = _posed(request)
    for i, bound_px in enumerate(ROUNDS):
        model = _triangulated(database, request, model, bound_px)
        # intrinsics would hide the seams of the first round
        _adjusted(model, request, intrinsics=request["refine_intrinsics"] and i > 0)
        manager = pc.ObservationManager(model)
        manager.filter_all_points3D(bound_px, LEAST_ANGLE_DEG)
        manager.filter_observations_with_negative_depth()
        say(f"round {i + 1}: {model.num_points3D()} points, {model.compute_mean_reprojection_error():.2f} px")
    drop_strays(model)
    write_named(model, Path(request["out"]), request)
    return {"points": model.num_points3D(), "registered": model.num_reg_images()}


def _posed(request: Request) -> pc.Reconstruction:
    """Return a model without points, by the ids of the database."""
    model = pc.Reconstruction()
    for camera in known_cameras(request).values():
        model.add_camera(camera)
        model.add_rig(rig_of(camera))
    for position, (camera_id, pose) in enumerate(zip(request["camera_ids"], request["cams_from_world"], strict=True)):
        image, frame = framed(position + 1, camera_id)
        image.frame_id = frame.frame_id
        frame.rig_from_world = pc.Rigid3d(np.array(pose)[:3])
        model.add_frame(frame)
        model.add_image(image)
        model.register_frame(frame.frame_id)
    return model


def _triangulated(database: Path, request: Request, model: pc.Reconstruction, bound_px: float) -> pc.Reconstruction:
    options = pc.IncrementalPipelineOptions(num_threads=request["threads"], random_seed=request["seed"])
    options.extract_colors = False  # the images go by aliases until the end
    options.mapper.filter_max_reproj_error = bound_px
    options.triangulation.merge_max_reproj_error = options.triangulation.complete_max_reproj_error = bound_px
    work = Path(request["scratch"]) / "joined"
    return pc.triangulate_points(model, database, request["folder"], work, options=options)


def _adjusted(model: pc.Reconstruction, request: Request, *, intrinsics: bool) -> None:
    options = pc.BundleAdjustmentOptions()
    options.refine_focal_length = options.refine_extra_params = intrinsics
    options.ceres.loss_function_type = pc.LossFunctionType.SOFT_L1
    options.ceres.solver_options.num_threads = request["threads"]
    options.ceres.solver_options.max_num_iterations = 50
    options.ceres.solver_options.function_tolerance = 1e-6
    solve(model, options, free=set(model.cameras).difference(request["fixed"]))
