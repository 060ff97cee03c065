"""From a reconstruction to a pose a keyframe, with what it rests on.

A model holds I images, P points and O observations (image, keypoint, point).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.confidence import PoseSigma, confidence
from splat_pipeline.domain.formats.colmap import ColmapModel
from splat_pipeline.domain.given import lenses_json
from splat_pipeline.domain.lens import project
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation, rigid, rotation_from_quat

Float = NDArray[np.float64]
Index = NDArray[np.int64]

IMAGE_FOLDER = "images/"
"""``keyframes.file`` begins so; images are named relative to it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """The O observations of a model, in the order of its tracks."""

    image_id: Index
    point: Index
    """Position in the model's points."""
    error_px: Float
    """Distance between keypoint and projection; NaN for a point behind its camera."""
    angle_deg: Float
    """Triangulation angle of the point: the largest angle under which two of its cameras see it."""


def cam_from_world(model: ColmapModel, image_id: int) -> Float:
    """Return the (4, 4) pose of an image."""
    image = model.images[image_id]
    return rigid(rotation_from_quat(image.quat), image.translation)


def observe(model: ColmapModel) -> Observations:
    """Reproject every observation of ``model``."""
    points = model.points
    point = np.repeat(np.arange(len(points)), points.track_lengths)
    error, ray = np.full(len(point), np.nan), np.zeros((len(point), 3))
    for image_id, image in model.images.items():
        mine = np.flatnonzero(points.track_images == image_id)
        pose = cam_from_world(model, image_id)
        in_camera = points.xyz[point[mine]] @ pose[:3, :3].T + pose[:3, 3]
        seen = image.xys[points.track_keypoints[mine]]
        error[mine] = np.linalg.norm(project(model.cameras[image.camera_id], in_camera) - seen, axis=1)
        toward = in_camera @ pose[:3, :3]
        ray[mine] = toward / np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-12)
    angle = _widest_angle_deg(ray, point, len(points))
    return Observations(image_id=points.track_images, point=point, error_px=error, angle_deg=angle[point])


def _widest_angle_deg(ray: Float, point: Index, count: int) -> Float:
    """Angle of each point between the ray farthest from its mean ray and the ray farthest from that one.

    Exact for rays in one plane, as of a camera path; never more than the true largest angle.
    """
    mean = np.zeros((count, 3))
    np.add.at(mean, point, ray)
    first = _farthest(ray, mean, point, count)
    second = _farthest(ray, first, point, count)
    angle: Float = np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(first - second, axis=1) / 2, 0, 1)))
    return angle


def _farthest(ray: Float, origin: Float, point: Index, count: int) -> Float:
    order = np.lexsort(((ray * origin[point]).sum(1), point))
    found, starts = np.unique(point[order], return_index=True)
    out = np.zeros((count, 3))
    out[found] = ray[order[starts]]
    return out


def rms_px(model: ColmapModel, seen: Observations | None = None) -> float:
    """Return the root mean square reprojection error over all observations; NaN when there are none."""
    error = (seen or observe(model)).error_px
    error = error[np.isfinite(error)]
    return float(np.sqrt((error**2).mean())) if len(error) else float("nan")


def pose_rows(
    model: ColmapModel,
    keyframes: pd.DataFrame,
    window_ids: Mapping[int, list[int]],
    sigmas: Mapping[int, PoseSigma],
) -> list[dict[str, Any]]:
    """Return a row of ``tables.POSES`` a keyframe, registered or not.

    ``window_ids``: by keyframe_id. ``sigmas``: by image id, as ``uncertainty.pose_sigmas`` gives them.
    """
    seen = observe(model)
    by_name = {image.name: image_id for image_id, image in model.images.items()}
    rows = []
    for keyframe_id, file in zip(keyframes["keyframe_id"], keyframes["file"], strict=True):
        image_id = by_name.get(file.removeprefix(IMAGE_FOLDER))
        row = dict.fromkeys(_FOUND) | {"keyframe_id": int(keyframe_id), "registered": image_id is not None}
        row["pose_confidence"] = 0.0
        row["window_ids"] = list(window_ids.get(int(keyframe_id), []))
        rows.append(row if image_id is None else row | _found(model, image_id, seen, sigmas.get(image_id)))
    return rows


