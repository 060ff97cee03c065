"""Which points to trust, and which way is up.

P points, I cameras. World axes after ``upright_from``: -y up, x and z level, COLMAP's custom (y down).
"""

from __future__ import annotations

from collections.abc import Iterable
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
DRONES = ("dji", "parrot", "autel", "skydio")
"""Makers whose cameras fly."""
PLANAR, LINEAR = 0.25, 0.2
"""A camera path is planar below the one ratio of its extents (3rd to 2nd), a line below the other (2nd to 1st)."""
NEAR_UP, NADIR = np.cos(np.radians(25)), np.cos(np.radians(45))
SPREAD = 0.02
"""Mean square of the x axes along their second direction below which all cameras look one way (about 8 degrees)."""
UNDECIDED = 0.3
"""Length of the mean of the cameras' unit upward axes below which they contradict each other."""


def trusted(points: ColmapPoints) -> Mask:
    """Return (P,) the points that are finite, with small error and at least three images.

    Distance is no reason: the wall behind a subject lies at ten times the subject's size. Training without its points
    left the background a fog (docs/lab-notes.md has the figures); COLMAP already drops what has no angle.
    """
    good = np.isfinite(points.xyz).all(1) & (points.error_px <= MAX_ERROR_PX)
    long = good & (points.track_lengths >= MIN_TRACK)
    return long if long.sum() >= FEW else good


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


def is_aerial(scene_type: str, makes: Iterable[object]) -> bool:
    """Say whether it was filmed from the air: the job's ``scene_type`` says so, or ("auto") a maker of the cameras."""
    flying = any(maker in make.lower() for make in makes if isinstance(make, str) for maker in DRONES)
    return scene_type == "aerial" or (scene_type == "auto" and flying)


def upright_from(cam_from_world: Float, points: Float, *, aerial: bool) -> Upright:
    """Return the upright frame of cameras (I, 4, 4) and points (P, 3): origin at the points' median, scale unchanged.

    ``aerial``: see ``up_direction``. The first camera looks along +z as far as it looks level. Raises ``ValueError``
    without camera or point.
    """
    if not (len(cam_from_world) and len(points)):
        raise ValueError(f"need cameras and points, got {len(cam_from_world)} and {len(points)}")
    up, source = up_direction(cam_from_world, aerial=aerial)
    down = -up
    forward = next(axis - (axis @ down) * down for axis in cam_from_world[0, [2, 1, 0], :3] if abs(axis @ down) < 0.9)
    forward = forward / np.linalg.norm(forward)
    rotation = np.stack([np.cross(down, forward), down, forward])
    origin = np.median(points @ rotation.T, axis=0)  # of the turned points: a median by axes depends on the axes
    frame = Similarity(scale=1.0, rotation=rotation, translation=-origin)
    return Upright(world_from_sfm=frame, up_source=source)


def up_direction(cam_from_world: Float, *, aerial: bool) -> tuple[Float, str]:
    """Return the (3,) unit direction that is up, and what said so.

    People hold cameras without roll on average, whichever way they tilt them: up is at right angles to the cameras'
    x axes. Cameras that all look one way leave that open, and the mean of their -y axes must do. A path in one plane
    (an orbit) is level more exactly than hands are, so its normal is taken when it is near.

    Cameras that look along that normal either fly over the ground or pan over a wall, which looks the same: the ground
    is believed when it is known to be ``aerial``, or when the -y axes cancel out, as on the lanes of a survey.
    """
    mean_up = -cam_from_world[:, 1, :3].mean(0)
    decided = bool(np.linalg.norm(mean_up) >= UNDECIDED)
    normal = _plane_normal(-np.einsum("nji,nj->ni", cam_from_world[:, :3, :3], cam_from_world[:, :3, 3]))
    looks = cam_from_world[:, 2, :3].mean(0)
    if normal is not None and abs(normal @ looks) > NADIR and (aerial or not decided):
        return -np.sign(normal @ looks) * normal, "plane of the camera path, seen from above"
    held, source = _unit(mean_up), "mean of the cameras' upward axes"
    level = _level_normal(cam_from_world[:, 0, :3])
    if decided and level is not None:
        held, source = np.sign(level @ held) * level, "horizon of the cameras"
    if decided and normal is not None and abs(normal @ held) > NEAR_UP:
        return np.sign(normal @ held) * normal, "plane of the camera path"
    return held, source


def _level_normal(rights: Float) -> Float | None:
    """Return the direction that (I, 3) unit x axes are at right angles to, when they spread in one plane."""
    spread, axes = np.linalg.eigh(rights.T @ rights / len(rights))
    if spread[1] < SPREAD or spread[0] > PLANAR * spread[1]:
        return None
    normal: Float = axes[:, 0]
    return normal


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
