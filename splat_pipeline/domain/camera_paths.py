"""The path of the preview's camera: about what was filmed, and never where nothing was filmed.

Axes, angles and letters as in ``orbit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.flights import flight
from splat_pipeline.domain.framing import subject_of
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import around, covered, extent_of, focus_of
from splat_pipeline.domain.turns import Lost, azimuths_of, turn_about, views_of

Array = NDArray[np.float64]
Kind = Literal["orbit", "arc", "flight"]

MAX_GAP_DEG = 100.0
"""A circle of cameras may have a gap of this size: splats stay good about 50 degrees from the nearest view."""
WORSE_DB, LEAST_DB = 4.0, 14.0
"""A captured view that is drawn so much worse than the median, or worse than that, is not flown past."""
Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""nerfstudio's world from ours: x stays, z becomes y, -y becomes z."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraPath:
    """A loop: the frame after the last is the first."""

    kind: Kind
    because: str
    """Why this kind, in words."""
    target: Array
    """(3,) what is looked at; the middle of the path of a flight."""
    views: tuple[View, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Filmed:
    """A splat and the captured views that it draws well."""

    gaussians: Gaussians
    weights: NDArray[np.floating]
    """(N,) contribution of each Gaussian to the captured views, px."""
    views: Sequence[View]
    """C of them, in order of time."""

    def __post_init__(self) -> None:
        if not len(self.gaussians) or not self.views:
            raise ValueError(f"no path through {len(self.gaussians)} Gaussians, {len(self.views)} cameras")
        if self.weights.shape != (len(self.gaussians),):
            raise ValueError(f"{len(self.gaussians)} Gaussians, {len(self.weights)} weights")


def preview_path(
    filmed: Filmed, camera: Camera, *, frames: int, kind: Kind | None = None, lost: Lost | None = None
) -> CameraPath:
    """Choose a path of ``frames`` views by ``camera`` from where the captured cameras stood.

    ``kind``: what a person asked for, whatever was filmed. ``lost``: see ``turns``. Raises ``ValueError`` without
    frames.
    """
    if frames < 1:
        raise ValueError(f"no path of {frames} frames")
    gaussians = filmed.gaussians
    centers = np.array([view.center for view in filmed.views])
    axes = np.array([view.cam_from_world[2, :3] for view in filmed.views])
    focus, converging = focus_of(centers, axes)
    middle, half = extent_of(gaussians.means, gaussians.opacities, share=0.5)
    chosen, because = _kind(centers, focus if converging else None, middle, half)
    if kind is not None:
        chosen, because = kind, "asked for"
    if chosen == "flight":
        poses = flight(centers, axes, frames=frames)
        return CameraPath(kind="flight", because=because, target=centers.mean(axis=0), views=views_of(poses, camera))
    subject = subject_of(gaussians.means.astype(np.float64), filmed.weights.astype(np.float64), filmed.views)
    target = subject.middle if subject else focus if converging else middle
    azimuths = azimuths_of(target, centers, full=chosen == "orbit", frames=frames)
    poses = turn_about(target, subject, centers, azimuths=azimuths, camera=camera, lost=lost)
    return CameraPath(kind=chosen, because=because, target=target, views=views_of(poses, camera))


def _kind(centers: Array, focus: Array | None, middle: Array, half: float) -> tuple[Kind, str]:
    """Return what suits the capture, and why."""
    if focus is None:
        inside = float(np.mean(np.linalg.norm(centers - middle, axis=1) < half))
        where = " and stand amid the scene" if inside > 0.5 else ""
        return "flight", f"the cameras do not look at one place{where}: the captured path, smoothed, there and back"
    start, stop = covered(around(focus, centers)[0])
    span_deg = float(np.degrees(stop - start))
    if span_deg >= 360 - MAX_GAP_DEG:
        return "orbit", f"the cameras stand around {span_deg:.0f} degrees: a full turn"
    return "arc", f"the cameras cover {span_deg:.0f} degrees: there and back within them"


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
