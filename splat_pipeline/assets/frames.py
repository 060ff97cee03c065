"""Every analysed frame scored, weak footage refused before anything expensive, and the few frames worth keeping."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import dagster as dg

from splat_pipeline.assets.bundled import bundle_of, take, take_keyframes
from splat_pipeline.assets.cameras import Clip, devices_of, number_cameras, taken_through
from splat_pipeline.assets.checks import Gated
from splat_pipeline.assets.framesheets import (
    keyframes_shown,
    scores_drawn,
    scores_shown,
    write_decisions_sheet,
    write_thumbnails,
)
from splat_pipeline.assets.givens import read_given
from splat_pipeline.assets.known import read_known
from splat_pipeline.assets.stages import Machines, Readers, Sheets, Stores, Work, job_asset, stage
from splat_pipeline.assets.unpacking import location_of
from splat_pipeline.domain import tables
from splat_pipeline.domain.budget import Budget, budget_of
from splat_pipeline.domain.clip_poses import at_frames
from splat_pipeline.domain.decisions import decisions
from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.frames import FrameMeasure, FrameRef
from splat_pipeline.domain.given import lens_ids, only_posed
from splat_pipeline.domain.keyframes import Keyframe, select_keyframes, sharp_share
from splat_pipeline.domain.metrics.frames import frame_metrics
from splat_pipeline.domain.scenes import SCENE_FILE, scene_of_motion
from splat_pipeline.domain.scoring import ClipScore, refused, score_clip
from splat_pipeline.domain.thumbnails import Thumbnails
from splat_pipeline.domain.uploads import facts_of, safe_name
from splat_pipeline.domain.verdicts import judge_clip
from splat_pipeline.ports.machine import Machine
from splat_pipeline.ports.media import MediaReader

SHEET_IMAGES = 48


@job_asset(deps=["source_videos"], kinds={"opencv"}, pool="decode")
def frame_quality(
    context: dg.AssetExecutionContext, store: Stores, machine: Machines, reader: Readers, sheets: Sheets
) -> dg.MaterializeResult[Any]:
    """Sharpness, exposure, motion and parallax of every analysed frame; footage without a chance is refused here."""
    with stage(context, store, machine) as work:
        bundle = bundle_of(work)
        if bundle is not None:
            take(work, bundle, reader)
            work.publish(metadata={"bundle": bundle.title})
            return work.result()
        clips = clips_of(work)
        pictures = [Thumbnails(most=-(-SHEET_IMAGES // len(clips))) for _ in clips]
        scores: list[ClipScore] = []
        errors: list[InputError] = []
        for clip, measures in zip(clips, measured(work, reader, clips, pictures), strict=True):
            first = sum(len(score.segments) for score in scores)
            score, error = score_or_refuse(work, clip, measures, first_segment=first)
            scores.append(score)
            errors += [error] if error is not None else []
        frames = [row for score in scores for row in score.frames]
        segments = [row for score in scores for row in score.segments]
        if len(errors) == len(scores):
            raise errors[0]
        tables.write_table(work.folder / "frames.parquet", tables.FRAMES, frames)
        tables.write_table(work.folder / "segments.parquet", tables.SEGMENTS, segments)
        write_thumbnails([each for part in pictures for each in part.spread(frames)], sheets, work.folder)
        scene = scene_of_motion(work.recipe.scene_type, frames, [clip.facts.make for clip in clips]).to_json()
        (work.folder / SCENE_FILE).write_text(json.dumps(scene, indent=1))
        shown = {"over_time": scores_drawn(frames), "scene": dg.MetadataValue.json(scene)}
        work.publish(metadata=scores_shown(frames, segments, errors) | shown)
    return work.result()


def clips_of(work: Work) -> list[Clip]:
    """Return the usable clips and image sets of a job, in order; of footage prepared elsewhere there are none here."""
    if bundle_of(work) is not None:
        return []
    folder = work.input("source_videos")
    manifest = json.loads((folder / "manifest.json").read_text())
    location = location_of(work, manifest)
    clips = []
    rows: list[dict[str, Any]] = tables.read_table(folder / "videos.parquet", tables.VIDEOS).to_dict("records")  # type: ignore[assignment]  # column names are strings
    for row in rows:
        if row["usable"]:
            path = location if row["name"] == "." else location / safe_name(row["name"])
            facts = facts_of(row, images=manifest["images"].get(row["video_id"], ()))
            facts = replace(facts, image_lenses=manifest.get("image_lenses", {}).get(row["video_id"], {}))
            clips.append(Clip(video_id=row["video_id"], name=row["name"], path=path, facts=facts))
            work.uploaded_bytes += 0 if manifest.get("unpacked") else int(row["size_bytes"])
    return clips


def measured(
    work: Work, reader: MediaReader, clips: Sequence[Clip], pictures: Sequence[Thumbnails]
) -> Iterator[list[FrameMeasure] | InputError]:
    """Yield the measures of each clip, or why it cannot be read, in order; as many at a time as ``reader`` may."""
    recipe = work.recipe.frames

    def measure(clip: Clip, kept: Thumbnails) -> list[FrameMeasure] | InputError:
        try:
            found = reader.measure(
                clip.path, clip.facts, fps=recipe.analysis_fps, longer_side_px=recipe.analysis_px, say=work.log
            )
            return list(kept.strip(clip.video_id, found))
        except InputError as error:
            return error

    with ThreadPoolExecutor(max_workers=reader.clips_at_once, thread_name_prefix="measure") as pool:
        yield from pool.map(measure, clips, pictures)


def score_or_refuse(
    work: Work, clip: Clip, measures: list[FrameMeasure] | InputError, *, first_segment: int
) -> tuple[ClipScore, InputError | None]:
    """Judge and score one clip; a refused one keeps its rows, each with the reason."""
    if isinstance(measures, InputError):
        work.log(f"{clip.name}: {type(measures).__name__}: {measures}")
        return ClipScore(frames=[], segments=[]), measures
    is_set = bool(clip.facts.images)
    score = score_clip(clip.video_id, measures, first_segment=first_segment, images=is_set)
    weak = judge_clip(measures, name=clip.name, images=is_set)
    work.log(f"{clip.name}: {len(measures)} frames measured{f'; {type(weak).__name__}: {weak}' if weak else ''}")
    return (refused(score, type(weak).__name__) if weak else score), weak


@job_asset(deps=["source_videos", "frame_quality"], kinds={"opencv"}, pool="decode")
def keyframes(  # noqa: PLR0917  # Dagster passes them by name
    context: dg.AssetExecutionContext,
    config: Gated,
    store: Stores,
    machine: Machines,
    reader: Readers,
    sheets: Sheets,
) -> dg.MaterializeResult[Any]:
    """The frames that the splat is made of: evenly spaced along the camera's way, the sharpest of each stretch."""
    with stage(context, store, machine, lift=config.lift) as work:
        bundle = bundle_of(work)
        if bundle is not None:
            taken = take_keyframes(work, bundle, reader)
            work.publish(metrics=filmed(work) | taken, metadata={"bundle": bundle.title})
            return work.result()
        recipe = work.recipe.frames
        analysed = tables.read_table(work.input("frame_quality") / "frames.parquet", tables.FRAMES)
        clips = {clip.video_id: clip for clip in clips_of(work)}
        given = read_given(work.input("source_videos"))
        posed = None if given is None else at_frames(given[0], analysed)
        frames = analysed if posed is None else only_posed(analysed, posed)
        longer = {
            name: min(recipe.analysis_px, max(clip.facts.width_px, clip.facts.height_px))
            for name, clip in clips.items()
        }
        sets = [name for name, clip in clips.items() if clip.facts.images or posed is not None]
        known = read_known(work.input("source_videos"))
        chosen = select_keyframes(
            frames, budget_for(work, machine, clips.values()), holdout_every=recipe.holdout_every,
            longer_side_px=longer, image_sets=sets, known=known,
        )  # fmt: skip
        lenses = None if posed is None else lens_ids(posed)
        why = decisions(
            analysed, chosen, longer_side_px=longer, image_sets=sets, posed=None if lenses is None else set(lenses)
        )
        tables.write_table(work.folder / "decisions.parquet", tables.DECISIONS, why)
        write_decisions_sheet(why, work.input("frame_quality"), sheets, work.folder)
        rows = [row for clip in clips.values() for row in extracted(work, reader, clip, chosen)]
        number_cameras(
            rows, taken_through(clips.values()) if lenses is None else lenses, devices_of(clips.values(), known)
        )
        tables.write_table(work.folder / "keyframes.parquet", tables.KEYFRAMES, rows)
        metrics = filmed(work) | {"sharp_share": sharp_share(chosen)}
        work.publish(metadata=keyframes_shown(rows, chosen, why), metrics=metrics)
    return work.result()


