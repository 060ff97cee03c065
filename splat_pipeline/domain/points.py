"""Which points to trust, and which way is up.

P points, I cameras. World axes after ``upright_from``: -y up, x and z level, COLMAP's custom (y down).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.formats.colmap import ColmapPoints
from splat_pipeline.domain.rigid import Similarity

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_ERROR_PX = 2.0
MIN_TRACK = 3
FEW = 100
"""With fewer points than this after filtering, points seen by two images are taken too."""
FAR = 6.0
"""Times the median distance from the median point: beyond, a point is an outlier (or the horizon)."""
PLANAR, LINEAR = 0.25, 0.2
"""A camera path is planar below the one ratio of its extents (3rd to 2nd), a line below the other (2nd to 1st)."""
NEAR_UP, NADIR = np.cos(np.radians(35)), np.cos(np.radians(45))


def trusted(points: ColmapPoints) -> Mask:
    """Return (P,) the points with small error, at least three images, finite, and not far outside."""
    good = np.isfinite(points.xyz).all(1) & (points.error_px <= MAX_ERROR_PX)
    long = good & (points.track_lengths >= MIN_TRACK)
    kept = long if long.sum() >= FEW else good
    if not kept.any():
        return kept
    distance = np.linalg.norm(points.xyz - np.median(points.xyz[kept], axis=0), axis=1)
    near: Mask = kept & (distance <= FAR * np.median(distance[kept]))
    return near


def point_rows(points: ColmapPoints, keep: Mask, world_from_sfm: Similarity) -> pd.DataFrame:
    """Return the rows of ``tables.POINTS`` of the points under ``keep`` (P,)."""
    xyz = world_from_sfm.points(points.xyz[keep]).astype(np.float32)
    rgb = points.rgb[keep]
    return pd.DataFrame(
        {
            **{name: xyz[:, i] for i, name in enumerate("xyz")},
            **{name: rgb[:, i] for i, name in enumerate(("red", "green", "blue"))},
            "error_px": points.error_px[keep].astype(np.float32),
            "track_length": points.track_lengths[keep].astype(np.int32),
        }
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Upright:
    """The frame in which the splat is delivered."""

    world_from_sfm: Similarity
    up_source: str
    """What said which way is up, in words."""

    def to_json(self) -> dict[str, Any]:
        """Return what ``frame_of_reference.json`` holds."""
        return {"world_from_sfm": self.world_from_sfm.to_json(), "up_source": self.up_source, "scale_source": "none"}


def upright_from(cam_from_world: Float, points: Float) -> Upright:
    """Return the upright frame of cameras (I, 4, 4) and points (P, 3): origin at the points' median, scale unchanged.

    The first camera looks along +z as far as it looks level. Raises ``ValueError`` without camera or point.
    """
    if not (len(cam_from_world) and len(points)):
        raise ValueError(f"need cameras and points, got {len(cam_from_world)} and {len(points)}")
    up, source = up_direction(cam_from_world)
    down = -up
    forward = next(axis - (axis @ down) * down for axis in cam_from_world[0, [2, 1, 0], :3] if abs(axis @ down) < 0.9)
    forward = forward / np.linalg.norm(forward)
    rotation = np.stack([np.cross(down, forward), down, forward])
    origin = np.median(points, axis=0)
    frame = Similarity(scale=1.0, rotation=rotation, translation=-rotation @ origin)
    return Upright(world_from_sfm=frame, up_source=source)


def up_direction(cam_from_world: Float) -> tuple[Float, str]:
    """Return the (3,) unit direction that is up, and what said so.

    People hold cameras level on average: the mean of the cameras' -y axes. A path in one plane (an orbit, a survey
    flight) is level more exactly than hands are, so its normal is taken when it is near that mean, or when the cameras
    look along it (from above; then their -y axes lie in the ground plane and say nothing).
    """
    held = _unit(-cam_from_world[:, 1, :3].mean(0))
    looks = cam_from_world[:, 2, :3].mean(0)
    normal = _plane_normal(-np.einsum("nji,nj->ni", cam_from_world[:, :3, :3], cam_from_world[:, :3, 3]))
    if normal is not None and abs(normal @ looks) > NADIR and abs(normal @ held) < 1 - NADIR:
        return -np.sign(normal @ looks) * normal, "plane of the camera path, seen from above"
    if normal is not None and abs(normal @ held) > NEAR_UP:
        return np.sign(normal @ held) * normal, "plane of the camera path"
    return held, "mean of the cameras' upward axes"


def _plane_normal(centers: Float) -> Float | None:
    if len(centers) < 4:
        return None
    _, extents, axes = np.linalg.svd(centers - centers.mean(0), full_matrices=False)
    if extents[1] <= LINEAR * extents[0] or extents[2] >= PLANAR * extents[1]:
        return None
    normal: Float = axes[2]
    return normal


def _unit(vector: Float) -> Float:
    length = np.linalg.norm(vector)
    return np.array([0.0, -1.0, 0.0]) if length < 1e-9 else vector / length
