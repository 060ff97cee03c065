"""COLMAP's rigs and frames, ``rigs.bin`` and ``frames.bin`` or ``.txt`` (colmap.github.io/format, from 3.12 on).

A rig is sensors that hold together; a frame is what they took in one instant, and has the rig's pose. Where a model has
both files COLMAP takes the poses of its images from them, whatever ``images.bin`` says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.colmap import opened
from splat_pipeline.domain.rigid import rigid, rotation_from_quat

Pose = NDArray[np.float64]
CAMERA = 0
"""COLMAP's number of the kind of sensor; others, as gyroscopes, take no pictures."""
HUGE = 1e100
"""No number of a pose: its square would be none."""
KINDS = {"CAMERA": CAMERA, "IMU": 1}
Sensor = tuple[int, int]
"""Kind and id."""
Rigs = Mapping[int, Mapping[Sensor, Pose | None]]
"""By id of the rig: (4, 4) sensor_from_rig of each of its sensors; None where nobody knows it."""


def poses_of_frames(folder: Path) -> dict[int, Pose]:
    """Return (4, 4) cam_from_world by the id of the image, of all that the frames of a model tell; none without them.

    Raises ``CorruptArtifact``: too short for what it promises, no pose, or a rig or sensor that is not there.
    """
    found: dict[int, Pose] = {}
    for ending, rigs_in, frames_in in ((".bin", _rigs, _frames), (".txt", _rigs_text, _frames_text)):
        paths = folder / f"rigs{ending}", folder / f"frames{ending}"
        if not all(path.is_file() for path in paths):
            continue
        try:
            rigs = dict(rigs_in(paths[0]))
            for rig, rig_from_world, sensor, image in frames_in(paths[1]):
                sensor_from_rig = _sensor(rigs, rig, sensor, paths[1].name)
                if sensor[0] == CAMERA and sensor_from_rig is not None:
                    found[image] = sensor_from_rig @ rig_from_world
        except (ValueError, IndexError) as error:
            raise CorruptArtifact(f"{paths[1].name} cannot be read: {error}", file=paths[1].name) from None
        return found
    return found


def _sensor(rigs: Rigs, rig: int, sensor: Sensor, file: str) -> Pose | None:
    if rig not in rigs or sensor not in rigs[rig]:
        raise CorruptArtifact(f"{file} names sensor {sensor[1]} of rig {rig}, which is not there", file=file)
    return rigs[rig][sensor]


def _pose(numbers: tuple[float, ...]) -> Pose:
    """Return (4, 4) of a quaternion, w first, and a translation. Raises ``ValueError``: not finite, no rotation."""
    if len(numbers) != 7 or not (np.abs(numbers) < HUGE).all():
        raise ValueError(f"{numbers} is no pose")
    return np.asarray(rigid(rotation_from_quat(np.array(numbers[:4])), np.array(numbers[4:])), float)


def _rigs(path: Path) -> Iterator[tuple[int, dict[Sensor, Pose | None]]]:
    cursor = opened(path)
    for _ in range(cursor.count(8)):
        rig, count = map(int, cursor.unpack(struct.Struct("<II")))
        sensors: dict[Sensor, Pose | None] = {}
        for number in range(count):
            kind, sensor = map(int, cursor.unpack(struct.Struct("<iI")))
            known = number > 0 and bool(cursor.unpack(struct.Struct("<B"))[0])
            pose = _pose(cursor.unpack(struct.Struct("<7d"))) if known else None
            sensors[kind, sensor] = np.eye(4) if number == 0 else pose
        yield rig, sensors


def _frames(path: Path) -> Iterator[tuple[int, Pose, Sensor, int]]:
    cursor = opened(path)
    for _ in range(cursor.count(8 + 56 + 4)):
        _, rig = map(int, cursor.unpack(struct.Struct("<II")))
        pose = _pose(cursor.unpack(struct.Struct("<7d")))
        (count,) = map(int, cursor.unpack(struct.Struct("<I")))
        for _ in range(count):
            kind, sensor, data = map(int, cursor.unpack(struct.Struct("<iIQ")))
            yield rig, pose, (kind, sensor), data


def _words(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8") as stream:
        yield from (line.split() for line in stream if line.strip() and not line.startswith("#"))


def _kind(word: str) -> int:
    if word not in KINDS:
        raise ValueError(f"{word!r:.40} is no kind of sensor")
    return KINDS[word]


def _rigs_text(path: Path) -> Iterator[tuple[int, dict[Sensor, Pose | None]]]:
    for words in _words(path):
        rig, count, at = int(words[0]), int(words[1]), 4
        sensors: dict[Sensor, Pose | None] = {}
        if count:
            sensors[_kind(words[2]), int(words[3])] = np.eye(4)
        for _ in range(count - 1):
            known = bool(int(words[at + 2]))
            pose = _pose(tuple(map(float, words[at + 3 : at + 10]))) if known else None
            sensors[_kind(words[at]), int(words[at + 1])] = pose
            at += 10 if known else 3
        yield rig, sensors


def _frames_text(path: Path) -> Iterator[tuple[int, Pose, Sensor, int]]:
    for words in _words(path):
        rig, pose, count = int(words[1]), _pose(tuple(map(float, words[2:9]))), int(words[9])
        for number in range(count):
            kind, sensor, data = words[10 + 3 * number : 13 + 3 * number]
            yield rig, pose, (_kind(kind), int(sensor)), int(data)
