"""The path of the preview's camera: about what was filmed, and never where nothing was filmed.

The world is upright with y down: up is -y. An azimuth turns about up, an elevation is above the horizontal plane.
C captured cameras, F frames. ``centers`` (C, 3) and ``axes`` (C, 3), unit viewing directions, in the upright world.
All angles are radians unless the name says degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import Gaussians

Array = NDArray[np.float64]
Kind = Literal["orbit", "arc", "flight"]

MAX_GAP_DEG = 100.0
"""A circle of cameras may have a gap of this size: splats stay good about 50 degrees from the nearest view."""
ELEVATION_DEG = (30.0, 45.0)
"""What shows a scene well, as far as MAX_RISE_DEG lets it."""
MAX_RISE_DEG = 10.0
"""The preview stays this close to the elevations that were filmed."""
FOLLOW_DEG = 20.0
"""Height and distance follow the captured cameras within about this: elsewhere the borders show what nobody filmed."""
JERK_DEG = 60.0
"""Neighbouring captured views that turn by more are not flown between."""
WORSE_DB, LEAST_DB = 4.0, 14.0
"""A captured view that is drawn so much worse than the median, or worse than that, is not flown past."""
Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""nerfstudio's world from ours: x stays, z becomes y, -y becomes z."""
SWING = 0.92
"""Share of the captured arc that is shown."""
MIN_SPREAD = float(np.sin(np.radians(3.0)) ** 2)
"""Viewing axes closer together than this meet nowhere that could be told."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraPath:
    """A loop: the frame after the last is the first."""

    kind: Kind
    because: str
    """Why this kind, in words."""
    target: Array
    """(3,) what is looked at; the middle of the path of a flight."""
    views: tuple[View, ...]


def preview_path(
    gaussians: Gaussians, captured: Sequence[View], camera: Camera, *, frames: int, kind: Kind | None = None
) -> CameraPath:
    """Choose a path of ``frames`` views by ``camera`` from where the captured cameras, in order of time, stood.

    ``kind``: what a person asked for, whatever was filmed. Raises ``ValueError`` without Gaussians, captured cameras or
    frames.
    """
    if not len(gaussians) or not captured or frames < 1:
        raise ValueError(f"no path through {len(gaussians)} Gaussians, {len(captured)} cameras, {frames} frames")
    centers = np.array([view.center for view in captured])
    axes = np.array([view.cam_from_world[2, :3] for view in captured])
    focus, converging = focus_of(centers, axes)
    middle, half = extent_of(gaussians.means, gaussians.opacities, share=0.5)
    chosen, because = _kind(centers, focus if converging else None, middle, half)
    if kind is not None:
        chosen, because = kind, "asked for"
    if chosen == "flight":
        poses = flight(centers, axes, frames=frames)
        return CameraPath(kind="flight", because=because, target=centers.mean(axis=0), views=_views(poses, camera))
    target = focus if converging else middle
    eyes = _around(target, centers, full=chosen == "orbit", frames=frames)
    views = _views([look_at(eye, target) for eye in eyes], camera)
    return CameraPath(kind=chosen, because=because, target=target, views=views)


def _kind(centers: Array, focus: Array | None, middle: Array, half: float) -> tuple[Kind, str]:
    """Return what suits the capture, and why."""
    if focus is None:
        inside = float(np.mean(np.linalg.norm(centers - middle, axis=1) < half))
        place = f"{inside:.0%} of the cameras stand inside the inner half of the scene"
        return "flight", f"the cameras do not look at one place ({place}): the captured path, smoothed, there and back"
    start, stop = covered(around(focus, centers)[0])
    span_deg = float(np.degrees(stop - start))
    if span_deg >= 360 - MAX_GAP_DEG:
        return "orbit", f"the cameras stand around {span_deg:.0f} degrees: a full turn"
    return "arc", f"the cameras cover {span_deg:.0f} degrees: there and back within them"


def _around(focus: Array, centers: Array, *, full: bool, frames: int) -> Array:
    """Return eyes (F, 3) on a full turn about ``focus``, or there and back within what the cameras covered."""
    azimuth, elevation, distance = around(focus, centers)
    if full:
        turn = azimuth[0] + np.arange(frames) / frames * 2 * np.pi
    else:
        start, stop = covered(azimuth)
        turn = (start + stop) / 2 + np.sin(np.arange(frames) / frames * 2 * np.pi) * (stop - start) / 2 * SWING
    height = _near_filmed(_followed(elevation, azimuth, turn), elevation)
    eyes: Array = focus + _followed(distance, azimuth, turn)[:, None] * direction(turn, height)
    return eyes


def preview_camera(captured: Sequence[View], *, longer_px: int, shorter_px: int) -> Camera:
    """Return the preview's camera: upright when most captured pictures are, with the angle of their shorter side.

    Raises ``ValueError`` without captured cameras.
    """
    if not captured:
        raise ValueError("no captured cameras")
    upright = float(np.median([v.camera.height_px / v.camera.width_px for v in captured])) > 1
    width_px, height_px = (shorter_px, longer_px) if upright else (longer_px, shorter_px)
    slopes = [min(v.camera.width_px / v.camera.fx_px, v.camera.height_px / v.camera.fy_px) for v in captured]
    focal_px = shorter_px / float(np.median(slopes))
    return Camera(
        width_px=width_px, height_px=height_px, fx_px=focal_px, fy_px=focal_px, cx_px=width_px / 2, cy_px=height_px / 2
    )


def extent_of(means: NDArray[np.floating], weights: NDArray[np.floating], *, share: float) -> tuple[Array, float]:
    """Return the weighted median (3,) and the radius about it that holds ``share`` of the weight."""
    points = means.astype(np.float64)
    middle = np.array([_weighted_quantile(points[:, axis], weights, 0.5) for axis in range(3)])
    return middle, _weighted_quantile(np.linalg.norm(points - middle, axis=1), weights, share)


def focus_of(centers: Array, axes: Array) -> tuple[Array, bool]:
    """Return the point (3,) nearest to all viewing axes, and whether the cameras do look at it.

    Each axis asks for I - d d^T times (x - c) = 0; solved for the least sum of distances by reweighting, so that a
    few cameras that look elsewhere do not pull it away.
    """
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    weights = np.ones(len(centers))
    focus = centers.mean(axis=0)
    for _ in range(20):
        system = np.einsum("c,cij->ij", weights, across)
        if np.linalg.eigvalsh(system)[0] < MIN_SPREAD * weights.sum():
            return focus, False
        focus = np.linalg.solve(system, np.einsum("c,cij,cj->i", weights, across, centers))
        miss = np.linalg.norm(np.einsum("cij,cj->ci", across, focus - centers), axis=1)
        weights = 1 / np.maximum(miss, 1e-3 * max(float(np.median(miss)), 1e-12))
    depth = np.einsum("ci,ci->c", axes, focus - centers)
    seen = (depth > 0) & (miss < depth * np.tan(np.radians(25)))
    return focus, bool(np.mean(seen) >= 0.8)


def around(focus: Array, centers: Array) -> tuple[Array, Array, Array]:
    """Return azimuth, elevation and distance (C,) of ``centers`` about ``focus``."""
    x, y, z = (centers - focus).T
    distance = np.sqrt(x * x + y * y + z * z)
    return np.arctan2(x, -z), np.arcsin(np.clip(-y / np.maximum(distance, 1e-12), -1, 1)), distance


def direction(azimuth: Array, elevation: Array) -> Array:
    """Invert ``around``: (F, 3) unit vectors from the focus."""
    flat = np.cos(elevation)
    return np.stack([flat * np.sin(azimuth), -np.sin(elevation), -flat * np.cos(azimuth)], axis=-1)


def covered(azimuth: Array) -> tuple[float, float]:
    """Return the shortest arc [start, stop] that holds every azimuth; stop - start <= 2 pi."""
    around_once = np.sort(np.mod(azimuth, 2 * np.pi))
    gaps = np.diff(around_once, append=around_once[0] + 2 * np.pi)
    widest = int(np.argmax(gaps))
    start = float(around_once[(widest + 1) % len(around_once)])
    return start, start + max(0.0, 2 * np.pi - float(gaps[widest]))


def look_at(eye: Array, target: Array) -> Array:
    """Return cam_from_world (4, 4), OpenCV axes, up in the picture as near to -y as it goes."""
    forward = _normal(target - eye)
    right = np.cross(forward, [0.0, -1.0, 0.0])
    if np.linalg.norm(right) < 1e-6:  # straight up or down: any right will do
        right = np.array([1.0, 0.0, 0.0])
    right = _normal(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ eye
    return pose


def flight(centers: Array, axes: Array, *, frames: int) -> list[Array]:
    """Return poses along the longest unbroken stretch of the captured path, smoothed, there and back."""
    first, stop = _longest_stretch(centers, axes)
    width = max(1.0, (stop - first) / 30)
    smooth_centers, smooth_axes = _smooth(centers[first:stop], width), _smooth(axes[first:stop], width)
    # Near an end the mean is one-sided, and lies off the captured path.
    edge = min(width, (stop - first - 1) / 4)
    at = edge + (0.5 - 0.5 * np.cos(np.arange(frames) / frames * 2 * np.pi)) * (stop - first - 1 - 2 * edge)
    known = np.arange(stop - first)
    eyes = np.stack([np.interp(at, known, smooth_centers[:, i]) for i in range(3)], axis=-1)
    looks = np.stack([np.interp(at, known, smooth_axes[:, i]) for i in range(3)], axis=-1)
    return [look_at(eye, eye + look) for eye, look in zip(eyes, looks, strict=True)]


def nerfstudio_path(path: CameraPath, *, fps: int) -> dict[str, object]:
    """Return the path as nerfstudio reads camera paths: OpenGL axes (-z forward), in its world, whose z is up.

    ``applied_transform`` brings the delivered splat's world there, as ``ns-process-data`` does with COLMAP's; of the
    data parser's own orientation, centring and scale it knows nothing (turn them off, or apply them on top).
    """
    camera = path.views[0].camera
    fov_deg = float(np.degrees(2 * np.arctan(camera.height_px / 2 / camera.fy_px)))
    aspect = camera.width_px / camera.height_px
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    poses = [(Z_UP @ np.linalg.inv(view.cam_from_world) @ flip).ravel().tolist() for view in path.views]
    return {
        "kind": path.kind,
        "because": path.because,
        "world": "z up: applied_transform times the world of the delivered splat",
        "applied_transform": Z_UP[:3].tolist(),
        "camera_type": "perspective",
        "render_width": camera.width_px,
        "render_height": camera.height_px,
        "fps": fps,
        "seconds": len(path.views) / fps,
        "is_cycle": True,
        "camera_path": [{"camera_to_world": pose, "fov": fov_deg, "aspect": aspect} for pose in poses],
    }


def well_drawn(psnr_db: Array) -> NDArray[np.bool_]:
    """Return which captured views (C,) the splat draws well enough to be shown from about there.

    A view that is far below the usual one looks where the splat is mush. At least half of the views are kept.
    """
    middle = float(np.median(psnr_db))
    kept: NDArray[np.bool_] = psnr_db >= min(middle, max(middle - WORSE_DB, LEAST_DB))
    return kept


def _followed(values: Array, azimuth: Array, turn: Array) -> Array:
    """Return what the captured cameras near each azimuth of ``turn`` (F,) had, averaged with a Gaussian window."""
    apart = np.angle(np.exp(1j * (turn[:, None] - azimuth[None, :]))) / np.radians(FOLLOW_DEG)
    # Against the nearest camera: in a gap no weight would be left.
    weights = np.exp(-0.5 * (apart**2 - (apart**2).min(axis=1, keepdims=True)))
    followed: Array = weights @ values / weights.sum(axis=1)
    return followed


def _near_filmed(wanted: Array, elevation: Array) -> Array:
    """Return pleasant heights that are still near the ones that were filmed."""
    pleasant = np.clip(wanted, *np.radians(ELEVATION_DEG))
    near = np.radians(MAX_RISE_DEG)
    clipped: Array = np.clip(pleasant, elevation.min() - near, elevation.max() + near)
    return clipped


def _views(poses: Sequence[Array], camera: Camera) -> tuple[View, ...]:
    return tuple(View(name=f"{i:05d}", camera=camera, cam_from_world=pose) for i, pose in enumerate(poses))


def _longest_stretch(centers: Array, axes: Array) -> tuple[int, int]:
    """Return [first, stop) of the longest run without a jump or a jerk, as from one clip to the next."""
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    level = np.einsum("ci,ci->c", axes[1:], axes[:-1])
    broken = (level < np.cos(np.radians(JERK_DEG))) | (steps > 8 * np.median(steps) if len(steps) else False)
    bounds = np.concatenate([[0], np.flatnonzero(broken) + 1, [len(centers)]])
    longest = int(np.argmax(np.diff(bounds)))
    return int(bounds[longest]), int(bounds[longest + 1])


def _smooth(values: Array, width: float) -> Array:
    at = np.arange(len(values))
    weights = np.exp(-0.5 * ((at[:, None] - at[None, :]) / width) ** 2)
    smoothed: Array = weights / weights.sum(axis=1, keepdims=True) @ values
    return smoothed


def _weighted_quantile(values: NDArray[np.floating], weights: NDArray[np.floating], share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order], dtype=np.float64)
    at = int(np.searchsorted(reached, share * reached[-1]))
    return float(values[order[min(at, len(values) - 1)]])


def _normal(vector: Array) -> Array:
    out: Array = vector / np.linalg.norm(vector)
    return out
