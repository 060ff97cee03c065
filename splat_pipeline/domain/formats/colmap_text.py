"""COLMAP's text model, ``cameras.txt``, ``images.txt``, ``points3D.txt`` (colmap.github.io/format), without tracks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints


def read_text_model(folder: Path) -> ColmapModel:
    """Read the three files of ``folder``; keypoints and tracks are left out. Raises ``CorruptArtifact``."""
    cameras, images = read_posed_text(folder)
    try:
        return ColmapModel(cameras=cameras, images=images, points=_points(folder / "points3D.txt"))
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise CorruptArtifact(f"{folder.name} is no COLMAP text model: {error}", file=str(folder)) from error


def read_posed_text(folder: Path) -> tuple[dict[int, ColmapCamera], dict[int, ColmapImage]]:
    """Read cameras and images only, by their ids; keypoints are left out. Raises ``CorruptArtifact``."""
    try:
        return dict(_cameras(folder / "cameras.txt")), dict(_images(folder / "images.txt"))
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise CorruptArtifact(f"{folder.name} is no COLMAP text model: {error}", file=str(folder)) from error


def _lines(path: Path) -> Iterator[str]:
    """Yield all lines but the comments. Empty lines count: an image without keypoints has one."""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if not line.startswith("#"):
                yield line.rstrip("\r\n")


def _cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    for line in filter(None, _lines(path)):
        number, model, width, height, *params = line.split()
        yield (
            int(number),
            ColmapCamera(
                model=model, width_px=int(width), height_px=int(height), params=tuple(float(value) for value in params)
            ),
        )


def _images(path: Path) -> Iterator[tuple[int, ColmapImage]]:
    for count, line in enumerate(_lines(path)):
        if count % 2 or not line:
            continue
        number, *pose, camera_id, name = line.split(maxsplit=9)
        values = np.array([float(value) for value in pose])
        if values.shape != (7,):
            raise ValueError(f"{line!r:.60} is no image")
        yield (
            int(number),
            ColmapImage(
                name=name.strip(),
                camera_id=int(camera_id),
                quat=values[:4],
                translation=values[4:],
                xys=np.zeros((0, 2)),
                point3d_ids=np.zeros(0, np.int64),
            ),
        )


def _points(path: Path) -> ColmapPoints:
    rows = [line.split(maxsplit=8)[:8] for line in filter(None, _lines(path))]
    table = np.array(rows, np.float64).reshape(-1, 8)
    none = np.zeros(0, np.int64)
    return ColmapPoints(
        ids=table[:, 0].astype(np.int64),
        xyz=table[:, 1:4],
        rgb=table[:, 4:7].astype(np.uint8),
        error_px=table[:, 7],
        track_lengths=np.zeros(len(table), np.int64),
        track_images=none,
        track_keypoints=none,
    )
