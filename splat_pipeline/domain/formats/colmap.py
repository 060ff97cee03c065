"""COLMAP's binary model: ``cameras.bin``, ``images.bin``, ``points3D.bin`` (little endian, colmap.github.io/format).

Counts in a file are checked against its size before memory is taken: a forged count must not ask for gigabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact

MODELS: dict[str, tuple[int, int]] = {
    "SIMPLE_PINHOLE": (0, 3),
    "PINHOLE": (1, 4),
    "SIMPLE_RADIAL": (2, 4),
    "RADIAL": (3, 5),
    "OPENCV": (4, 8),
}
"""Name: (number in the file, parameters). The models that ``lens.py`` can undistort."""
_NAMES = {number: name for name, (number, _) in MODELS.items()}
NO_POINT = -1
"""``point3d_ids`` of a keypoint without a 3D point."""
_POINT2D = np.dtype([("x", "<f8"), ("y", "<f8"), ("point3d_id", "<i8")])
_POINT3D = struct.Struct("<Q3d3BdQ")
_IMAGE = struct.Struct("<I4d3dI")


@dataclass(frozen=True, kw_only=True)
class ColmapCamera:
    """Intrinsics as COLMAP orders them."""

    model: str
    width_px: int
    height_px: int
    params: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"camera model {self.model!r} is not one of {', '.join(MODELS)}")
        if len(self.params) != MODELS[self.model][1]:
            raise ValueError(f"{self.model} has {MODELS[self.model][1]} parameters, got {len(self.params)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class ColmapImage:
    """A registered image with its K keypoints."""

    name: str
    camera_id: int
    quat: NDArray[np.float64]
    """(4,) wxyz of cam_from_world."""
    translation: NDArray[np.float64]
    """(3,)."""
    xys: NDArray[np.float64]
    """(K, 2) px, the corner of the image at 0."""
    point3d_ids: NDArray[np.int64]
    """(K,) ``NO_POINT`` where there is none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ColmapPoints:
    """P points and, one after the other, the O observations of all of them."""

    ids: NDArray[np.int64]
    """(P,)."""
    xyz: NDArray[np.float64]
    """(P, 3)."""
    rgb: NDArray[np.uint8]
    """(P, 3)."""
    error_px: NDArray[np.float64]
    """(P,) mean reprojection error as COLMAP left it."""
    track_lengths: NDArray[np.int64]
    """(P,)."""
    track_images: NDArray[np.int64]
    """(O,) image ids."""
    track_keypoints: NDArray[np.int64]
    """(O,) positions in ``xys`` of that image."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class ColmapModel:
    """A reconstruction, by COLMAP's ids."""

    cameras: Mapping[int, ColmapCamera]
    images: Mapping[int, ColmapImage]
    points: ColmapPoints


@dataclass(kw_only=True)
class Cursor:
    """Reads forward through bytes and never past the end. Raises ``CorruptArtifact`` where a file promises more."""

    data: bytes
    file: str
    at: int = 0

    def need(self, size: int) -> int:
        if size < 0 or self.at + size > len(self.data):
            raise CorruptArtifact(
                f"{self.file} ends at byte {len(self.data)} where {size} more after {self.at} are promised",
                file=self.file,
            )
        start, self.at = self.at, self.at + size
        return start

    def unpack(self, layout: struct.Struct) -> tuple[float, ...]:
        return layout.unpack_from(self.data, self.need(layout.size))

    def count(self, record_size: int) -> int:
        (count,) = struct.unpack_from("<Q", self.data, self.need(8))
        if count * record_size > len(self.data) - self.at:
            raise CorruptArtifact(f"{self.file} promises {count} records and is too short for them", file=self.file)
        return int(count)

    def text(self) -> str:
        end = self.data.find(b"\0", self.at)
        start = self.need(end - self.at + 1)
        return self.data[start:end].decode("utf-8", errors="replace")

    def array(self, dtype: np.dtype[np.void] | str, count: int) -> NDArray[np.void]:
        kind = np.dtype(dtype)
        return np.frombuffer(self.data, kind, count, self.need(kind.itemsize * count))


def read_model(folder: Path) -> ColmapModel:
    """Read the three files of ``folder``. Raises ``CorruptArtifact`` naming the file that is absent or too short."""
    return ColmapModel(
        cameras=dict(_cameras(opened(folder / "cameras.bin"))),
        images=dict(_images(opened(folder / "images.bin"))),
        points=_points(opened(folder / "points3D.bin")),
    )


def read_posed(folder: Path) -> tuple[dict[int, ColmapCamera], dict[int, ColmapImage]]:
    """Read cameras and images only, by their ids. Raises ``CorruptArtifact``, and ``ValueError`` for a wrong camera."""
    return dict(_cameras(opened(folder / "cameras.bin"))), dict(_images(opened(folder / "images.bin")))


