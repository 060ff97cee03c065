"""The last bundle adjustment of a model, with wider lenses where those hold. In the worker's child process only."""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc
from numpy.typing import NDArray

from resources.colmap_database import Request, say
from resources.colmap_strays import drop_strays
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.colmap import ColmapCamera, read_model
from splat_pipeline.domain.poses import observe
from splat_pipeline.domain.refinement import Widening, footing, insane

SET_ASIDE = 10
"""Every so many tracks one is not fitted to."""
MIN_ASIDE_TRACK = 3
"""Images that see a track set aside: what two see tells little of how well they agree."""
MAX_ERROR_PX, MIN_ANGLE_DEG = 4.0, 1.5
"""COLMAP's own bounds on points."""
NARROW = {"SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"}
"""Models of the mappers, with the principal point at the centre: they become RADIAL with a free one."""
Track = list[tuple[int, int]]


def refine(request: Request) -> dict[str, Any]:
    """Widen the lenses of ``request["model"]`` when that holds, and write the model; else write nothing and say why."""
    folder = Path(request["model"])
    known = read_model(folder)
    seen = observe(known)
    weak = {i: footing(known, i, seen).weakness for i, camera in known.cameras.items() if camera.model in NARROW}
    cameras = sorted(i for i, weakness in weak.items() if weakness is None)
    if not cameras:
        return _kept("; ".join(f"camera {i}: {why}" for i, why in sorted(weak.items())) or "no lens can be widened")
    model = pc.Reconstruction(folder)
    measured = _measured(model, cameras, request)
    why = measured.refusal
    if why is None:
        _widen(model, cameras)
        _settle(model, cameras, request)
        drop_strays(model)
        why = _doubt(known.cameras, model, cameras)
    if why is not None:
        return _kept(why) | {"narrow_px": measured.narrow_px, "wide_px": measured.wide_px}
    Path(request["out"]).mkdir(parents=True, exist_ok=True)
    model.update_point_3d_errors()
    model.write_binary(request["out"])
    say(f"lens widened: tracks set aside {measured.narrow_px:.3f} px before, {measured.wide_px:.3f} px after")
    return {"widened": cameras, "why": None, "narrow_px": measured.narrow_px, "wide_px": measured.wide_px}


def _kept(why: str) -> dict[str, Any]:
    say(f"lens model kept: {why}")
    return {"widened": [], "why": why, "narrow_px": None, "wide_px": None}


def _measured(model: pc.Reconstruction, cameras: Sequence[int], request: Request) -> Widening:
    """Fit both lens models to most tracks and compare them on the others."""
    errors, paths = [], []
    for widened in ([], cameras):
        fit = pc.Reconstruction(model)
        aside = _set_aside(fit)
        _widen(fit, widened)
        _adjust(fit, widened, request)
        paths.append(_poses(fit))
        errors.append(_error_of(fit, aside, request))
    error = trajectory_error(paths[1], paths[0])
    return Widening(narrow_px=errors[0], wide_px=errors[1], shift=error.ate_rmse / error.extent)


def _poses(model: pc.Reconstruction) -> NDArray[np.float64]:
    """Return (I, 4, 4) cam_from_world in the order of the images' ids."""
    return np.stack([_square(model.image(i).cam_from_world().matrix()) for i in sorted(model.reg_image_ids())])


def _square(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (4, 4) of (3, 4)."""
    return np.vstack([rows, [0.0, 0.0, 0.0, 1.0]])


def _set_aside(model: pc.Reconstruction) -> list[tuple[Any, Track]]:
    """Take tracks out of the model: (position, [(image id, keypoint)]) of each."""
    aside = []
    for point_id in sorted(model.point3D_ids())[::SET_ASIDE]:
        point = model.point3D(point_id)
        if point.track.length() >= MIN_ASIDE_TRACK:
            elements = [(element.image_id, element.point2D_idx) for element in point.track.elements]
            aside.append((point.xyz.copy(), elements))
            model.delete_point3D(point_id)
    return aside


def _error_of(model: pc.Reconstruction, aside: Iterable[tuple[Any, Track]], request: Request) -> float:
    """Put the tracks back, fit points to the cameras as they are, and return the median error of those tracks in px."""
    added = []
    for xyz, elements in aside:
        track = pc.Track()
        for image_id, keypoint in elements:
            track.add_element(image_id, keypoint)
        added.append(model.add_point3D(xyz, track))
    options = _options(request)
    options.refine_rig_from_world = options.refine_focal_length = options.refine_extra_params = False
    _solve(model, options, _everything(model))
    model.update_point_3d_errors()
    return float(np.median([model.point3D(point_id).error for point_id in added])) if added else float("nan")


def _widen(model: pc.Reconstruction, cameras: Iterable[int]) -> None:
    for camera_id in cameras:
        camera = model.camera(camera_id)
        focal, cx, cy, *radial = camera.params
        camera.model = pc.CameraModelId.RADIAL
        camera.params = [focal, cx, cy, *radial, *([0.0] * (2 - len(radial)))]


def _settle(model: pc.Reconstruction, widened: Sequence[int], request: Request) -> None:
    """Adjust to all tracks, drop what is still off, adjust again."""
    _adjust(model, widened, request)
    pc.ObservationManager(model).filter_all_points3D(MAX_ERROR_PX, MIN_ANGLE_DEG)
    _adjust(model, widened, request)


def _adjust(model: pc.Reconstruction, widened: Sequence[int], request: Request) -> None:
    """Adjust everything. Beside widened lenses the others stay as they are: one option frees all principal points.

    So do lenses of models that are none of the mappers': they were known.
    """
    options, config = _options(request), _everything(model)
    options.refine_principal_point = bool(widened)
    for camera_id, camera in model.cameras.items():
        if camera_id not in widened and (widened or camera.model_name not in NARROW):
            config.set_constant_cam_intrinsics(camera_id)
    _solve(model, options, config)


def _options(request: Request) -> pc.BundleAdjustmentOptions:
    options = pc.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.loss_function_type = pc.LossFunctionType.SOFT_L1
    solver = options.ceres.solver_options
    solver.num_threads, solver.max_num_iterations, solver.function_tolerance = request["threads"], 60, 1e-6
    return options


def _everything(model: pc.Reconstruction) -> pc.BundleAdjustmentConfig:
    config = pc.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    config.fix_gauge(pc.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    return config


def _solve(model: pc.Reconstruction, options: pc.BundleAdjustmentOptions, config: pc.BundleAdjustmentConfig) -> None:
    pc.create_default_bundle_adjuster(options, config, model).solve()


def _doubt(before: Mapping[int, ColmapCamera], model: pc.Reconstruction, cameras: Iterable[int]) -> str | None:
    """Say which lens came out insane, and how."""
    for camera_id in cameras:
        now = model.camera(camera_id)
        after = ColmapCamera(
            model=now.model_name, width_px=now.width, height_px=now.height, params=tuple(map(float, now.params))
        )
        if (why := insane(before[camera_id], after)) is not None:
            return f"camera {camera_id}: {why}"
    return None
