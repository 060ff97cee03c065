"""Point clouds as PLY: binary little endian, ``x y z red green blue`` (Turk 1994), as COLMAP writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact

_COLORS = ("red", "green", "blue")
_VERTEX = np.dtype([*((name, "<f4") for name in "xyz"), *((name, "u1") for name in _COLORS)])
_BEFORE = "ply\nformat binary_little_endian 1.0\nelement vertex "
_AFTER = (
    "\n"
    + "".join(f"property float {name}\n" for name in "xyz")
    + "".join(f"property uchar {name}\n" for name in _COLORS)
    + "end_header\n"
)


def write_points(path: Path, xyz: NDArray[np.float32], rgb: NDArray[np.uint8]) -> None:
    """Write P points: xyz (P, 3) world units, rgb (P, 3) sRGB."""
    vertices = np.zeros(len(xyz), _VERTEX)
    for i, name in enumerate("xyz"):
        vertices[name] = xyz[:, i]
    for i, name in enumerate(_COLORS):
        vertices[name] = rgb[:, i]
    path.write_bytes(f"{_BEFORE}{len(xyz)}{_AFTER}".encode() + vertices.tobytes())


def read_points(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Read what ``write_points`` wrote: (P, 3) float32 and (P, 3) uint8. Raises ``CorruptArtifact`` on others."""
    data = path.read_bytes()
    head, found, body = data.partition(_AFTER.encode())
    digits = head.removeprefix(_BEFORE.encode())
    count = int(digits) if found and digits != head and digits.isdigit() else -1
    if count * _VERTEX.itemsize != len(body):
        raise CorruptArtifact(f"{path.name} is not a point cloud of this pipeline, or was cut off", file=path.name)
    vertices = np.frombuffer(body, _VERTEX)
    xyz = np.stack([vertices[name] for name in "xyz"], axis=1)
    return xyz, np.stack([vertices[name] for name in _COLORS], axis=1)
