"""Camera poses of the job, and the point cloud in an upright world."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.assets.checks import Gated
from splat_pipeline.assets.footage import PAIRS_FILE, names_of
from splat_pipeline.assets.joining import OneModel, one_model
from splat_pipeline.assets.known import known_cameras, read_known
from splat_pipeline.assets.posed import is_given, source_of, told_confidence
from splat_pipeline.assets.stages import Machines, Sfm, Stores, Work, job_asset, stage
from splat_pipeline.domain.contents import JOB_FILE
from splat_pipeline.domain.errors import NoReconstruction
from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.formats.colmap import ColmapModel, read_model, write_model
from splat_pipeline.domain.formats.points_ply import write_points
from splat_pipeline.domain.gaps import gaps
from splat_pipeline.domain.gaps import in_words as gaps_in_words
from splat_pipeline.domain.known_length import KnownLength, footage_of, known_length, spots_of
from splat_pipeline.domain.links import only
from splat_pipeline.domain.matches import read_pairs
from splat_pipeline.domain.metrics.consistency import consistency_metrics
from splat_pipeline.domain.metrics.poses import pose_metrics
from splat_pipeline.domain.metrics.windows import loop_metrics, window_metrics
from splat_pipeline.domain.points import point_rows, trusted
from splat_pipeline.domain.poses import (
    IMAGE_FOLDER,
    cam_from_world,
    cameras_json,
    path_sketch,
    pose_rows,
    rms_px,
)
from splat_pipeline.domain.reference import Located, in_words, reference_from
from splat_pipeline.domain.scenes import SCENE_FILE, scene_of_poses
from splat_pipeline.domain.tables import (
    ALIGNMENT,
    KEYFRAMES,
    LOOPS,
    POINTS,
    POSES,
    POSITIONS,
    VIDEOS,
    WINDOWS,
    read_table,
    write_table,
)
from splat_pipeline.domain.tracks import fixes_at
from splat_pipeline.domain.uncertainty import pose_sigmas
from splat_pipeline.domain.upright import is_aerial
from splat_pipeline.ports.sfm import SfmBackend

RIG = "rig of calibration.json"


@job_asset(deps=["keyframes", "features", "match_graph", "local_reconstructions"], pool="sfm")
def camera_poses(
    context: dg.AssetExecutionContext, config: Gated, store: Stores, machine: Machines, sfm: Sfm
) -> dg.MaterializeResult[Any]:
    """One pose a keyframe in one frame of reference, with what it rests on and how far to trust it."""
    with stage(context, store, machine, lift=config.lift) as work:
        keyframes = read_table(work.input("keyframes") / "keyframes.parquet", KEYFRAMES)
        found = one_model(work, sfm, keyframes)
        model, lens = (found.model, "as given") if _settled(work) else _refined(work, sfm, found.model)
        poses = pd.DataFrame(pose_rows(model, keyframes, found.window_ids, pose_sigmas(model)))
        poses["pose_confidence"] *= told_confidence(work.input("local_reconstructions"), keyframes)
        (work.folder / "sparse").mkdir()
        rms = rms_px(model)  # linking frames are adjusted too
        model = only(model, names_of(keyframes))
        write_model(work.folder / "sparse", model)
        write_table(work.folder / "poses.parquet", POSES, poses)
        write_table(work.folder / "loops.parquet", LOOPS, found.loops)
        write_table(work.folder / "alignment.parquet", ALIGNMENT, found.alignment)
        (work.folder / "cameras.json").write_text(json.dumps(cameras_json(model), indent=1))
        metrics = _measures(work, found, model, poses, keyframes) | {"rms_px": rms}
        missing = gaps_in_words(gaps(keyframes, poses.loc[poses["registered"], "keyframe_id"].tolist()))
        shown = _shown(model, poses) | dict(found.shown) | {"lens": lens, "missing": missing or "nothing"}
        shown |= {name: value for name, value in metrics.items() if value is not None}
        work.publish(metadata=shown, metrics=metrics, notes=_notes(metrics) | {"registered_share": missing})
    return work.result()


def _measures(
    work: Work, found: OneModel, model: ColmapModel, poses: pd.DataFrame, keyframes: pd.DataFrame
) -> dict[str, float | None]:
    """Return all metrics of the poses: how good they are, and whether they can be true."""
    positions = {name: i for i, name in enumerate(names_of(keyframes))}
    pairs = read_pairs(work.input("match_graph") / PAIRS_FILE, positions)
    return (
        pose_metrics(model, poses, keyframes)
        | consistency_metrics(model, pairs, positions, seed=work.recipe.seed)
        | window_metrics(found.gaps)
        | loop_metrics(found.loops)
    )


def _notes(metrics: Mapping[str, float | None]) -> dict[str, str]:
    """Return what the gaps of loops were before closing, by the metric of what they are now."""
    found = {}
    for name, unit in (("loop_rotation", "_deg"), ("loop_shift", "")):
        before = metrics[f"{name}_before{unit}"]
        found[f"{name}_after{unit}"] = "" if before is None else f"{before:.4g} before closing"
    return found


def _settled(work: Work) -> bool:
    """Whether the poses came from elsewhere, or a rig holds them: then nothing is adjusted unasked."""
    windows = read_table(work.input("local_reconstructions") / "windows.parquet", WINDOWS)
    known = read_known(work.input("source_videos"))
    return bool(windows["strategy"].map(is_given).any()) or (known is not None and bool(known.rig))


def _refined(work: Work, sfm: SfmBackend, model: ColmapModel) -> tuple[ColmapModel, str]:
    """Return the model with wider lenses where they hold, and what was found, in words."""
    before, after = work.folder / "before", work.folder / "refined"
    before.mkdir()
    write_model(before, model)
    found = sfm.refine(before, after, time_limit_s=work.recipe.poses.time_limit_s, say=work.log)
    if found.cameras:
        model = read_model(after)
        shutil.rmtree(after)
    shutil.rmtree(before)
    return model, found.words


def _is_of_rig(work: Work) -> bool:
    """Whether the world has the unit of a rig: it was found, and with images of two cameras of the rig or more."""
    keyframes = read_table(work.input("keyframes") / "keyframes.parquet", KEYFRAMES)
    return (
        source_of(work.input("source_videos"), work.recipe.poses) is None
        and known_cameras(work, keyframes)["rig"] is not None
    )


def _shown(model: ColmapModel, poses: pd.DataFrame) -> dict[str, Any]:
    found = poses[poses["registered"]]
    focals = [f"camera {i}: {c.params[0]:.0f} px of {c.width_px}x{c.height_px}" for i, c in model.cameras.items()]
    sketch = path_sketch(found[["center_x", "center_y", "center_z"]].to_numpy(np.float64))
    return {
        "keyframes": len(poses),
        "registered": len(found),
        "points": len(model.points),
        "median_confidence": float(found["pose_confidence"].median()),
        "focal": "; ".join(focals),
        "path": dg.MetadataValue.md(f"```\n{sketch}\n```"),
    }


@job_asset(deps=["source_videos", "keyframes", "camera_poses"])
def point_cloud(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> dg.MaterializeResult[Any]:
    """The points to trust, in a world where -y is up: in metres and towards north where that is known."""
    with stage(context, store, machine) as work:
        model = read_model(work.input("camera_poses") / "sparse")
        keep = trusted(model.points)
        if not keep.any():
            raise NoReconstruction(f"none of {len(model.points)} points is seen well enough")
        cameras = np.stack([cam_from_world(model, image_id) for image_id in sorted(model.images)])
        videos = read_table(work.input("source_videos") / "videos.parquet", VIDEOS)
        aerial = is_aerial(work.recipe.scene_type, videos["make"])
        located, known = _measured(work, model, videos)
        frame = reference_from(cameras, model.points.xyz[keep], aerial=aerial, located=located, known=known)
        for warning in frame.warnings:
            context.log.warning(warning)
        rows = point_rows(model.points, keep, frame.world_from_sfm)
        write_points(
            work.folder / "points.ply", rows[["x", "y", "z"]].to_numpy(), rows[["red", "green", "blue"]].to_numpy()
        )
        write_table(work.folder / "points.parquet", POINTS, rows)
        told = frame.to_json()
        if frame.scale_source is None and _is_of_rig(work):
            told["scale_source"] = RIG
        (work.folder / "frame_of_reference.json").write_text(json.dumps(told, indent=1))
        upright_cameras = np.stack([frame.world_from_sfm.pose(camera) for camera in cameras])
        scene = scene_of_poses(
            work.recipe.scene_type, centers(upright_cameras), upright_cameras[:, 2, :3],
            rows[["x", "y", "z"]].to_numpy(float), videos["make"],
        ).to_json()  # fmt: skip
        (work.folder / SCENE_FILE).write_text(json.dumps(scene, indent=1))
        shown = {"points": len(rows), "dropped": int((~keep).sum()), **in_words(told)}
        shown |= {"median_track_length": float(rows["track_length"].median()), "scene": dg.MetadataValue.json(scene)}
        work.publish(metadata=shown)
    return work.result()


def _measured(work: Work, model: ColmapModel, videos: pd.DataFrame) -> tuple[Located | None, KnownLength | None]:
    """Return what is known of the size of the world: positions of the model's cameras, and a length.

    Both in the order of ``model.images``' ids.
    """
    source, scale = work.input("source_videos"), work.recipe.scale
    keyframes = read_table(work.input("keyframes") / "keyframes.parquet", KEYFRAMES)
    file_of = [IMAGE_FOLDER + model.images[image_id].name for image_id in sorted(model.images)]
    cameras = keyframes.set_index("file").loc[file_of, ["video_id", "pts_s"]].reset_index(drop=True)
    located = known = None
    if scale.gps and (source / "positions.parquet").is_file():  # jobs of before have none
        fixes, words = fixes_at(read_table(source / "positions.parquet", POSITIONS), cameras)
        located = Located(fixes=fixes, source=words) if any(fixes) else None
    if scale.metres is not None:
        centers = np.stack([_center(cam_from_world(model, image_id)) for image_id in sorted(model.images)])
        manifest = json.loads((source / "manifest.json").read_text())
        spots = spots_of(scale, footage_of(videos, manifest["images"]), file=JOB_FILE)
        known = known_length(scale.metres, spots, cameras, centers)
    return located, known


def _center(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    return -pose[:3, :3].T @ pose[:3, 3]
