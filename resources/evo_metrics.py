"""Trajectory errors by the ``evo`` library (github.com/MichaelGrupp/evo), as the field reports them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadPoses, ToolMissing

Float = NDArray[np.float64]

INSTALL = "pip install 'splat_pipeline[evaluation]'"


def trajectory_metrics(estimate: Float, truth: Float) -> tuple[dict[str, float], Float]:
    """Compare (N, 4, 4) cam_from_world in one order: errors by name, and the estimate in the truth's world.

    The estimate is aligned by a similarity first (Umeyama). ``ate_*``: absolute error of positions, units of the truth;
    ``rotation_*_deg``: of orientations; ``rpe_*``: of the motion from one to the next. Raises ``ToolMissing`` without
    evo, ``BadPoses`` where the positions determine no similarity.
    """
    try:
        from evo.core.geometry import GeometryException
        from evo.core.metrics import APE, RPE, PoseRelation
        from evo.core.trajectory import PosePath3D
    except ImportError as error:
        raise ToolMissing(f"evo cannot be imported: {error}", remedy=INSTALL) from None
    found, true = (PosePath3D(poses_se3=list(np.linalg.inv(poses))) for poses in (estimate, truth))
    try:
        found.align(true, correct_scale=True)
    except GeometryException as error:
        raise BadPoses(f"the positions determine no alignment: {error}", remedy="Give a truth that moves.") from None
    out: dict[str, float] = {}
    for name, metric in {
        "ate": APE(PoseRelation.translation_part),
        "rotation_deg": APE(PoseRelation.rotation_angle_deg),
        "rpe": RPE(PoseRelation.translation_part),
        "rpe_rotation_deg": RPE(PoseRelation.rotation_angle_deg),
    }.items():
        metric.process_data((true, found))
        statistics = metric.get_all_statistics()
        out |= {f"{name}_{key}": float(statistics[key]) for key in ("rmse", "median", "max")}
    aligned: Float = np.linalg.inv(np.array(found.poses_se3))
    return out, aligned
