"""The report's page: gathers figures and pictures out of artifacts and fills the template."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from splat_pipeline.assets.pictures import data_uri, drawn
from splat_pipeline.assets.stages import GATES_FILE, Work, lineage_of
from splat_pipeline.domain import charts, tables
from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.formats.ply import read_ply
from splat_pipeline.domain.quality import Verdict, read_verdicts
from splat_pipeline.domain.reference import in_words
from splat_pipeline.domain.report import Summary, in_order, summarise, verdict_of
from splat_pipeline.ports import ImageLoader

TEMPLATE = Path(__file__).with_name("report.html")
PAIRS = 3
PAIR_PX, POSTER_PX, SHEET_PX, POSES_ONLY_PX = 480, 960, 1000, 96


def summary_of(work: Work) -> Summary:
    """Read a job's figures out of its artifacts, gates judged by today's limits."""
    folders = {
        name: work.input(name) for name in ("keyframes", "camera_poses", "splat", "exports", "preview", "viewer")
    }
    gates = [
        verdict
        for name in ("keyframes", "camera_poses", "splat")
        if (folders[name] / GATES_FILE).exists()
        for verdict in read_verdicts(folders[name] / GATES_FILE)
    ]
    notes = []
    for name in ("preview", "viewer"):
        told = json.loads((folders[name] / f"{name}.json").read_text())
        notes += [f"no {name}: {told['reason']}"] if told["reason"] and not told["ok"] else []
    notes += frame_of(work).get("warnings", [])
    return summarise(folders, title=work.store.upload(work.job).title, gates=gates, notes=notes)


def measured(summary: Summary) -> dict[str, float]:
    """Return the figures that were measured: Dagster plots numbers and refuses None."""
    return {name: value for name, value in summary.metrics.items() if value is not None}


def gate_of(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values; a value that is not finite becomes None."""
    return {
        "gate": verdict.gate,
        "metric": verdict.limit.metric,
        "value": float(verdict.value) if math.isfinite(verdict.value) else None,
        "limit": float(verdict.limit.bound),
        "severity": verdict.limit.severity,
        "passed": verdict.passed,
        "because": verdict.because,
    }


def frame_of(work: Work) -> dict[str, Any]:
    """Return ``frame_of_reference.json``: where up, scale and place of the delivered world come from."""
    told: dict[str, Any] = json.loads((work.input("point_cloud") / "frame_of_reference.json").read_text())
    return told


def report_html(work: Work, summary: Summary, loader: ImageLoader) -> str:
    """Return the whole page. Every text of the upload is escaped; the page loads nothing but the film beside it."""
    tone, headline, sentence = verdict_of(summary)
    timings = in_order({name: about["seconds"] for name, about in lineage_of(work.inputs).items()})
    training = tables.read_table(work.input("splat") / "training.parquet", tables.TRAINING)
    formats = tables.read_rows(work.input("exports") / "formats.parquet", tables.FORMATS)
    pairs, heldout = _pairs(work, loader)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        job=work.job,
        s=summary,
        tone=tone,
        headline=headline,
        sentence=sentence,
        pairs=pairs,
        tall=any(view.camera.height_px > view.camera.width_px for view in heldout[1]),
        plan=_plan(work, loader, heldout),
        key=Markup(charts.scale_bar()),  # noqa: S704  # numbers only
        loss=Markup(_loss(training)),  # noqa: S704  # numbers only
        videos=_videos(work),
        timings=timings,
        longest=max((seconds for _, seconds in timings), default=1.0) or 1.0,
        total=_spoken(sum(seconds for _, seconds in timings)) if timings else "",
        formats=formats,
        frame=in_words(frame_of(work)),
        sheet=data_uri(work.input("keyframes") / "contact_sheet.jpg", longer_side_px=SHEET_PX, quality=70),
        **_poster(work),
    )