_FOUND = (
    "qw", "qx", "qy", "qz", "tx", "ty", "tz", "center_x", "center_y", "center_z", "observations", "mean_error_px",
    "median_tri_angle_deg", "rotation_sigma_deg", "position_sigma", "pose_confidence",
)  # fmt: skip


def _found(model: ColmapModel, image_id: int, seen: Observations, sigma: PoseSigma | None) -> dict[str, Any]:
    pose = cam_from_world(model, image_id)
    mine = seen.image_id == image_id
    error, angle = seen.error_px[mine & np.isfinite(seen.error_px)], seen.angle_deg[mine]
    count = int(mine.sum())
    mean_error = float(error.mean()) if len(error) else float("nan")
    median_angle = float(np.median(angle)) if count else float("nan")
    return {
        **dict(zip(("qw", "qx", "qy", "qz"), quat_from_rotation(pose[:3, :3]).tolist(), strict=True)),
        **dict(zip(("tx", "ty", "tz"), pose[:3, 3].tolist(), strict=True)),
        **dict(zip(("center_x", "center_y", "center_z"), (-pose[:3, :3].T @ pose[:3, 3]).tolist(), strict=True)),
        "observations": count,
        "mean_error_px": mean_error,
        "median_tri_angle_deg": median_angle,
        "rotation_sigma_deg": sigma.rotation_deg if sigma else None,
        "position_sigma": sigma.position if sigma else None,
        "pose_confidence": confidence(sigma, count, median_angle),
    }


def moved(model: ColmapModel, world_from_model: Similarity) -> ColmapModel:
    """Return the model in another frame."""
    images = {}
    for image_id, image in model.images.items():
        pose = world_from_model.pose(cam_from_world(model, image_id))
        images[image_id] = replace(image, quat=quat_from_rotation(pose[:3, :3]), translation=pose[:3, 3])
    points = replace(model.points, xyz=world_from_model.points(model.points.xyz))
    return ColmapModel(cameras=model.cameras, images=images, points=points)


def cameras_json(model: ColmapModel) -> dict[str, dict[str, Any]]:
    """Return what ``cameras.json`` holds, by camera_id: model, width_px, height_px, params in COLMAP's order."""
    return lenses_json(model.cameras)


def alignment_row(window_id: int, world_from_window: Similarity, *, shared_observations: int = 0) -> dict[str, Any]:
    """Return a row of ``tables.ALIGNMENT``."""
    return {"window_id": window_id, **world_from_window.to_json(), "shared_observations": shared_observations}


def path_sketch(centers: Float, *, columns: int = 44, rows: int = 14) -> str:
    """Draw (I, 3) camera centres in their widest plane as text: digits 0 to 9 from first to last camera."""
    if not len(centers):
        return ""
    around = centers - centers.mean(0)
    flat = around @ np.linalg.svd(around.T @ around)[2][:2].T  # of a single camera too
    step = max(np.ptp(flat[:, 0]) / (columns - 1), np.ptp(flat[:, 1]) / (2 * rows - 2), 1e-12)
    at = np.floor((flat - flat.min(0)) / [step, 2 * step]).astype(int)  # a letter is twice as high as wide
    grid = np.full((at[:, 1].max() + 1, at[:, 0].max() + 1), " ")
    grid[at[:, 1], at[:, 0]] = [str(10 * i // len(at)) for i in range(len(at))]
    return "\n".join("".join(row).rstrip() for row in grid)


def poses_of(rows: pd.DataFrame, keyframe_ids: Iterable[int]) -> list[Float]:
    """Return the (4, 4) cam_from_world of registered keyframes of a table ``tables.POSES``."""
    indexed = rows.set_index("keyframe_id")
    out = []
    for keyframe_id in keyframe_ids:
        row = indexed.loc[keyframe_id]
        quat = row[["qw", "qx", "qy", "qz"]].to_numpy(np.float64)
        out.append(rigid(rotation_from_quat(quat), row[["tx", "ty", "tz"]].to_numpy(np.float64)))
    return out
