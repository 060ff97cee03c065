"""Trajectories as the TUM RGB-D benchmark writes them: ``timestamp tx ty tz qx qy qz qw`` a line, world from camera.

cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadPoses
from splat_pipeline.domain.rigid import inverse, quat_from_rotation, rigid, rotation_from_quat

Float = NDArray[np.float64]

MAX_BYTES = 256 << 20
UNIT = 0.01
"""How far the length of a written quaternion may be from 1."""


def read_tum(text: str, *, file: str) -> tuple[Float, Float]:
    """Return times (N,) s and cam_from_world (N, 4, 4). Raises ``BadPoses`` naming the line."""
    times, poses = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        time_s, pose = _row(line, f"{file}: line {number}", file)
        times.append(time_s)
        poses.append(pose)
    if not times:
        raise BadPoses(f"{file} holds no pose", file=file)
    return np.array(times), np.stack(poses)


def _row(line: str, where: str, file: str) -> tuple[float, Float]:
    try:
        values = np.array([float(value) for value in line.replace(",", " ").split()])
    except ValueError:
        values = np.zeros(0)
    if len(values) != 8 or not np.isfinite(values).all():
        raise BadPoses(f"{where} is not eight numbers: {line[:80]!r}", file=file)
    x, y, z, w = values[4:]
    if abs(np.linalg.norm(values[4:]) - 1) > UNIT:
        raise BadPoses(f"{where} has a quaternion of length {np.linalg.norm(values[4:]):.3g}", file=file)
    return float(values[0]), inverse(rigid(rotation_from_quat([w, x, y, z]), values[1:4]))


def write_tum(times_s: Sequence[float], cam_from_world: Float) -> str:
    """Return the text of times (N,) and poses (N, 4, 4)."""
    rows = ["# timestamp tx ty tz qx qy qz qw"]
    for time_s, pose in zip(times_s, cam_from_world, strict=True):
        back = inverse(pose)
        w, x, y, z = quat_from_rotation(back[:3, :3])
        rows.append(" ".join(f"{float(value):.9g}" for value in (time_s, *back[:3, 3], x, y, z, w)))
    return "\n".join(rows) + "\n"
