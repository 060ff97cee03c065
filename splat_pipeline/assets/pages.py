"""The report's page: gathers figures and pictures out of artifacts and fills the template."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from splat_pipeline.assets import sections
from splat_pipeline.assets.cleaning import cleaning_told
from splat_pipeline.assets.pictures import data_uri, drawn
from splat_pipeline.assets.stages import GATES_FILE, Work, lineage_of
from splat_pipeline.domain import charts, tables
from splat_pipeline.domain.advice import advice_of
from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.formats.ply import read_ply
from splat_pipeline.domain.quality import read_verdicts
from splat_pipeline.domain.reference import in_words
from splat_pipeline.domain.report import Summary, called, in_order, summarise, verdict_of
from splat_pipeline.domain.spoken import spoken, told_plainly, worst_first
from splat_pipeline.ports.training import ImageLoader

TEMPLATE = Path(__file__).with_name("report.html")
PAIRS = 3
PAIR_PX, POSTER_PX, SHEET_PX, POSES_ONLY_PX = 480, 960, 1000, 96


def summary_of(work: Work) -> Summary:
    """Read a job's figures out of its artifacts, gates judged by today's limits."""
    folders = {
        name: work.input(name) for name in ("keyframes", "camera_poses", "splat", "exports", "preview", "viewer")
    }
    work.input("point_cloud")  # tells the type of scene
    gates = [
        verdict
        for name in folders
        if (folders[name] / GATES_FILE).exists()
        for verdict in read_verdicts(folders[name] / GATES_FILE, work.gates)
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


def frame_of(work: Work) -> dict[str, Any]:
    """Return ``frame_of_reference.json``: where up, scale and place of the delivered world come from."""
    told: dict[str, Any] = json.loads((work.input("point_cloud") / "frame_of_reference.json").read_text())
    return told


def report_html(work: Work, summary: Summary, loader: ImageLoader) -> str:
    """Return the whole page. Every text of the upload is escaped; the page loads nothing but the film beside it."""
    tone, headline, sentence = verdict_of(summary)
    pairs, heldout = _pairs(work, loader)
    reasons, warnings = (told_plainly(lines, summary.gates) for lines in (summary.reasons, summary.warnings))
    shown, well = worst_first(summary.gates)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        job=work.job,
        s=summary,
        tone=tone,
        headline=headline,
        sentence=sentence,
        reasons=reasons,
        warnings=[line for line in warnings if line not in reasons],
        open_gates=shown,
        well_gates=well,
        spoken=spoken,
        advice=_advice(work, summary),
        pairs=pairs,
        tall=any(view.camera.height_px > view.camera.width_px for view in heldout[1]),
        plan=_plan(work, loader, heldout),
        key=Markup(charts.scale_bar()),  # noqa: S704  # numbers only
        clips=sections.clips(work),
        errors=sections.errors(work),
        loops=sections.loops(work),
        curves=sections.training(work),
        videos=_videos(work),
        formats=tables.read_rows(work.input("exports") / "formats.parquet", tables.FORMATS),
        cleaning=cleaning_told(work),
        frame=in_words(frame_of(work)),
        versions=sections.versions(),
        seed=work.recipe.seed,
        viewer=json.loads((work.input("viewer") / "viewer.json").read_text())["ok"],
        sheet=data_uri(work.input("keyframes") / "contact_sheet.jpg", longer_side_px=SHEET_PX, quality=70),
        **_costs(work),
        **_poster(work),
    )


def _advice(work: Work, summary: Summary) -> tuple[str, ...]:
    videos = tables.read_rows(work.input("source_videos") / "videos.parquet", tables.VIDEOS)
    return advice_of(
        summary.gates,
        sections.missing(work),
        sections.rejected_shares(work),
        names={video["video_id"]: called(video["name"]) for video in videos},
        psnr_heldout_db=summary.psnr_heldout_db,
    )


def _costs(work: Work) -> dict[str, Any]:
    lineage = lineage_of(work.inputs)
    timings = in_order({name: about["seconds"] for name, about in lineage.items()})
    stored = in_order({name: about.get("size_bytes") for name, about in lineage.items()})
    # What an older version made, or where nothing measures, has no peak.
    peaks = dict(in_order({name: about.get("peak_rss_bytes") or None for name, about in lineage.items()}, together=max))
    return {
        "timings": [(name, seconds, peaks.get(name), dict(stored).get(name)) for name, seconds in timings],
        "peak_mb": max(peaks.values(), default=0) / 1e6,
        "longest": max((seconds for _, seconds in timings), default=1.0) or 1.0,
        "total": _spoken(sum(seconds for _, seconds in timings)) if timings else "",
        "stored_mb": sum(size for _, size in stored) / 1e6,
    }


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


def _videos(work: Work) -> list[dict[str, Any]]:
    videos = tables.read_table(work.input("source_videos") / "videos.parquet", tables.VIDEOS)
    return [
        {
            "name": called(video["name"]),
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
