"""What the page that shows a splat is told: where to begin, how to draw, where was filmed.

The page's world has y up and z backward: ours with y and z negated, as in ``.spz``. Its poses are camera to world in
OpenGL axes (-z forward), 16 numbers row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.camera_paths import CameraPath
from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.charts import colour_of
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import extent_of

_HALF_TURN = np.diag([1.0, -1.0, -1.0, 1.0])
_NEAR, _FAR = 1e-3, 1e3
"""Of the scene's reach."""
_FRAME = 0.03
"""A camera is drawn so large, of the scene's reach."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A captured view, as the page lists it."""

    name: str
    view: View
    confidence: float
    """0 to 1."""


def scene_of(gaussians: Gaussians, path: CameraPath, shots: Sequence[Shot]) -> dict[str, Any]:
    """Return what the page reads as JSON. Raises ``ValueError`` where there are no Gaussians."""
    _, reach = extent_of(gaussians.means, gaussians.opacities, share=0.9)
    return {
        "start": placed(path.views[0]),
        "target": _rounded(path.target * [1, -1, -1]),
        "mode": "fly" if path.kind == "flight" else "orbit",
        "background": _rounded(np.asarray(gaussians.background, np.float64)),
        "antialiased": gaussians.antialiased,
        "reach": reach,
        "near": reach * _NEAR,
        "far": reach * _FAR,
        "frame_size": reach * _FRAME,
        "poses": [{"name": s.name, "colour": colour_of(s.confidence), **placed(s.view)} for s in shots],
    }


def placed(view: View) -> dict[str, Any]:
    """Return a view in the page's world, with its vertical angle in degrees and its aspect."""
    camera = view.camera
    return {
        "pose": _rounded((_HALF_TURN @ np.linalg.inv(view.cam_from_world) @ _HALF_TURN).ravel()),
        "fov_deg": round(float(np.degrees(2 * np.arctan(camera.height_px / 2 / camera.fy_px))), 4),
        "aspect": round(camera.width_px / camera.height_px * camera.fy_px / camera.fx_px, 5),
    }


def fitted(
    gaussians: Gaussians, weights: NDArray[np.float32], *, pack: Callable[[Gaussians], bytes], most_bytes: int
) -> tuple[bytes, str | None]:
    """Return what ``pack`` makes of ``gaussians``, of about ``most_bytes`` at most, and what was left out, in words.

    Harmonics go first, from the highest degree; then the Gaussians of least ``weights`` (N,).
    """
    for degree in range(gaussians.sh_degree, -1, -1):
        kept = replace(gaussians, sh=np.ascontiguousarray(gaussians.sh[:, : (degree + 1) ** 2]))
        packed = pack(kept)
        if len(packed) <= most_bytes:
            return packed, None if degree == gaussians.sh_degree else f"harmonics above degree {degree}"
    count = max(1, len(gaussians) * most_bytes // len(packed))
    fewer = kept.take(np.sort(np.argsort(-weights, kind="stable")[:count]))
    return pack(fewer), f"harmonics, and the {len(gaussians) - count:,} least seen of {len(gaussians):,} Gaussians"


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 6) for value in values]
