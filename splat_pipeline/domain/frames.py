"""A frame by name, and what is measured on one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class FrameRef:
    """A frame to be written: by presentation time, never by a counter alone."""

    name: str
    """Of the file, without ending."""
    frame_index: int
    pts_s: float


@dataclass(frozen=True, kw_only=True)
class FrameMeasure:
    """What was measured on one analysed frame; columns of ``tables.FRAMES`` of the same name say the units."""

    frame_index: int
    pts_s: float
    sharpness: float
    luma_mean: float
    clipped_low: float
    clipped_high: float
    contrast: float
    texture: float
    motion_px: float | None
    parallax: float | None
    rotation_only: bool | None
    difference: float | None
    """Mean absolute luma difference to the analysed frame before, 0 to 255: tells cuts, freezes and repeats."""
    tracked_share: float | None
    """Share of corners of the frame before that were found again."""
    static_share: float | None
    dynamic_share: float | None
    homography_share: float | None = None
    epipolar_share: float | None = None
    shake_px: float | None = None
    shear_px: float | None = None
    noise: float | None = None
    phash: str | None = None
    thumbnail: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    """(H, W, 3) RGB, small and upright, for the contact sheet."""
