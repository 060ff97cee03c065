"""``transforms.json`` of nerfstudio, instant-ngp, and what Polycam, Record3D and Luma export in that form.

A frame's ``transform_matrix`` is world_from_camera with OpenGL's camera axes (+y up, looking along -z). Intrinsics
stand in the file, in a frame, or both (the frame's count). ``applied_transform`` and ``applied_scale`` are what
nerfstudio did to the world of its source: they are undone, so that the world (and its scale, where that is metric) is
the source's own.
docs.nerf.studio/quickstart/data_conventions.html

The file comes from outside: sizes are capped, numbers must be finite, and names must stay in the upload.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadPoses, UnsafeUpload
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapModel
from splat_pipeline.domain.given import GivenFrame, GivenPoses, checked_camera, checked_pose
from splat_pipeline.domain.rigid import inverse, rigid, rotation_from_quat
from splat_pipeline.domain.strict_json import number_in, parse_object
from splat_pipeline.domain.uploads import safe_name

Float = NDArray[np.float64]
SizeOf = Callable[[str], tuple[int, int]]
"""Width and height in px of an image of the upload, for files that do not say."""

MAX_BYTES = 64 << 20
"""A frame takes about 900 bytes: enough for ``MAX_FRAMES``."""
MAX_FRAMES = 50_000
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
LENSES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
"""Camera models whose parameters are k1, k2, p1, p2 or fewer; "perspective" is nerfstudio's own word."""
ENDINGS = ("", ".png", ".jpg", ".jpeg")
"""Blender's files name images without."""
_UNDISTORT = "Undistort the images first, or export with an OPENCV or PINHOLE camera model."
_NAMED = 5


def read_transforms(text: bytes, *, file: str, images: Collection[str] | None, size_of: SizeOf) -> GivenPoses:
    """Return the poses in a ``transforms.json`` that lies at ``file`` in the upload.

    ``images``: names of the images in the upload, from which those of the frames are found, relative to the folder of
    ``file``; None: no image need be there. A frame without an image is left out with a warning: who drops blurred
    images need not edit the file.

    Raises ``BadPoses`` naming the file and the frame, ``UnsafeUpload`` for a name that leaves the upload.
    """
    data = parse_object(text, file=file, max_bytes=MAX_BYTES)
    world_from_file, scale = _undone(data, file)
    folder = PurePosixPath(file).parent
    cameras: dict[ColmapCamera, int] = {}
    frames: dict[str, GivenFrame] = {}
    missing = []
    for number, frame in enumerate(_frames(data, file)):
        written = _name_of(frame, number, file)
        candidates = (f"{folder / written}{ending}" for ending in ENDINGS)
        name = next((candidate for candidate in candidates if images is None or candidate in images), None)
        pose = _pose_of(frame, written, file=file)
        if name is None:
            missing.append(written)
            continue
        if name in frames:
            raise BadPoses(f"{file}: {name} has two poses", file=file)
        world_from_cam = world_from_file @ pose
        world_from_cam[:3, 3] /= scale
        camera = _lens_of({**data, **frame}, name, file=file, size_of=size_of)
        camera_id = cameras.setdefault(camera, len(cameras))
        frames[name] = GivenFrame(name=name, camera_id=camera_id, cam_from_world=inverse(world_from_cam))
    if not frames:
        raise BadPoses(f"{file}: none of its {len(missing)} frames has an image in the upload", file=file)
    return GivenPoses(
        source="nerfstudio",
        cameras={number: camera for camera, number in cameras.items()},
        frames=list(frames.values()),
        warnings=[_told_missing(missing, len(frames), file)] if missing else [],
    )


def _told_missing(missing: list[str], found: int, file: str) -> str:
    shown = f"{', '.join(missing[:_NAMED])}{' and more' if len(missing) > _NAMED else ''}"
    return f"{file}: {len(missing)} of {len(missing) + found} frames have no image in the upload: {shown}"


def _frames(data: Mapping[str, Any], file: str) -> list[dict[str, Any]]:
    frames = data.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise BadPoses(f"{file} has no list of frames", file=file)
    if len(frames) > MAX_FRAMES:
        raise BadPoses(f"{file} has {len(frames)} frames, {MAX_FRAMES} at most are read", file=file)
    return frames


