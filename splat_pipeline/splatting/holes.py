"""Where a picture shows nothing, or something right before the lens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import SH_C0, Gaussians
from splat_pipeline.splatting.film import film

LOOKED_PX = 160
"""Longer side of the pictures in which holes are sought."""
SEEN_THROUGH = 0.5
"""A pixel through which more light than this passes shows nothing."""


def lost_share(gaussians: Gaussians, views: Sequence[View], *, near: float) -> NDArray[np.float64]:
    """Return the share (V,) of each picture that is empty, or hidden by what is nearer than ``near``, world units."""
    black = np.full((len(gaussians), 1, 3), -0.5 / SH_C0, np.float32)
    dark, small = replace(gaussians, sh=black), [_small(view) for view in views]
    empty = [float(np.mean(light[..., 0] > SEEN_THROUGH)) for light in film(dark, small, background=(1, 1, 1))]
    return np.array(empty) + [_hidden(dark, view, near) for view in small]


def _hidden(dark: Gaussians, view: View, near: float) -> float:
    close = np.linalg.norm(dark.means - view.center.astype(np.float32), axis=1) < near
    if not close.any():
        return 0.0
    (light,) = film(dark.take(close), [view], background=(1, 1, 1))
    return float(np.mean(light[..., 0] <= SEEN_THROUGH))


def _small(view: View) -> View:
    camera = view.camera
    share = min(1.0, LOOKED_PX / max(camera.width_px, camera.height_px))
    size = max(1, round(camera.width_px * share)), max(1, round(camera.height_px * share))
    return replace(view, camera=camera.resized(*size))
