"""Which way is up, as far as cameras and their path tell. I cameras, P points.

People and gimbals hold cameras without roll on average, whichever way they tilt them: up is at right angles to the
cameras' x axes. Cameras that all look one way leave the tilt open; then the path must say it, or else the mean of
their -y axes must do. A path in one plane (an orbit) is level more exactly than hands are.

Cameras that look along the normal of their path's plane either fly over the ground or pan over a wall, which looks the
same: the ground is believed when it is known to be filmed from the air, or when the -y axes cancel out, as on the lanes
of a survey.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

DRONES = ("dji", "parrot", "autel", "skydio")
"""Makers whose cameras fly."""
PLANAR, LINEAR = 0.25, 0.2
"""A camera path is planar below the one ratio of its extents (3rd to 2nd), a line below the other (2nd to 1st)."""
NEAR_UP, NADIR = np.cos(np.radians(25)), np.cos(np.radians(45))
"""How near the path's normal must be to what the cameras say, where they know their tilt and where they do not."""
SPREAD = 0.02
"""Mean square of the x axes along their second direction below which all cameras look one way (about 8 degrees)."""
UNDECIDED = 0.3
"""Length of the mean of the cameras' unit upward axes below which they contradict each other."""
SIDED = 0.3
"""Cosine below which the cameras' -y axes do not say which side of a plane is up."""
APART = np.sin(np.radians(20))
"""Between a line of motion and the x axes: nearer ones do not make a plane."""
FLAT = 0.5
"""Ground: 3rd to 2nd extent of its points."""


def is_aerial(scene_type: str, makes: Iterable[object]) -> bool:
    """Say whether it was filmed from the air: the job's ``scene_type`` says so, or ("auto") a maker of the cameras."""
    flying = any(maker in make.lower() for make in makes if isinstance(make, str) for maker in DRONES)
    return scene_type == "aerial" or (scene_type == "auto" and flying)


def up_direction(cam_from_world: Float, points: Float, *, aerial: bool) -> tuple[Float, str]:
    """Return the (3,) unit direction that is up, and what said so, of cameras (I, 4, 4) and points (P, 3)."""
    rights, looks = cam_from_world[:, 0, :3], cam_from_world[:, 2, :3].mean(0)
    mean_up = -cam_from_world[:, 1, :3].mean(0)
    decided = bool(np.linalg.norm(mean_up) >= UNDECIDED)
    normal, line = _path(-np.einsum("nji,nj->ni", cam_from_world[:, :3, :3], cam_from_world[:, :3, 3]))
    if normal is not None and abs(normal @ looks) > NADIR and (aerial or not decided):
        return _facing(normal, -looks), "plane of the camera path, seen from above"
    held, source = _unit(mean_up), "mean of the cameras' upward axes"
    level = _level_normal(rights)
    if level is not None and decided and abs(level @ held) > SIDED:
        held, source = _facing(level, held), "horizon of the cameras"
    elif level is not None and abs(level @ looks) > NADIR and (aerial or not decided):
        return _facing(level, -looks), "horizon of the cameras, seen from above"
    else:  # cameras that roll while they look one way have no horizon
        level = None
    if decided and normal is not None and abs(normal @ held) > (NADIR if level is None else NEAR_UP):
        return _facing(normal, held), "plane of the camera path"
    if level is not None:
        return held, source
    return _one_way(rights, looks, line, points, aerial=aerial, held=held if decided else None) or (held, source)


def _one_way(
    rights: Float, looks: Float, line: Float | None, points: Float, *, aerial: bool, held: Float | None
) -> tuple[Float, str] | None:
    """Return up of cameras that all look one way: at right angles to them and to the line in which they move.

    What moves straight is level: slopes are gentler than the ways in which people tilt a camera. From the air, the
    ground's own plane is the last resort. None: neither tells.
    """
    across = np.zeros(3) if line is None else np.cross(_unit(rights.mean(0)), line)
    if np.linalg.norm(across) > APART:
        across = _unit(across)
        if held is not None and abs(across @ held) > NADIR:
            return _facing(across, held), "line of the camera path and horizon of the cameras"
        if aerial and abs(across @ looks) > NADIR:
            return _facing(across, -looks), "line of the camera path and horizon of the cameras, seen from above"
    ground = _ground_normal(points) if aerial else None
    if ground is not None and abs(ground @ looks) > SIDED:
        return _facing(ground, -looks), "plane of the ground"
    return None


def _level_normal(rights: Float) -> Float | None:
    """Return the direction that (I, 3) unit x axes are at right angles to, when they spread in one plane."""
    spread, axes = np.linalg.eigh(rights.T @ rights / len(rights))
    if spread[1] < SPREAD or spread[0] > PLANAR * spread[1]:
        return None
    normal: Float = axes[:, 0]
    return normal


def _path(centers: Float) -> tuple[Float | None, Float | None]:
    """Return the normal of the plane in which (I, 3) camera centres lie, or the direction of their line."""
    if len(centers) < 4:
        return None, None
    _, extents, axes = np.linalg.svd(centers - centers.mean(0), full_matrices=False)
    if extents[0] == 0:
        return None, None
    if extents[1] <= LINEAR * extents[0]:
        return None, axes[0]
    return (None if extents[2] >= PLANAR * extents[1] else axes[2]), None


def _ground_normal(points: Float) -> Float | None:
    """Return the normal of the plane about which the nearer 90 % of the points (P, 3) lie; None where they do not."""
    if len(points) < 4:
        return None
    far = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    near = points[far <= np.quantile(far, 0.9)]
    _, extents, axes = np.linalg.svd(near - np.median(near, axis=0), full_matrices=False)
    normal: Float = axes[2]
    return normal if extents[2] < FLAT * extents[1] else None


def _facing(normal: Float, side: Float) -> Float:
    """Return ``normal``, turned round where it points away from ``side``."""
    return normal if normal @ side >= 0 else -normal


def _unit(vector: Float) -> Float:
    length = np.linalg.norm(vector)
    return np.array([0.0, -1.0, 0.0]) if length < 1e-9 else vector / length
