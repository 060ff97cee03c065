"""How a stored picture is turned and mirrored to be seen as it was filmed.

A picture is first mirrored (left becomes right), then turned clockwise by quarters: each of the eight ways to lay a
rectangle on a grid is one such pair.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MATRIX_BYTES = 36


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """What is done to a stored picture before it is shown."""

    mirrored: bool = False
    """Left and right are exchanged, before the turn."""
    quarters: int = 0
    """Clockwise quarter turns, 0 to 3."""

    @property
    def rotation_deg(self) -> int:
        """The clockwise turn in degrees: 0, 90, 180 or 270."""
        return self.quarters * 90

    def shown(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return (width, height) as shown of a stored size; its own inverse."""
        return (height_px, width_px) if self.quarters % 2 else (width_px, height_px)

    def applied(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a stored picture (H, W) or (H, W, C) as it is shown, contiguous."""
        facing = picture[:, ::-1] if self.mirrored else picture
        return np.ascontiguousarray(np.rot90(facing, -self.quarters))


AS_STORED = Orientation()

BY_EXIF = {
    1: AS_STORED,
    2: Orientation(mirrored=True),
    3: Orientation(quarters=2),
    4: Orientation(mirrored=True, quarters=2),
    5: Orientation(mirrored=True, quarters=3),
    6: Orientation(quarters=1),
    7: Orientation(mirrored=True, quarters=1),
    8: Orientation(quarters=3),
}
"""By the value of EXIF's tag 0x0112 (EXIF 2.32, 4.6.4 A)."""


def from_display_matrix(data: bytes) -> Orientation:
    """Return the orientation that a display matrix asks for: nine int32 in the byte order of the machine.

    The matrix is that of ISO/IEC 14496-12 8.2.2 (a b u; c d v; x y w; a to d in 16.16 fixed point), as FFmpeg hands it
    on: a stored point (p, q), q down, is shown at (a p + c q + x, b p + d q + y). A turn between two quarters goes to
    the nearer one; a matrix that is none (short, or without area) changes nothing.
    """
    if len(data) < MATRIX_BYTES:
        return AS_STORED
    a, b, _, c, d, *_ = struct.unpack("=9i", data[:MATRIX_BYTES])
    area = a * d - b * c
    if area == 0:
        return AS_STORED
    mirrored = area < 0
    right = (-a, -b) if mirrored else (a, b)  # where the picture's right side goes, once it is mirrored
    return Orientation(mirrored=mirrored, quarters=round(math.atan2(right[1], right[0]) / (math.pi / 2)) % 4)
