"""Which frames are worth keeping: measures in, decisions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import Blurred, NoTexture, StaticCamera, TooDark, TooShort, WeakFootage


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


LEAST_FRAMES, LEAST_S = 8, 2.0
DARK_LUMA = 14.0
BLURRED_BELOW = 0.006
"""Variance of the Laplacian over variance of luma: 0.035 and more for every clip that we have, 0.0015 for one behind a
Gaussian of sigma 10. Not a rank of sharpness, only the question whether anything is in focus at all."""
BARE_BELOW = 0.04
STILL_ABOVE, BACKGROUND_STILL_ABOVE = 0.5, 0.1
"""Median and tenth percentile of the share of corners that stand still over 0.5 s. Measured: fixed cameras 0.79 and
0.77, a box turned by hand before one 0.19 and 0.15, every moving camera 0.00 (and 0.00 at the 95th percentile)."""
STANDS_PX = 0.15
"""Median motion between analysed frames below which nothing moves."""


def judge_clip(measures: Sequence[FrameMeasure], *, name: str, images: bool = False) -> WeakFootage | None:
    """Return why no splat can come of a clip (or image set), or None. Cheap: it runs before anything expensive."""
    times = [m.pts_s for m in measures]
    span = "" if images or not times else f" between {times[0]:.1f} s and {times[-1]:.1f} s"
    if len(measures) < LEAST_FRAMES or (not images and times[-1] - times[0] < LEAST_S):
        seconds = "" if images or not times else f" over {times[-1] - times[0]:.1f} s"
        what = "images" if images else "frames that were read"
        return TooShort(f"{name} has {len(measures)} {what}{seconds}", file=name)
    about = f"{name}{span} ({len(measures)} frames)"
    luma = _median(measures, "luma_mean")
    if luma < DARK_LUMA:
        return TooDark(f"{about}: median brightness {luma:.0f} of 255, at least {DARK_LUMA:.0f} is needed", file=name)
    texture = _median(measures, "texture")
    if texture < BARE_BELOW:
        return NoTexture(f"{about}: {texture:.0%} of the corners looked for, {BARE_BELOW:.0%} are needed", file=name)
    focus = float(np.median([m.sharpness / max(m.contrast, 1.0) ** 2 for m in measures]))
    if focus < BLURRED_BELOW:
        return Blurred(f"{about}: nothing is in focus (detail {focus:.4f}, least {BLURRED_BELOW})", file=name)
    return _judge_motion(measures, about, name=name)


def _judge_motion(measures: Sequence[FrameMeasure], about: str, *, name: str) -> StaticCamera | None:
    still = [m.static_share for m in measures if m.static_share is not None]
    motion = [m.motion_px for m in measures if m.motion_px is not None]
    if len(still) >= LEAST_FRAMES and np.median(still) > STILL_ABOVE:
        share = float(np.median(still))
        return StaticCamera(f"{about}: {share:.0%} of the corners stand still, so the camera does", file=name)
    if len(still) >= LEAST_FRAMES and np.percentile(still, 10) > BACKGROUND_STILL_ABOVE:
        share = float(np.percentile(still, 10))
        cause = f"{share:.0%} of the corners never move while others do: something turns before a fixed camera"
        return StaticCamera(f"{about}: {cause}", file=name)
    if len(motion) >= LEAST_FRAMES and np.median(motion) < STANDS_PX:
        return StaticCamera(f"{about}: median motion {np.median(motion):.2f} px a frame", file=name)
    return None


def _median(measures: Sequence[FrameMeasure], column: str) -> float:
    return float(np.median([getattr(m, column) for m in measures]))
