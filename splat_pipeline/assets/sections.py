"""Parts of the report: what became of each clip, how errors are spread, how loops closed, how the training went."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from splat_pipeline.assets.stages import Work
from splat_pipeline.domain import charts, strips, tables
from splat_pipeline.domain.gaps import Gap, gaps
from splat_pipeline.domain.report import called

MOST_LOOPS = 8
PACKAGES = (
    "splat_pipeline",
    "dagster",
    "numpy",
    "numba",
    "pandas",
    "pyarrow",
    "pycolmap",
    "opencv-python-headless",
    "av",
)


def versions() -> dict[str, str]:
    """Return what the job was computed with."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def clips(work: Work) -> list[dict[str, Any]]:
    """Return name, picture and counts of every clip that was looked at."""
    frames = tables.read_table(work.input("frame_quality") / "frames.parquet", tables.FRAMES)
    keyframes = tables.read_table(work.input("keyframes") / "keyframes.parquet", tables.KEYFRAMES)
    sure = _confidence(work)
    videos = tables.read_rows(work.input("source_videos") / "videos.parquet", tables.VIDEOS)
    shown = []
    for video in videos:
        looked = frames[frames["video_id"] == video["video_id"]]
        chosen = keyframes[keyframes["video_id"] == video["video_id"]]
        if len(looked):
            shown.append({"name": called(video["name"]), **_clip(video, looked, chosen, sure)})
    return shown


def rejected_shares(work: Work) -> dict[str, dict[str, float]]:
    """Return, by video_id, the share of its frames for each reason."""
    frames = tables.read_table(work.input("frame_quality") / "frames.parquet", tables.FRAMES)
    return {
        str(video_id): {str(reason): n / len(clip) for reason, n in clip["reject_reason"].value_counts().items()}
        for video_id, clip in frames.groupby("video_id")
    }


def missing(work: Work) -> list[Gap]:
    """Return the stretches of clips without a pose."""
    keyframes = tables.read_table(work.input("keyframes") / "keyframes.parquet", tables.KEYFRAMES)
    sure = _confidence(work)
    return gaps(keyframes, [int(i) for i in sure.index[np.isfinite(sure)]])


def errors(work: Work) -> list[dict[str, Any]]:
    """Return captions and histograms: of poses, points, and views kept back."""
    poses = tables.read_table(work.input("camera_poses") / "poses.parquet", tables.POSES)
    points = tables.read_table(work.input("point_cloud") / "points.parquet", tables.POINTS)
    heldout = tables.read_table(work.input("splat") / "heldout.parquet", tables.HELDOUT)
    drawn = (
        ("Reprojection error of each frame, mean", poses["mean_error_px"], " px"),
        ("Reprojection error of each point", points["error_px"], " px"),
        ("Views kept back: PSNR", heldout["psnr_db"], " dB"),
    )
    charted = [
        (name, strips.histogram(values.to_numpy(np.float64), unit=unit, low=_floor(values) if unit == " dB" else 0.0))
        for name, values, unit in drawn
    ]
    return [{"name": name, "chart": Markup(chart)} for name, chart in charted if chart]  # noqa: S704  # numbers only


def loops(work: Work) -> dict[str, Any]:
    """Return how many loops there are, and the ones that were widest open."""
    rows = tables.read_table(work.input("camera_poses") / "loops.parquet", tables.LOOPS)
    worst = rows.sort_values("translation_before", ascending=False, na_position="last").head(MOST_LOOPS)
    return {"count": len(rows), "rows": [_loop(row) for row in worst.to_dict("records")]}


def training(work: Work) -> list[Markup]:
    """Return curves of loss, likeness and number of Gaussians of the rung that was delivered."""
    table = tables.read_table(work.input("splat") / "training.parquet", tables.TRAINING)
    kept = table[table["rung"] == table["rung"].iloc[-1]] if len(table) else table
    thinned = kept.iloc[:: max(1, len(kept) // 300)]
    at = thinned["iteration"].tolist()
    named = {"loss": "loss", "psnr_db": "PSNR of trained views, dB", "gaussians": "Gaussians"}
    drawn = [
        charts.curve(at, thinned[column].tolist(), x_name="iterations", y_name=name) for column, name in named.items()
    ]
    return [Markup(drawing) for drawing in drawn if drawing]  # noqa: S704  # numbers only


def _floor(values: pd.Series[float]) -> float:
    return float(np.floor(values.min() - 1)) if values.notna().any() else 0.0


def _clip(
    video: Mapping[str, Any], looked: pd.DataFrame, chosen: pd.DataFrame, sure: pd.Series[float]
) -> dict[str, Any]:
    confidence = np.asarray(sure.reindex(chosen["keyframe_id"]), dtype=np.float64)
    photos = video["container"] == "images"
    stop_s = float(looked["pts_s"].max()) + (1 if photos else 0)
    if not photos and np.isfinite(video["duration_s"] or np.nan):
        stop_s = max(stop_s, float(video["duration_s"]))
    refused = looked[looked["reject_reason"].notna()]
    drawing = strips.coverage(
        strips.ClipCover(
            stop_s=stop_s,
            rejected_s=refused["pts_s"].to_numpy(np.float64),
            keyframes_s=chosen["pts_s"].to_numpy(np.float64),
            confidence=confidence,
            seconds=not photos,
        )
    )
    counts = {"looked": len(looked), "rejected": len(refused), "chosen": len(chosen)}
    found = int(np.isfinite(confidence).sum())
    return {"strip": Markup(drawing), "found": found, **counts}  # noqa: S704  # numbers only


def _confidence(work: Work) -> pd.Series[float]:
    """Return confidence by keyframe_id; NaN where no pose was found."""
    poses = tables.read_table(work.input("camera_poses") / "poses.parquet", tables.POSES)
    return poses.set_index("keyframe_id")["pose_confidence"].where(poses.set_index("keyframe_id")["registered"])


def _loop(row: Mapping[Any, Any]) -> dict[str, Any]:
    def said(name: str, scale: float, unit: str) -> str:
        return "unknown" if pd.isna(row[name]) else f"{row[name] * scale:.2g}{unit}"

    return {
        "between": f"{row['first']} and {row['second']}",
        "inliers": row["inliers"],
        "turn": f"{said('rotation_before_deg', 1, '°')} → {said('rotation_after_deg', 1, '°')}",
        "shift": f"{said('translation_before', 100, ' %')} → {said('translation_after', 100, ' %')}",
    }
