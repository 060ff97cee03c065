"""The demo: a sample capture whose truth is known, the whole job on it, and how far the result is from the truth."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from resources.inbox import list_upload
from resources.sample import SAMPLE, TRUTH, make_sample
from splat_pipeline.domain import tables
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.plans import Detail
from splat_pipeline.domain.rigid import rigid, rotation_from_quat
from splat_pipeline.launch import Reason, make_home, run_upload
from splat_pipeline.overview import store_of, summary_of
from splat_pipeline.settings import Settings
from splat_pipeline.terminal import Progress

SHOWN = ("ply", "splat", "preview", "report")
_NEAR_S = 1e-3


def run_demo(settings: Settings, detail: Detail) -> tuple[bool, Reason | None]:
    """Make the sample, run it, print where the results are and how they compare with the truth."""
    console, started = Console(stderr=True, highlight=False), time.monotonic()
    make_home(settings)
    folder = settings.folder("sample")
    console.print(f"making a sample capture in {folder}", soft_wrap=True)
    make_sample(folder, say=lambda line: console.print(f"  [dim]{line}"))
    upload = list_upload(folder / SAMPLE, title="demo")
    config = {"source_videos": {"config": {"detail": str(detail)}}}
    with Progress(upload.job) as progress:
        success, reason = run_upload(settings, upload, config=config, listener=progress)
    if success:
        summary = summary_of(settings, upload.job)
        summary |= against_truth(settings, upload.job, folder / TRUTH)
        summary["seconds"] = round(time.monotonic() - started, 1)
        _print(console, summary)
        print(json.dumps(summary))  # noqa: T201  # the last line is for programs, as of `splat run`
    return success, reason


def against_truth(settings: Settings, job: str, truth: Path) -> dict[str, float]:
    """Compare the poses that were found with the true ones, after similarity alignment.

    Returns ``ate_rmse`` in world units of the truth, its share of the extent of the trajectory, and the median
    rotation error in degrees.
    """
    store = store_of(settings)
    poses = tables.read_table(store.fetch(job, "camera_poses").folder / "poses.parquet", tables.POSES)
    keyframes = tables.read_table(store.fetch(job, "keyframes").folder / "keyframes.parquet", tables.KEYFRAMES)
    rows = poses[poses["registered"]].merge(keyframes[["keyframe_id", "pts_s"]], on="keyframe_id")
    quats, shifts = rows[["qw", "qx", "qy", "qz"]].to_numpy(), rows[["tx", "ty", "tz"]].to_numpy()
    found = np.stack([rigid(rotation_from_quat(q), t) for q, t in zip(quats, shifts, strict=True)])
    error = trajectory_error(found, _true_poses(truth, rows["pts_s"].to_numpy()))
    return {
        "ate_rmse": round(error.ate_rmse, 5),
        "ate_share_of_extent": round(error.ate_rmse / error.extent, 5),
        "rotation_error_deg": round(float(np.median(error.rotation_deg)), 4),
    }


def _true_poses(truth: Path, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    frames = json.loads(truth.read_text())["frames"]
    known_s = np.array([frame["pts_s"] for frame in frames])
    nearest = np.abs(known_s[None, :] - times_s[:, None]).argmin(1)
    if np.abs(known_s[nearest] - times_s).max() > _NEAR_S:
        raise ValueError("the sample's truth and its video disagree on the time of a frame")
    return np.array([frames[i]["cam_from_world"] for i in nearest], np.float64)


def _print(console: Console, summary: dict[str, object]) -> None:
    outputs = summary["outputs"]
    assert isinstance(outputs, dict)
    for name in SHOWN:
        console.print(f"  {name:20} {outputs.get(name, 'none: the report says why')}", soft_wrap=True)
    for name, value in summary.items():
        if name not in ("outputs", "job", "status"):
            console.print(f"  {name:20} {value}")
