"""Whether a wider lens model is worth its parameters: SIMPLE_RADIAL to RADIAL with a free principal point.

Pixels stay square and the lens centred on its axis: OPENCV's second focal length and tangential terms gain nothing on
real cameras, and an orbit at one height cannot tell them from tilted cameras (figures in docs/lab-notes.md).

Every parameter more lowers the error that it is fitted to. So it is measured on tracks that were set aside, and it is
not tried at all where little rests on it: then the lens swallows what the path of the camera should explain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapModel
from splat_pipeline.domain.lens import intrinsics
from splat_pipeline.domain.poses import Observations, cam_from_world, observe

MIN_IMAGES = 20
MIN_OBSERVATIONS = 4000
MIN_ANGLE_DEG = 3.0
"""Median triangulation angle: without parallax a shifted principal point is a turned camera."""
MIN_SPREAD_DEG = 10.0
"""Of the directions of view: cameras that all look one way say nothing of the principal point."""
MIN_GAIN = 0.01
"""Share by which the error of the tracks set aside must fall."""
MAX_OFFSET = 0.08
"""Of the principal point from the image's centre, in widths and heights."""
MAX_RADIAL = 0.5
MAX_FOCAL_CHANGE = 0.1
MAX_SHIFT = 0.03
"""Of the camera centres, in extents of the path: a lens does not bend a path, a weak one does."""


@dataclass(frozen=True, kw_only=True)
class Footing:
    """What the intrinsics of one camera rest on."""

    images: int
    observations: int
    angle_deg: float
    """Median triangulation angle."""
    spread_deg: float
    """Root mean square angle of the directions of view from their mean."""

    @property
    def weakness(self) -> str | None:
        """What is missing for a wider lens model, in words."""
        for value, least, what in (
            (self.images, MIN_IMAGES, "images"),
            (self.observations, MIN_OBSERVATIONS, "observations"),
            (self.angle_deg, MIN_ANGLE_DEG, "degrees of triangulation angle"),
            (self.spread_deg, MIN_SPREAD_DEG, "degrees between the directions of view"),
        ):
            if not value >= least:
                return f"{value:.4g} {what}, {least:g} are needed"
        return None


def footing(model: ColmapModel, camera_id: int, seen: Observations | None = None) -> Footing:
    """Return what the intrinsics of a camera rest on. ``seen``: ``observe(model)``, when it is known."""
    seen = seen or observe(model)
    mine = [image_id for image_id, image in model.images.items() if image.camera_id == camera_id]
    axes = np.array([cam_from_world(model, image_id)[2, :3] for image_id in mine]).reshape(-1, 3)
    angles = seen.angle_deg[np.isin(seen.image_id, mine)]
    return Footing(
        images=len(mine),
        observations=len(angles),
        angle_deg=float(np.median(angles)) if len(angles) else 0.0,
        spread_deg=_spread_deg(axes),
    )


def _spread_deg(axes: NDArray[np.float64]) -> float:
    """Of (N, 3) unit vectors; their mean may vanish, as of an orbit: then they could not be spread wider."""
    mean = axes.sum(0)
    length = np.linalg.norm(mean)
    if length < 1e-6 * max(1, len(axes)):
        return 180.0 if len(axes) > 1 else 0.0
    angles = np.degrees(np.arccos(np.clip(axes @ (mean / length), -1, 1)))
    return float(np.sqrt((angles**2).mean()))


@dataclass(frozen=True, kw_only=True)
class Widening:
    """What was measured of a wider lens model."""

    narrow_px: float
    """Median error on the tracks set aside, of the model as it was, refined in the same way."""
    wide_px: float
    shift: float
    """Largest move of a camera centre between both, after alignment, in extents of the path."""

    @property
    def refusal(self) -> str | None:
        """Why the wider model is not kept; None when it is."""
        gain = 1 - self.wide_px / self.narrow_px if self.narrow_px > 0 else 0.0
        if not gain >= MIN_GAIN:
            return f"tracks set aside: {self.narrow_px:.3f} px before, {self.wide_px:.3f} px after"
        if not self.shift <= MAX_SHIFT:
            return f"camera centres would move by {100 * self.shift:.1f} % of the path's extent"
        return None


def insane(before: ColmapCamera, after: ColmapCamera) -> str | None:
    """Say what of a RADIAL camera cannot be right; None when nothing is."""
    focal, cx, cy, k1, k2 = after.params
    offset = max(abs(cx / after.width_px - 0.5), abs(cy / after.height_px - 0.5))
    for value, most, what in (
        (offset, MAX_OFFSET, "of the image is the principal point off its centre"),
        (max(abs(k1), abs(k2)), MAX_RADIAL, "radial distortion"),
        (abs(focal / intrinsics(before)[0] - 1), MAX_FOCAL_CHANGE, "change of the focal length"),
    ):
        if not value <= most:
            return f"{value:.3g} {what}, at most {most:g} is believed"
    return None
