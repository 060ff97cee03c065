"""What a person sees of scoring and selecting: contact sheets, and the scores over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from splat_pipeline.assets.pictures import read_picture, save_jpeg, svg_uri
from splat_pipeline.domain import charts
from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.keyframes import Keyframe, sharp_share
from splat_pipeline.domain.thumbnails import Picture, caption, thumbnail_name
from splat_pipeline.ports.media import SheetMaker

SHEET, THUMBNAILS = "contact_sheet.jpg", "thumbnails"
Row = Mapping[str, Any]
DRAWN = {
    "sharpness_rel": "sharpness beside its neighbours",
    "luma_mean": "brightness",
    "motion_px": "motion in px",
    "tracked_share": "tracks found again",
    "dynamic_share": "share that moves by itself",
}
MOST_POINTS = 240
"""Of a drawing: Dagster's metadata should stay small."""


def write_thumbnails(pictures: Sequence[tuple[Row, Picture]], sheets: SheetMaker, folder: Path) -> None:
    """Write pictures of rows of ``tables.FRAMES``, and a sheet that says which frames are poor and why."""
    (folder / THUMBNAILS).mkdir()
    for row, picture in pictures:
        save_jpeg(picture, folder / THUMBNAILS / thumbnail_name(row), quality=80)
    words = [caption(row, row["reject_reason"] or "good") for row, _ in pictures]
    good = [row["reject_reason"] is None for row, _ in pictures]
    sheets.contact_sheet([picture for _, picture in pictures], words, folder / SHEET, marked=good)


def write_decisions_sheet(why: Sequence[Row], scored: Path, sheets: SheetMaker, folder: Path) -> None:
    """Write a sheet over time of what was kept, framed, and what was not, each with its reason.

    ``why``: rows of ``tables.DECISIONS``; ``scored``: the folder of ``frame_quality``.
    """
    shown = [(row, scored / THUMBNAILS / thumbnail_name(row)) for row in why]
    shown = [(row, path) for row, path in shown if path.is_file()]
    words = [caption(row, f"{'kept' if row['kept'] else 'no'}: {row['because']}"[:30]) for row, _ in shown]
    pictures = [read_picture(path) for _, path in shown]
    sheets.contact_sheet(pictures, words, folder / SHEET, marked=[row["kept"] for row, _ in shown])


def scores_drawn(frames: Sequence[Row]) -> dg.MetadataValue[Any]:
    """Return drawings of the scores (rows of ``tables.FRAMES``) over the seconds of all clips, one after the other."""
    step = max(1, -(-len(frames) // MOST_POINTS))
    at_s = running_s(frames)[::step]
    lines = []
    for column, name in DRAWN.items():
        values = [float("nan") if row[column] is None else float(row[column]) for row in frames[::step]]
        drawing = charts.curve(at_s, values, x_name="seconds", y_name=name)
        if drawing:
            lines.append(f"![{name} over time]({svg_uri(charts.alone(drawing))})\n")
    return dg.MetadataValue.md("\n".join(lines) or "too few frames to draw")


def running_s(frames: Sequence[Row]) -> list[float]:
    """Return the time of each frame as if its clip began where the clip before it ended."""
    out: list[float] = []
    start_s, begin_s, clip = 0.0, 0.0, None
    for row in frames:
        if row["video_id"] != clip:
            start_s, begin_s, clip = (out[-1] if out else 0.0), float(row["pts_s"]), row["video_id"]
        out.append(start_s + float(row["pts_s"]) - begin_s)
    return out


def scores_shown(frames: Sequence[Row], segments: Sequence[Row], errors: Sequence[InputError]) -> dict[str, Any]:
    """Return the metadata of ``frame_quality``."""
    reasons = Counter(row["reject_reason"] or "good" for row in frames)
    return {
        "frames": len(frames),
        "good_frames": reasons["good"],
        "segments": len(segments),
        "by_reason": dg.MetadataValue.json(dict(reasons.most_common())),
        "refused_clips": dg.MetadataValue.json([error.to_json() for error in errors]),
    }


def keyframes_shown(rows: Sequence[Row], chosen: Sequence[Keyframe], why: Sequence[Row]) -> dict[str, Any]:
    """Return the metadata of ``keyframes``; ``why``: rows of ``tables.DECISIONS``."""
    return {
        "keyframes": len(rows),
        "of_frames": len(why),
        "bridges": sum(keyframe.bridge for keyframe in chosen),
        "by_decision": dg.MetadataValue.json(dict(Counter(row["because"] for row in why).most_common())),
        "sharp_share": round(sharp_share(chosen), 4),
        "holdout": sum(bool(row["holdout"]) for row in rows),
        "cameras": len({row["camera_id"] for row in rows}),
        "by_clip": dg.MetadataValue.json(dict(Counter(row["video_id"] for row in rows))),
    }
