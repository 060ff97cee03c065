"""Cameras with their poses, in either way that they are handed over: a COLMAP model, or a ``transforms.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import numpy as np

from splat_pipeline.domain.errors import BadPoses, CorruptArtifact, InputError
from splat_pipeline.domain.formats.colmap import ColmapImage, ColmapModel, ColmapPoints, read_model, write_model
from splat_pipeline.domain.formats.colmap_text import read_text_model
from splat_pipeline.domain.formats.transforms import MAX_BYTES, read_transforms, transforms_of
from splat_pipeline.domain.rigid import quat_from_rotation


def holds_cameras(path: Path) -> bool:
    """Return whether ``path`` is, or would be, a COLMAP model (a folder) or a ``transforms.json``."""
    return path.is_dir() or path.suffix == ".json" or (not path.suffix and not path.exists())


def read_cameras(path: Path) -> ColmapModel:
    """Read a folder that holds a COLMAP model, binary or text, or a ``transforms.json``, whose model has no points.

    Poses are ``cam_from_world`` in the file's own world; what nerfstudio did to it is undone. Raises ``BadPoses``,
    ``CorruptArtifact``, ``InputError``.
    """
    if path.is_dir():
        try:
            return read_model(path) if (path / "cameras.bin").is_file() else read_text_model(path)
        except (CorruptArtifact, ValueError) as error:
            raise BadPoses(f"{path.name} is no COLMAP model that can be read: {error}", file=path.name) from None
    if not path.is_file():
        raise InputError(f"there is no file at {path}", file=path.name, remedy="Check the path.")
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    given = read_transforms(text, file=path.name, images=None, size_of=_unsaid)
    images = {
        number: ColmapImage(
            name=frame.name,
            camera_id=frame.camera_id,
            quat=quat_from_rotation(frame.cam_from_world[:3, :3]),
            translation=frame.cam_from_world[:3, 3],
            xys=np.zeros((0, 2)),
            point3d_ids=np.zeros(0, np.int64),
        )
        for number, frame in enumerate(given.frames, start=1)
    }
    return ColmapModel(cameras=given.cameras, images=images, points=no_points())


def write_cameras(path: Path, model: ColmapModel) -> None:
    """Write ``path``: a ``transforms.json`` where its name ends so, or else a folder with the files of COLMAP."""
    if path.suffix == ".json":
        path.write_text(json.dumps(transforms_of(model), indent=1))
        return
    path.mkdir(parents=True, exist_ok=True)
    write_model(path, model)


def no_points() -> ColmapPoints:
    """Return none."""
    none = np.zeros(0, np.int64)
    return ColmapPoints(
        ids=none,
        xyz=np.zeros((0, 3)),
        rgb=np.zeros((0, 3), np.uint8),
        error_px=np.zeros(0),
        track_lengths=none,
        track_images=none,
        track_keypoints=none,
    )


def _unsaid(name: str) -> NoReturn:
    raise BadPoses(f"the file does not say how large {name} is")
