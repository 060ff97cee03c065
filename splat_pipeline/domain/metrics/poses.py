"""How well the cameras were found, in figures for the gates.

Rows of ``tables.POSES`` and of ``tables.KEYFRAMES`` belong together by keyframe_id.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from splat_pipeline.domain.formats.colmap import ColmapModel
from splat_pipeline.domain.gaps import gaps
from splat_pipeline.domain.poses import Observations, observe, rms_px

LEAST_SHARED = 15
"""Points that two images must both see to hang together: COLMAP's ``min_num_matches``."""
LEAST_PART = 3
"""Images of a part that counts as one."""
LOW_CONFIDENCE = 0.1
"""Good reconstructions of real captures have 0.67 and more; 1 sigma then displaces the picture by 0.7 px of 1000."""


def clip_registered_share(poses: pd.DataFrame, keyframes: pd.DataFrame) -> float | None:
    """Return the registered share of the clip that fared worst, of those with ``LEAST_PART`` keyframes or more."""
    found = keyframes.merge(poses[["keyframe_id", "registered"]], on="keyframe_id").groupby("video_id")["registered"]
    shares = found.mean()[found.size() >= LEAST_PART]
    return float(shares.min()) if len(shares) else None


def longest_gap_share(poses: pd.DataFrame, keyframes: pd.DataFrame) -> float:
    """Return the longest stretch of one clip without poses, as a share of all keyframes."""
    missing = gaps(keyframes, poses.loc[poses["registered"], "keyframe_id"].tolist())
    return max((gap.keyframes for gap in missing), default=0) / max(1, len(keyframes))


def low_confidence_share(poses: pd.DataFrame) -> float | None:
    """Return the share of registered keyframes that are hardly known."""
    found = poses.loc[poses["registered"], "pose_confidence"]
    return float((found < LOW_CONFIDENCE).mean()) if len(found) else None


def parts_of(model: ColmapModel) -> list[set[str]]:
    """Return the images' names by parts that share points, the largest first: between parts nothing fixes the shape."""
    ids = np.array(sorted(model.images), np.int64)
    if not len(ids):
        return []
    inside = np.isin(model.points.track_images, ids)
    rows = np.searchsorted(ids, model.points.track_images[inside])
    points = np.repeat(np.arange(len(model.points)), model.points.track_lengths)[inside]
    seen = coo_array((np.ones(len(rows), np.int32), (rows, points)), shape=(len(ids), len(model.points))).tocsr()
    seen.data[:] = 1  # a point that is seen twice in an image
    count, label = connected_components((seen @ seen.T) >= LEAST_SHARED, directed=False)
    groups = [{model.images[int(image_id)].name for image_id in ids[label == part]} for part in range(count)]
    return sorted(groups, key=len, reverse=True)


def components(model: ColmapModel) -> float:
    """Return how many parts of ``LEAST_PART`` images or more the model has."""
    return float(sum(len(part) >= LEAST_PART for part in parts_of(model)))


def p95_error_px(seen: Observations) -> float:
    """Return the reprojection error that 95 % of the observations keep; NaN without any."""
    error = seen.error_px[np.isfinite(seen.error_px)]
    return float(np.quantile(error, 0.95)) if len(error) else float("nan")


def tri_angle_deg(seen: Observations) -> float:
    """Return the median over the points of the largest angle under which two cameras see one; NaN without any."""
    _, first = np.unique(seen.point, return_index=True)
    angles: NDArray[np.float64] = seen.angle_deg[first]
    return float(np.median(angles)) if len(angles) else float("nan")


def pose_metrics(model: ColmapModel, poses: pd.DataFrame, keyframes: pd.DataFrame) -> dict[str, float | None]:
    """Return the metrics of registration and accuracy."""
    seen = observe(model)
    lengths = model.points.track_lengths
    return {
        "registered_share": float(poses["registered"].mean()),
        "clip_registered_share": clip_registered_share(poses, keyframes),
        "longest_gap_share": longest_gap_share(poses, keyframes),
        "rms_px": rms_px(model, seen),
        "p95_error_px": p95_error_px(seen),
        "track_length": float(lengths.mean()) if len(lengths) else float("nan"),
        "tri_angle_deg": tri_angle_deg(seen),
        "low_confidence_share": low_confidence_share(poses),
        "components": components(model),
    }
