"""Which points to trust. P points."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.formats.colmap import ColmapPoints
from splat_pipeline.domain.rigid import Similarity

Mask = NDArray[np.bool_]

MAX_ERROR_PX = 2.0
MIN_TRACK = 3
FEW = 100
"""With fewer points than this after filtering, points seen by two images are taken too."""


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
