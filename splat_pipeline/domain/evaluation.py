"""How far a trajectory is from the truth.

N cameras, each as cam_from_world (N, 4, 4). A reconstruction has no scale and frame of its own: it is aligned first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.rigid import Similarity, angle_deg, fit_similarity

Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryError:
    """Errors after the best similarity alignment of the camera centres."""

    ate_rmse: float
    """Absolute trajectory error, root mean square, units of the truth (Sturm et al. 2012)."""
    extent: float
    """Diagonal of the box around the true centres."""
    rotation_deg: Float
    """(N,) angle between true and estimated orientation."""
    truth_from_estimate: Similarity


def centers(cam_from_world: Float) -> Float:
    """Return the (N, 3) camera centres of (N, 4, 4) poses."""
    rotation, translation = cam_from_world[:, :3, :3], cam_from_world[:, :3, 3]
    out: Float = -np.einsum("nji,nj->ni", rotation, translation)
    return out


def trajectory_error(estimate: Float, truth: Float) -> TrajectoryError:
    """Compare (N, 4, 4) poses in one order. Raises ``ValueError`` for fewer than 3 cameras or centres on one line."""
    found, true = centers(estimate), centers(truth)
    align = fit_similarity(found, true)
    aligned = np.stack([align.pose(pose) for pose in estimate])
    return TrajectoryError(
        ate_rmse=float(np.sqrt(((align.points(found) - true) ** 2).sum(1).mean())),
        extent=float(np.linalg.norm(np.ptp(true, axis=0))),
        rotation_deg=np.array([angle_deg(a[:3, :3] @ b[:3, :3].T) for a, b in zip(aligned, truth, strict=True)]),
        truth_from_estimate=align,
    )