def _poster(work: Work) -> dict[str, str]:
    folder = work.input("preview")
    told = json.loads((folder / "preview.json").read_text())
    if not told["ok"]:
        return {"poster": "", "path_words": "", "no_preview": told["reason"]}
    return {
        "poster": data_uri(folder / "poster.jpg", longer_side_px=POSTER_PX),
        "path_words": f"{told['path']}: {told['reason']}",
        "no_preview": "",
    }


def _pairs(work: Work, loader: ImageLoader) -> tuple[list[dict[str, Any]], tuple[list[int], list[View]]]:
    """Return the worst, the middle and the best held-out view with its rendering, and where all of them were taken."""
    folders = (work.input("keyframes"), work.input("camera_poses"), work.input("point_cloud"))
    kept = loader.load(*folders, longer_side_px=PAIR_PX, holdout=True)
    scores = tables.read_table(work.input("splat") / "heldout.parquet", tables.HELDOUT).sort_values("psnr_db")
    chosen = scores.iloc[np.unique(np.linspace(0, len(scores) - 1, min(PAIRS, len(scores))).round().astype(int))]
    at = {keyframe_id: i for i, keyframe_id in enumerate(kept.keyframe_ids)}
    gaussians = read_ply(work.input("splat") / "gaussians.ply")
    pairs = []
    for row in chosen.to_dict("records"):
        i = at[int(row["keyframe_id"])]
        splat = next(drawn(gaussians, [kept.views[i]]))
        pictures = {
            "photo": data_uri(kept.images[i], longer_side_px=PAIR_PX),
            "splat": data_uri(splat, longer_side_px=PAIR_PX),
        }
        pairs.append({**pictures, **{str(name): value for name, value in row.items()}})
    return pairs, (list(kept.keyframe_ids), list(kept.views))


def _plan(work: Work, loader: ImageLoader, heldout: tuple[list[int], list[View]]) -> Markup:
    folders = (work.input("keyframes"), work.input("camera_poses"), work.input("point_cloud"))
    trained = loader.load(*folders, longer_side_px=POSES_ONLY_PX, holdout=False)
    views = [*trained.views, *heldout[1]]
    poses = tables.read_table(work.input("camera_poses") / "poses.parquet", tables.POSES)
    sure = poses.set_index("keyframe_id")["pose_confidence"].reindex([*trained.keyframe_ids, *heldout[0]])
    points = tables.read_table(work.input("point_cloud") / "points.parquet", tables.POINTS)
    drawing = charts.plan_view(
        np.array([view.center for view in views]),
        np.array([view.cam_from_world[2, :3] for view in views]),
        sure.to_numpy(np.float64),
        points[["x", "y", "z"]].to_numpy(np.float64),
    )
    return Markup(drawing)  # noqa: S704  # numbers only


def _loss(training: pd.DataFrame) -> str:
    kept = training[training["rung"] == training["rung"].iloc[-1]] if len(training) else training
    thinned = kept.iloc[:: max(1, len(kept) // 300)]
    return charts.curve(thinned["iteration"].tolist(), thinned["loss"].tolist(), x_name="iterations", y_name="loss")


def _videos(work: Work) -> list[dict[str, Any]]:
    videos = tables.read_table(work.input("source_videos") / "videos.parquet", tables.VIDEOS)
    return [
        {
            "name": video["name"],
            "usable": video["usable"],
            "reject_reason": video["reject_reason"],
            "size": _size(video),
            "length": _length(video),
        }
        for video in videos.astype(object).where(videos.notna(), None).to_dict("records")
    ]


def _size(video: Mapping[Hashable, Any]) -> str:
    if video["width_px"] is None or video["height_px"] is None:
        return "unknown"
    return f"{video['width_px']:.0f} x {video['height_px']:.0f}"


def _length(video: Mapping[Hashable, Any]) -> str:
    if video["container"] == "images" and video["frame_count"] is not None:
        return f"{video['frame_count']:.0f} pictures"
    return "unknown" if video["duration_s"] is None else _spoken(video["duration_s"])


def _spoken(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
