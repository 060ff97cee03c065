"""Camera poses of the job, and the point cloud in an upright world."""

from __future__ import annotations

import json
import shutil
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from splat_pipeline.assets.footage import names_of
from splat_pipeline.assets.joining import one_model
from splat_pipeline.assets.posed import is_given
from splat_pipeline.assets.stages import Machines, Sfm, Stores, Work, job_asset, stage
from splat_pipeline.domain.errors import NoReconstruction
from splat_pipeline.domain.formats.colmap import ColmapModel, read_model, write_model
from splat_pipeline.domain.formats.points_ply import write_points
from splat_pipeline.domain.gaps import gaps, in_words
from splat_pipeline.domain.links import only
from splat_pipeline.domain.points import is_aerial, point_rows, trusted, upright_from
from splat_pipeline.domain.poses import (
    cam_from_world,
    cameras_json,
    path_sketch,
    pose_rows,
    rms_px,
)
from splat_pipeline.domain.tables import (
    ALIGNMENT,
    KEYFRAMES,
    LOOPS,
    POINTS,
    POSES,
    VIDEOS,
    WINDOWS,
    read_table,
    write_table,
)
from splat_pipeline.domain.uncertainty import pose_sigmas
from splat_pipeline.ports import SfmBackend


@job_asset(deps=["keyframes", "features", "match_graph", "local_reconstructions"])
def camera_poses(
    context: dg.AssetExecutionContext, store: Stores, machine: Machines, sfm: Sfm
) -> dg.MaterializeResult[Any]:
    """One pose a keyframe in one frame of reference, with what it rests on and how far to trust it."""
    with stage(context, store, machine) as work:
        keyframes = read_table(work.input("keyframes") / "keyframes.parquet", KEYFRAMES)
        found = one_model(work, sfm, keyframes)
        model, lens = (found.model, "as given") if _given(work) else _refined(work, sfm, found.model)
        poses = pd.DataFrame(pose_rows(model, keyframes, found.window_ids, pose_sigmas(model)))
        (work.folder / "sparse").mkdir()
        rms = rms_px(model)
        model = only(model, names_of(keyframes))
        write_model(work.folder / "sparse", model)
        write_table(work.folder / "poses.parquet", POSES, poses)
        write_table(work.folder / "loops.parquet", LOOPS, found.loops)
        write_table(work.folder / "alignment.parquet", ALIGNMENT, found.alignment)
        (work.folder / "cameras.json").write_text(json.dumps(cameras_json(model), indent=1))
        metrics = {"registered_share": float(poses["registered"].mean()), "rms_px": rms}
        missing = in_words(gaps(keyframes, poses.loc[poses["registered"], "keyframe_id"].tolist()))
        shown = _shown(model, poses) | dict(found.shown) | metrics | {"lens": lens, "missing": missing or "nothing"}
        work.publish(metadata=shown, metrics=metrics, notes={"registered_share": missing})
    return work.result()


def _given(work: Work) -> bool:
    """Whether the poses came from elsewhere: then nothing is adjusted unasked."""
    windows = read_table(work.input("local_reconstructions") / "windows.parquet", WINDOWS)
    return bool(windows["strategy"].map(is_given).any())


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


@job_asset(deps=["source_videos", "camera_poses"])
def point_cloud(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> dg.MaterializeResult[Any]:
    """The points to trust, in a world where -y is up."""
    with stage(context, store, machine) as work:
        model = read_model(work.input("camera_poses") / "sparse")
        keep = trusted(model.points)
        if not keep.any():
            raise NoReconstruction(f"none of {len(model.points)} points is seen well enough")
        cameras = np.stack([cam_from_world(model, image_id) for image_id in sorted(model.images)])
        videos = read_table(work.input("source_videos") / "videos.parquet", VIDEOS)
        aerial = is_aerial(work.recipe.scene_type, videos["make"])
        upright = upright_from(cameras, model.points.xyz[keep], aerial=aerial)
        rows = point_rows(model.points, keep, upright.world_from_sfm)
        write_points(
            work.folder / "points.ply", rows[["x", "y", "z"]].to_numpy(), rows[["red", "green", "blue"]].to_numpy()
        )
        write_table(work.folder / "points.parquet", POINTS, rows)
        (work.folder / "frame_of_reference.json").write_text(json.dumps(upright.to_json(), indent=1))
        shown = {"points": len(rows), "dropped": int((~keep).sum()), "up": upright.up_source}
        work.publish(metadata=shown | {"median_track_length": float(rows["track_length"].median())})
    return work.result()
