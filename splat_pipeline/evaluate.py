"""The poses of a job against a known trajectory."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.evo_metrics import trajectory_metrics
from resources.stores import FileStore
from splat_pipeline.domain import tables
from splat_pipeline.domain.charts import two_paths
from splat_pipeline.domain.depth_error import depth_error, depths_of
from splat_pipeline.domain.errors import BadPoses, CorruptArtifact, InputError
from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.formats import transforms, tum
from splat_pipeline.domain.formats.colmap import read_model, read_posed
from splat_pipeline.domain.formats.colmap_text import read_posed_text
from splat_pipeline.domain.poses import IMAGE_FOLDER, poses_of
from splat_pipeline.domain.rigid import fit_similarity, rigid, rotation_from_quat
from splat_pipeline.domain.truth import LEAST_MATCHED, Truth, matched

_UNKNOWN_SIZE = (1000, 1000)
"""Lenses of a truth are not looked at."""


def evaluate_job(store: FileStore, job: str, truth: Path) -> tuple[dict[str, Any], str]:
    """Return figures by name, and a drawing (SVG) of both trajectories from above.

    Distances are in units of the truth; ``registered_share`` is of the keyframes whose pose is known. Where the truth
    is a COLMAP model with points, depths are compared too: see ``domain.depth_error``. Raises ``BadPoses`` for a truth
    that cannot be read or does not belong to the job, ``ToolMissing`` without evo.
    """
    known = read_truth(truth)
    keyframes = tables.read_table(store.fetch(job, "keyframes").folder / "keyframes.parquet", tables.KEYFRAMES)
    poses = tables.read_table(store.fetch(job, "camera_poses").folder / "poses.parquet", tables.POSES)
    called = _image_names(store.fetch(job, "source_videos").folder)
    frames = zip(keyframes["video_id"], keyframes["frame_index"], strict=True)
    images = [called.get((str(video_id), int(index))) for video_id, index in frames]
    rows, at = matched(known, keyframes["pts_s"].to_numpy(np.float64), images, file=truth.name)
    true = known.cam_from_world[at]
    ids = keyframes["keyframe_id"].to_numpy()[rows]
    found = np.isin(ids, poses.loc[poses["registered"], "keyframe_id"])
    if found.sum() < LEAST_MATCHED:
        raise BadPoses(f"{truth.name} knows {found.sum()} of the poses that were found", file=truth.name)
    estimate = np.stack(poses_of(poses, ids[found]))
    metrics, aligned = trajectory_metrics(estimate, true[found])
    if (truth / "points3D.bin").is_file() and known.names is not None:
        names = [str(name).removeprefix(IMAGE_FOLDER) for name in keyframes["file"].iloc[rows]]
        scale = fit_similarity(centers(estimate), centers(true[found])).scale
        pairs = {name: known.names[i] for name, i, seen in zip(names, at, found, strict=True) if seen}
        metrics |= _depth_error(store.fetch(job, "camera_poses").folder / "sparse", truth, pairs, scale)
    extent = float(np.linalg.norm(np.ptp(centers(true[found]), axis=0)))
    figures = {
        "job": job,
        "truth": truth.name,
        "known": len(rows),
        "registered": int(found.sum()),
        "registered_share": float(found.mean()),
        "extent": extent,
        "ate_share_of_extent": metrics["ate_rmse"] / extent,
        **metrics,
    }
    return figures, two_paths(centers(aligned), centers(true))


def _depth_error(ours: Path, truth: Path, pairs: dict[str, str], scale: float) -> dict[str, Any]:
    try:
        there = depths_of(read_model(truth))
    except (CorruptArtifact, KeyError, ValueError) as error:
        raise BadPoses(f"the points of {truth} cannot be read: {error}", file=str(truth)) from None
    here = depths_of(read_model(ours))
    return depth_error(
        here, there, {mine: name for mine, name in pairs.items() if mine in here and name in there}, scale
    )


def _image_names(source: Path) -> dict[tuple[str, int], str]:
    """Return the names in the upload of the images of its sets, by video_id and frame_index."""
    images = json.loads((source / "manifest.json").read_text())["images"]
    videos = tables.read_table(source / "videos.parquet", tables.VIDEOS)
    folders = dict(zip(videos["video_id"], videos["name"], strict=True))
    return {
        (video_id, index): str(PurePosixPath(folders[video_id]) / name)
        for video_id, names in images.items()
        for index, name in enumerate(names)
    }


def read_truth(path: Path) -> Truth:
    """Read a COLMAP model (its folder), a ``transforms.json`` or a TUM trajectory. Raises ``InputError``."""
    if path.is_dir():
        return _colmap(path)
    if not path.is_file():
        raise InputError(f"there is nothing at {path}", file=str(path), remedy="Check the path.")
    limit = transforms.MAX_BYTES if path.suffix == ".json" else tum.MAX_BYTES
    if path.stat().st_size > limit:
        raise BadPoses(f"{path.name} is larger than {limit >> 20} MiB", file=path.name)
    if path.suffix == ".json":
        given = transforms.read_transforms(
            path.read_bytes(), file=path.name, images=None, size_of=lambda _: _UNKNOWN_SIZE
        )
        found = np.stack([frame.cam_from_world for frame in given.frames])
        return Truth(cam_from_world=found, names=[frame.name for frame in given.frames])
    times_s, poses = tum.read_tum(path.read_text(encoding="utf-8", errors="replace"), file=path.name)
    return Truth(cam_from_world=poses, times_s=times_s)


def _colmap(folder: Path) -> Truth:
    try:
        _, images = read_posed(folder) if (folder / "images.bin").is_file() else read_posed_text(folder)
        poses: list[NDArray[np.float64]] = [
            rigid(rotation_from_quat(image.quat), image.translation) for image in images.values()
        ]
    except (CorruptArtifact, ValueError) as error:
        raise BadPoses(f"{folder} is no COLMAP model that can be read: {error}", file=str(folder)) from None
    if not poses:
        raise BadPoses(f"{folder} holds no pose", file=str(folder))
    return Truth(cam_from_world=np.stack(poses), names=[image.name for image in images.values()])
