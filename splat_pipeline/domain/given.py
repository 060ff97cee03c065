"""Poses that do not come from our own structure from motion: what they are, and which image each belongs to.

They are held against what a pose can be here, and against the images themselves where points are triangulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadPoses
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints
from splat_pipeline.domain.lens import coefficients, intrinsics
from splat_pipeline.domain.rigid import quat_from_rotation, rigid, rotation_from_quat

Float = NDArray[np.float64]

ORTHOGONAL = 1e-3
"""How far a written rotation may be from being one; what is left of it is rounded away."""
MAX_FOCAL_RATIO = 100.0
"""Focal length over the longer side: more is a telescope, or no focal length."""
SAME_ASPECT = 0.01
FARTHEST = 1e9
"""World units from the origin: beyond, float64 no longer tells neighbouring cameras apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenFrame:
    """An image with a pose."""

    name: str
    """Path of the image, relative to the upload or as its source names it."""
    camera_id: int
    """Of ``GivenPoses.cameras``."""
    cam_from_world: Float
    """(4, 4) rigid, OpenCV's axes."""
    confidence: float | None = None
    """0 to 1 as the source says; None where it does not."""

    def with_camera(self, camera_id: int) -> GivenFrame:
        """Return the frame with another number for its lens."""
        return replace(self, camera_id=camera_id)


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenPoses:
    """Posed images in the order of their source."""

    source: str
    """nerfstudio, colmap, or the name of a backend."""
    cameras: Mapping[int, ColmapCamera]
    frames: Sequence[GivenFrame]
    warnings: Sequence[str] = field(default=())
    """What was left out, and why, in words."""