def _name_of(frame: Mapping[str, Any], number: int, file: str) -> str:
    name = frame.get("file_path")
    if not isinstance(name, str):
        raise BadPoses(f"{file}: frame {number} has no file_path", file=file)
    plain = name.replace("\\", "/").removeprefix("./")
    try:
        return safe_name(plain)
    except UnsafeUpload as error:
        raise UnsafeUpload(f"{file}: frame {number}: {error.cause}", file=file) from None


def _pose_of(frame: Mapping[str, Any], name: str, *, file: str) -> Float:
    return checked_pose(frame.get("transform_matrix"), name, file=file) @ OPENCV_FROM_OPENGL


def _undone(data: Mapping[str, Any], file: str) -> tuple[Float, float]:
    """Return what takes the file's world back to the source's, and the scale to divide by."""
    applied = data.get("applied_transform")
    scale = number_in(data.get("applied_scale", 1.0), "applied_scale", file=file)
    if scale <= 0:
        raise BadPoses(f"{file}: applied_scale is {scale}", file=file)
    return np.eye(4) if applied is None else inverse(checked_pose(applied, "applied_transform", file=file)), scale


def _lens_of(values: Mapping[str, Any], name: str, *, file: str, size_of: SizeOf) -> ColmapCamera:
    """Return the lens of a frame out of its own values over the file's. Radial terms from k3 on must be 0."""
    model = str(values.get("camera_model") or "OPENCV").upper()
    odd = [key for key in ("k3", "k4", "k5", "k6") if values.get(key)]
    if odd or values.get("is_fisheye") or model not in LENSES:
        kind = "fisheye" if values.get("is_fisheye") else " ".join([model, *odd])
        raise BadPoses(f"{file}: {name}: the lens {kind} is not understood", file=file, remedy=_UNDISTORT)

    def number(key: str, default: float) -> float:
        value = values.get(key)
        return default if value is None else number_in(value, f"{name}: {key}", file=file)

    known = values.get("w") is not None and values.get("h") is not None
    width, height = (round(number("w", 0)), round(number("h", 0))) if known else size_of(name)
    fx = number("fl_x", 0.0) or _focal(number("camera_angle_x", 0.0), width)
    fy = number("fl_y", 0.0) or _focal(number("camera_angle_y", 0.0), height) or fx
    bend = tuple(number(key, 0.0) for key in ("k1", "k2", "p1", "p2"))
    place = (number("cx", width / 2), number("cy", height / 2))
    params = (fx or fy, fy, *place)
    lens = ("OPENCV", (*params, *bend)) if any(bend) else ("PINHOLE", params)
    camera = ColmapCamera(model=lens[0], width_px=width, height_px=height, params=lens[1])
    return checked_camera(camera, name, file=file)


def _focal(angle_rad: float, side_px: int) -> float:
    return 0.5 * side_px / math.tan(0.5 * angle_rad) if 0 < angle_rad < math.pi else 0.0


def transforms_of(model: ColmapModel) -> dict[str, Any]:
    """Return what ``transforms.json`` says of ``model``, in its own world; ``read_transforms`` reads it back.

    Images are named as in the model; ``ply_file_path`` names the points that lie beside it in a package.
    """
    frames = []
    for image in sorted(model.images.values(), key=lambda image: image.name):
        cam_from_world = rigid(rotation_from_quat(image.quat), image.translation)
        matrix = inverse(cam_from_world) @ OPENCV_FROM_OPENGL
        lens = _lens_values(model.cameras[image.camera_id])
        frames.append({"file_path": image.name, **lens, "transform_matrix": matrix.tolist()})
    return {"camera_model": "OPENCV", "ply_file_path": "points.ply", "frames": frames}


def _lens_values(camera: ColmapCamera) -> dict[str, float]:
    one = camera.model in {"SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"}
    fx, fy, cx, cy, *bend = (camera.params[0], *camera.params) if one else camera.params
    terms = dict(zip(("k1", "k2", "p1", "p2"), [*bend, 0.0, 0.0, 0.0, 0.0], strict=False))
    return {"w": camera.width_px, "h": camera.height_px, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, **terms}