def filmed(work: Work) -> dict[str, float | None]:
    """Return the metrics of what was filmed, out of the tables as they are; the type of scene goes on with them."""
    scene = work.input("frame_quality") / SCENE_FILE
    if scene.is_file():  # footage prepared by an older version has none
        shutil.copyfile(scene, work.folder / SCENE_FILE)
    videos = tables.read_table(work.input("source_videos") / "videos.parquet", tables.VIDEOS)
    return frame_metrics(
        tables.read_table(work.input("frame_quality") / "frames.parquet", tables.FRAMES),
        tables.read_table(work.folder / "keyframes.parquet", tables.KEYFRAMES),
        tables.read_table(work.folder / "decisions.parquet", tables.DECISIONS),
        clips=videos.loc[videos["container"] != "images", "video_id"].tolist(),
    )


def budget_for(work: Work, machine: Machine, clips: Iterable[Clip]) -> Budget:
    """Return how many keyframes a job may have on this machine."""
    longest = work.recipe.frames.longer_side_px
    sizes = [(clip.facts.width_px, clip.facts.height_px) for clip in clips]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(longest, longest))
    scale = min(1.0, longest / max(width, height))
    return budget_of(
        work.recipe, free_bytes=machine.free_bytes(), width_px=round(width * scale), height_px=round(height * scale)
    )


def extracted(work: Work, reader: MediaReader, clip: Clip, chosen: Sequence[Keyframe]) -> list[dict[str, Any]]:
    """Write the kept frames of one clip and return their rows, camera_id still open."""
    mine = [keyframe for keyframe in chosen if keyframe.video_id == clip.video_id]
    refs = [
        FrameRef(name=f"{k.segment_id}/{k.keyframe_id:05d}", frame_index=k.frame_index, pts_s=k.pts_s) for k in mine
    ]
    folder = work.folder / "images"
    for segment in {keyframe.segment_id for keyframe in mine}:
        (folder / segment).mkdir(parents=True, exist_ok=True)
    recipe = work.recipe.frames
    written = reader.extract(
        clip.path, clip.facts, refs, folder, longer_side_px=recipe.longer_side_px, quality=recipe.jpeg_quality
    )
    work.log(f"{clip.name}: {len(written)} keyframes written")
    columns = {column.name for column in tables.KEYFRAMES.columns}
    return [
        {key: value for key, value in asdict(keyframe).items() if key in columns}
        | {"file": f"images/{name}", "width_px": width, "height_px": height}
        for keyframe, (name, width, height) in zip(mine, written, strict=True)
    ]