def checked_pose(matrix: Any, name: str, *, file: str) -> Float:
    """Return ``matrix`` (3x4 or 4x4) as a (4, 4) rigid motion, its rotation made exact. Raises ``BadPoses``."""
    try:
        values = np.array(matrix, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BadPoses(f"{file}: the pose of {name} is no matrix of numbers", file=file) from None
    if values.shape not in {(3, 4), (4, 4)}:
        raise BadPoses(f"{file}: the pose of {name} is {values.shape}, not 3x4 or 4x4", file=file)
    if not np.isfinite(values).all():
        raise BadPoses(f"{file}: the pose of {name} holds numbers that are not finite", file=file)
    if len(values) == 4 and np.abs(values[3] - [0, 0, 0, 1]).max() > ORTHOGONAL:
        raise BadPoses(f"{file}: the last row of the pose of {name} is {values[3].tolist()}, not 0 0 0 1", file=file)
    rotation = values[:3, :3]
    skew, determinant = np.abs(rotation @ rotation.T - np.eye(3)).max(), np.linalg.det(rotation)
    if skew > ORTHOGONAL or abs(determinant - 1) > ORTHOGONAL:
        cause = f"{file}: the pose of {name} is no rotation: determinant {determinant:.4g}, off by {skew:.2g}"
        raise BadPoses(cause, file=file)
    if np.abs(values[:3, 3]).max() > FARTHEST:
        raise BadPoses(f"{file}: the pose of {name} lies {np.abs(values[:3, 3]).max():.2g} units away", file=file)
    u, _, vt = np.linalg.svd(rotation)
    return rigid(u @ vt, values[:3, 3])


def checked_camera(camera: ColmapCamera, name: str, *, file: str) -> ColmapCamera:
    """Return ``camera`` when its numbers can be a lens. Raises ``BadPoses`` naming the image that it belongs to."""
    fx, fy, cx, cy = intrinsics(camera)
    longer = max(camera.width_px, camera.height_px)
    sane = (
        np.isfinite(camera.params).all()
        and min(camera.width_px, camera.height_px) > 0
        and 0 < min(fx, fy) <= max(fx, fy) <= MAX_FOCAL_RATIO * longer
        and max(abs(cx), abs(cy)) <= 2 * longer
    )
    if not sane:
        shown = f"{camera.width_px}x{camera.height_px} px, {camera.model} {list(camera.params)}"
        raise BadPoses(f"{file}: the camera of {name} cannot be right: {shown}", file=file)
    return camera


def resized(camera: ColmapCamera, width_px: int, height_px: int) -> ColmapCamera:
    """Return the lens for the same picture resampled to another size.

    Raises ``ValueError`` where the shape differs by more than 1 %: the picture was cropped or turned.
    """
    sx, sy = width_px / camera.width_px, height_px / camera.height_px
    if abs(sx / sy - 1) > SAME_ASPECT:
        raise ValueError(f"{camera.width_px}x{camera.height_px} px is not the shape of {width_px}x{height_px} px")
    if sx == sy == 1:
        return camera
    fx, fy, cx, cy = intrinsics(camera)
    bend = coefficients(camera)
    scaled = (fx * sx, fy * sy, cx * sx, cy * sy)
    if any(bend):
        return ColmapCamera(model="OPENCV", width_px=width_px, height_px=height_px, params=(*scaled, *bend))
    return ColmapCamera(model="PINHOLE", width_px=width_px, height_px=height_px, params=scaled)


def placed(given: GivenPoses, sets: Mapping[str, tuple[str, Sequence[str]]]) -> list[dict[str, Any]]:
    """Return rows of ``tables.GIVEN`` of the frames whose image is part of the job.

    ``sets``: by video_id, the folder of an image set in the upload ("." for the upload itself) and its images' names.
    """
    at = {
        str(PurePosixPath(folder) / name): (video_id, index)
        for video_id, (folder, names) in sets.items()
        for index, name in enumerate(names)
    }
    return [given_row(frame, *at[frame.name]) for frame in given.frames if frame.name in at]


def given_row(frame: GivenFrame, video_id: str, frame_index: int) -> dict[str, Any]:
    """Return a row of ``tables.GIVEN``."""
    quat = quat_from_rotation(frame.cam_from_world[:3, :3]).tolist()
    return {
        "video_id": video_id,
        "frame_index": frame_index,
        "name": frame.name,
        "lens_id": frame.camera_id,
        **dict(zip(("qw", "qx", "qy", "qz"), quat, strict=True)),
        **dict(zip(("tx", "ty", "tz"), frame.cam_from_world[:3, 3].tolist(), strict=True)),
        "confidence": frame.confidence,
        "pts_s": None,
    }


def only_posed(frames: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``frames`` (rows of ``tables.FRAMES``) that have a pose in ``rows`` of ``tables.GIVEN``."""
    keys = ["video_id", "frame_index"]
    return frames.merge(rows[keys], on=keys, how="inner").reset_index(drop=True)


def lens_ids(rows: pd.DataFrame) -> dict[tuple[str, int], int]:
    """Return the lens of each row of ``tables.GIVEN``, by video_id and frame_index."""
    return {
        (str(video), int(frame)): int(lens)
        for video, frame, lens in zip(rows["video_id"], rows["frame_index"], rows["lens_id"], strict=True)
    }


def of_keyframes(rows: pd.DataFrame, keyframes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``tables.GIVEN`` of ``keyframes``, with ``keyframe_id``, in the order of keyframes."""
    keys = ["video_id", "frame_index"]
    return keyframes[["keyframe_id", *keys]].merge(rows.drop(columns="pts_s"), on=keys, how="inner")


def frames_of(rows: pd.DataFrame) -> list[GivenFrame]:
    """Return the frames that ``rows`` of ``tables.GIVEN`` were written from."""
    return [
        GivenFrame(
            name=row["name"],
            camera_id=int(row["lens_id"]),
            cam_from_world=rigid(
                rotation_from_quat([row[key] for key in ("qw", "qx", "qy", "qz")]),
                np.array([row[key] for key in ("tx", "ty", "tz")]),
            ),
            confidence=None if pd.isna(row["confidence"]) else float(row["confidence"]),
        )
        for row in rows.to_dict("records")
    ]


def lenses_json(cameras: Mapping[int, ColmapCamera]) -> dict[str, dict[str, Any]]:
    """Return what ``cameras.json`` holds, by camera_id: model, width_px, height_px, params in COLMAP's order."""
    return {
        str(camera_id): {
            "model": camera.model,
            "width_px": camera.width_px,
            "height_px": camera.height_px,
            "params": list(camera.params),
        }
        for camera_id, camera in sorted(cameras.items())
    }


def lenses_from_json(values: Mapping[str, Mapping[str, Any]]) -> dict[int, ColmapCamera]:
    """Invert ``lenses_json``."""
    return {
        int(camera_id): ColmapCamera(
            model=each["model"], width_px=each["width_px"], height_px=each["height_px"], params=tuple(each["params"])
        )
        for camera_id, each in values.items()
    }


def without(model: ColmapModel, names: Iterable[str]) -> ColmapModel:
    """Return ``model`` without the images called ``names`` and the points that fewer than two others see."""
    gone = set(names)
    images = {key: image for key, image in model.images.items() if image.name not in gone}
    if len(images) == len(model.images):
        return model
    points = model.points
    owner = np.repeat(np.arange(len(points)), points.track_lengths)
    stays = np.isin(points.track_images, list(images))
    length = np.bincount(owner[stays], minlength=len(points))
    keep = length >= 2
    stays &= keep[owner]
    left = ColmapPoints(
        ids=points.ids[keep],
        xyz=points.xyz[keep],
        rgb=points.rgb[keep],
        error_px=points.error_px[keep],
        track_lengths=length[keep],
        track_images=points.track_images[stays],
        track_keypoints=points.track_keypoints[stays],
    )
    return replace(model, images={key: _seeing(image, left.ids) for key, image in images.items()}, points=left)


def _seeing(image: ColmapImage, ids: NDArray[np.int64]) -> ColmapImage:
    return replace(image, point3d_ids=np.where(np.isin(image.point3d_ids, ids), image.point3d_ids, -1))