def opened(path: Path) -> Cursor:
    """Return what reads the file at ``path``. Raises ``CorruptArtifact``: there is none."""
    if not path.is_file():
        raise CorruptArtifact(f"{path.name} is missing from the model", file=path.name)
    return Cursor(data=path.read_bytes(), file=path.name)


def _cameras(cursor: Cursor) -> Iterator[tuple[int, ColmapCamera]]:
    for _ in range(cursor.count(24 + 3 * 8)):
        camera_id, number, width, height = map(int, cursor.unpack(struct.Struct("<IiQQ")))
        name = _NAMES.get(number)
        if name is None:
            raise CorruptArtifact(f"camera model {number} is not one of {sorted(_NAMES)}", file=cursor.file)
        params = cursor.unpack(struct.Struct(f"<{MODELS[name][1]}d"))
        yield camera_id, ColmapCamera(model=name, width_px=width, height_px=height, params=params)


def _images(cursor: Cursor) -> Iterator[tuple[int, ColmapImage]]:
    for _ in range(cursor.count(_IMAGE.size + 1 + 8)):
        image_id, *pose, camera_id = cursor.unpack(_IMAGE)
        name = cursor.text()
        seen = cursor.array(_POINT2D, cursor.count(_POINT2D.itemsize))
        yield (
            int(image_id),
            ColmapImage(
                name=name,
                camera_id=int(camera_id),
                quat=np.array(pose[:4]),
                translation=np.array(pose[4:]),
                xys=np.stack([seen["x"], seen["y"]], axis=1),
                point3d_ids=seen["point3d_id"].astype(np.int64),
            ),
        )


@dataclass(kw_only=True)
class _Rows:
    heads: list[tuple[float, ...]] = field(default_factory=list)
    tracks: list[NDArray[np.void]] = field(default_factory=list)


def _points(cursor: Cursor) -> ColmapPoints:
    rows = _Rows()
    for _ in range(cursor.count(_POINT3D.size)):
        head = cursor.unpack(_POINT3D)
        rows.heads.append(head)
        rows.tracks.append(cursor.array("<u4", 2 * int(head[8])))
    heads = np.array([head[1:8] for head in rows.heads], np.float64).reshape(-1, 7)
    track = np.concatenate(rows.tracks).reshape(-1, 2) if rows.tracks else np.zeros((0, 2), np.uint32)
    return ColmapPoints(
        ids=np.array([head[0] for head in rows.heads], np.int64),
        xyz=heads[:, :3],
        rgb=heads[:, 3:6].astype(np.uint8),
        error_px=heads[:, 6],
        track_lengths=np.array([head[8] for head in rows.heads], np.int64),
        track_images=track[:, 0].astype(np.int64),
        track_keypoints=track[:, 1].astype(np.int64),
    )


def write_model(folder: Path, model: ColmapModel) -> None:
    """Write the three files into ``folder``; ``read_model`` and COLMAP read them back."""
    cameras = [struct.pack("<Q", len(model.cameras))]
    for camera_id, camera in model.cameras.items():
        number, count = MODELS[camera.model]
        cameras.append(struct.pack("<IiQQ", camera_id, number, camera.width_px, camera.height_px))
        cameras.append(struct.pack(f"<{count}d", *camera.params))
    (folder / "cameras.bin").write_bytes(b"".join(cameras))
    images = [struct.pack("<Q", len(model.images))]
    for image_id, image in model.images.items():
        images.append(_IMAGE.pack(image_id, *image.quat, *image.translation, image.camera_id))
        images.append(image.name.encode() + b"\0" + struct.pack("<Q", len(image.xys)))
        seen = np.zeros(len(image.xys), _POINT2D)
        seen["x"], seen["y"], seen["point3d_id"] = image.xys[:, 0], image.xys[:, 1], image.point3d_ids
        images.append(seen.tobytes())
    (folder / "images.bin").write_bytes(b"".join(images))
    (folder / "points3D.bin").write_bytes(b"".join(_packed_points(model.points)))


def _packed_points(points: ColmapPoints) -> Iterator[bytes]:
    yield struct.pack("<Q", len(points))
    track = np.stack([points.track_images, points.track_keypoints], axis=1).astype("<u4")
    ends = np.cumsum(points.track_lengths)
    for i, (end, length) in enumerate(zip(ends, points.track_lengths, strict=True)):
        yield _POINT3D.pack(points.ids[i], *points.xyz[i], *points.rgb[i], points.error_px[i], length)
        yield track[end - length : end].tobytes()
