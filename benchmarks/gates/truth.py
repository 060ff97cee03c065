"""What a capture was worth, by what only the benchmark knows: true poses, and pictures that no camera took."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gates.line import Line
from benchmarks.gates.world import Array, Picture, World, draw
from splat_pipeline.domain import tables
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.ply import read_ply
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.poses import poses_of
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.splatting.film import film
from splat_pipeline.splatting.metrics import psnr, recolored

SHIP_DB, SHIP_ATE, SHIP_TURN_DEG = 17.0, 0.03, 2.5
"""Good enough to ship: novel views of so many dB, poses within this share of the path, and turned by at most this."""
NOVEL = 8
"""Views that are compared, spread over the path, between and beside the frames."""
ASIDE_M = 0.06


@dataclass(frozen=True, kw_only=True)
class Worth:
    """How good the result of a capture is."""

    novel_db: float
    """Mean PSNR of novel views, colours fitted; NaN: there is no splat."""
    ate: float
    """Trajectory error over the extent of the way; NaN: there are no poses."""
    turn_deg: float
    """Median error of orientations."""
    registered: float
    """Share of the keyframes."""
    finite: bool
    """Every number of what was trained is one."""

    @property
    def good(self) -> bool:
        """Whether it could be shipped. What is NaN is not good."""
        alike = self.novel_db >= SHIP_DB and self.ate <= SHIP_ATE and self.turn_deg <= SHIP_TURN_DEG
        return alike and self.finite


NOTHING = Worth(novel_db=math.nan, ate=math.nan, turn_deg=math.nan, registered=0.0, finite=False)


def worth_of(line: Line, job: str, *, world: World, camera: Camera, poses: Array, fps: int, asset: str) -> Worth:
    """Return what came of ``job``, whose frame i had ``poses[i]`` (N, 4, 4) in ``world``; ``asset`` is delivered."""
    keyframes = tables.read_table(line.folder(job, "keyframes") / "keyframes.parquet", tables.KEYFRAMES)
    found = tables.read_table(line.folder(job, "camera_poses") / "poses.parquet", tables.POSES)
    ids = found.loc[found["registered"], "keyframe_id"].tolist()
    times = keyframes.set_index("keyframe_id").loc[ids, "pts_s"].to_numpy()
    truth = poses[np.clip(np.round(times * fps).astype(int), 0, len(poses) - 1)]
    try:
        error = trajectory_error(np.stack(poses_of(found, ids)), truth)
    except (ValueError, IndexError, np.linalg.LinAlgError):
        return NOTHING  # on one line, or too few: no depth to tell of
    if not error.extent > 0 or not np.isfinite(error.ate_rmse):
        return NOTHING
    gaussians = read_ply(line.folder(job, asset) / "gaussians.ply")
    frame = _frame(line, job)
    world_from_truth = frame @ error.truth_from_estimate.inverse()
    return Worth(
        novel_db=novel_db(gaussians, world, camera, poses, world_from_truth),
        ate=error.ate_rmse / error.extent,
        turn_deg=float(np.median(error.rotation_deg)),
        registered=len(ids) / len(keyframes),
        finite=is_finite(read_ply(line.folder(job, "splat") / "gaussians.ply")),
    )


def is_finite(gaussians: Gaussians) -> bool:
    """Whether every number is one: others crash viewers, though ours passes over them."""
    columns = (gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.logit_opacities, gaussians.sh)
    return all(bool(np.isfinite(column).all()) for column in columns)


def _frame(line: Line, job: str) -> Similarity:
    told = json.loads((line.folder(job, "point_cloud") / "frame_of_reference.json").read_text())
    return Similarity.from_json(told["world_from_sfm"])


def novel_db(gaussians: Gaussians, world: World, camera: Camera, poses: Array, world_from_truth: Similarity) -> float:
    """Return the mean PSNR of views beside the path, against what ``world`` shows from there."""
    views = beside(poses)
    wanted = [draw(world, camera, pose) for pose in views]
    placed = [
        View(name=str(i), camera=camera, cam_from_world=world_from_truth.pose(pose)) for i, pose in enumerate(views)
    ]
    seen = film(gaussians, placed)
    return float(np.mean([_psnr(image, truth) for image, truth in zip(seen, wanted, strict=True)]))


def beside(poses: Array) -> Sequence[Array]:
    """Return views between the frames of a path, a little to the side."""
    places = np.linspace(0.06, 0.94, NOVEL) * (len(poses) - 1)
    rng = np.random.default_rng(0)
    out = []
    for place in places:
        pose = poses[int(place)].copy()
        pose[:3, 3] += rng.uniform(-ASIDE_M, ASIDE_M, 3)
        out.append(pose)
    return out


def _psnr(image: np.ndarray, truth: Picture) -> float:
    wanted = truth.astype(np.float32) / np.float32(255)
    seen = np.clip(np.nan_to_num(image), 0, 1).astype(np.float32)
    return float(psnr(recolored(seen, wanted), wanted))
