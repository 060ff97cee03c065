"""The first stage: what was uploaded, whether it can be used, and what the job is asked to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from splat_pipeline.assets.again import digests_of, resting_on, take_again
from splat_pipeline.assets.bundled import bundle_of, take_sources
from splat_pipeline.assets.givens import posed_images, uploaded_poses, write_given
from splat_pipeline.assets.jobfile import MAX_BYTES, read_job_file
from splat_pipeline.assets.known import take_known
from splat_pipeline.assets.stages import Machines, Readers, Stores, Work, job_asset, stage
from splat_pipeline.assets.unpacking import take_contents
from splat_pipeline.domain import tables
from splat_pipeline.domain.contents import JOB_FILE, Contents, subtitles_of, unchanged
from splat_pipeline.domain.errors import BadPoses, InputError
from splat_pipeline.domain.known_length import footage_of, spots_of
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.tracks import rows_of
from splat_pipeline.domain.uploads import Upload, VideoFacts, safe_name, video_ids
from splat_pipeline.domain.watched import WatchedRecipe
from splat_pipeline.domain.wishes import split
from splat_pipeline.ports.media import MediaReader


class JobOverrides(dg.Config):
    """What the launchpad may override for one run; it wins over ``job.yaml`` and the settings."""

    detail: str | None = None
    seed: int | None = None
    recipe: dict[str, Any] | None = None
    """Any other settings of the job, nested like ``job.yaml``."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One clip or image set after it was looked at."""

    video_id: str
    name: str
    sha256: str
    size_bytes: int
    facts: VideoFacts | None
    error: InputError | None


@job_asset(kinds={"pyav"}, pool="decode", reusable=False)
def source_videos(  # noqa: PLR0917  # Dagster passes them by name
    context: dg.AssetExecutionContext,
    store: Stores,
    machine: Machines,
    reader: Readers,
    recipe: dg.ResourceParam[Recipe],
    config: JobOverrides,
) -> dg.MaterializeResult[Any]:
    """The upload's clips or photos (unpacked): probed, hashed, bad ones named, and the job's own settings resolved."""
    with stage(context, store, machine) as work:
        upload, contents, unpacked = take_contents(work, reader)
        resolved, origin = resolve(recipe, upload, contents, config)
        bundle = bundle_of(work)
        if bundle is not None:
            take_sources(work, bundle, reader, recipe=resolved)
            work.publish(metadata={"title": upload.title, "prepared_by": f"splat_pipeline {bundle.code_version}"})
            return work.result()
        work.recipe = read = WatchedRecipe.of(resolved)
        contents = posed_images(upload, contents, read.poses.source)
        settings = {"recipe": resolved.model_dump(), "recipe_keys_from": dict(origin)}
        again = take_again(context, work, reader, upload=upload, contents=contents, settings=settings)
        if again is not None:
            work.publish(metadata=again)
            return work.result()
        sources = looked_at(work, reader, upload, contents)
        given, sources = take_given(work, upload, contents, sources, read)
        clips = {source.video_id: (source.name, source.facts) for source in sources if source.facts is not None}
        known = take_known(work, upload, contents, clips, read.poses.source)
        manifest = settings | manifest_of(upload, contents, sources)
        manifest |= {"given": given, "calibration": known, "unpacked": unpacked}
        rows = [row_of(source) for source in sources]
        spots_of(read.scale, footage_of(pd.DataFrame(rows), manifest["images"]), file=JOB_FILE)
        told = positions_of(work, reader, upload, contents, sources) if read.scale.gps else []
        work.uploaded_bytes = sum(source.size_bytes for source in sources)
        tables.write_table(work.folder / "videos.parquet", tables.VIDEOS, rows)
        tables.write_table(work.folder / "positions.parquet", tables.POSITIONS, told)
        (work.folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))
        found = {"poses": given["source"] if given else "to be found", "positions": len(told)}
        found["lenses"] = f"known of {', '.join(known['cameras'])}" if known else "to be found"
        work.publish(metadata=shown(upload, rows, origin) | found)
    return work.result()


def resolve(
    recipe: Recipe, upload: Upload, contents: Contents, config: JobOverrides
) -> tuple[Recipe, dict[str, list[str]]]:
    """Return the job's recipe, and which keys came from where. Raises ``BadJobFile``."""
    wanted: dict[str, Any] = {}
    if contents.job_file:
        path = Path(upload.location) / contents.job_file
        with path.open("rb") as stream:
            asked = read_job_file(stream.read(MAX_BYTES + 1).decode(errors="replace"))
        _, wanted = split(asked, file=JOB_FILE)
    chosen = config.model_dump(exclude_none=True)
    launched = {**chosen.pop("recipe", {}), **chosen}
    resolved = recipe.overridden(wanted, source=JOB_FILE).overridden(launched, source="run config")
    return resolved, {JOB_FILE: sorted(wanted), "run config": sorted(launched)}


def looked_at(work: Work, reader: MediaReader, upload: Upload, contents: Contents) -> list[Source]:
    """Probe and hash all clips or image sets. Raises the error of the largest when none can be used."""
    sources = [
        look(reader, upload, name, video_id=video_id)
        for name, video_id in zip(contents.sources, video_ids(contents.sources), strict=True)
    ]
    for source in sources:
        if source.error is not None:
            work.log(f"{source.name}: {type(source.error).__name__}: {source.error}")
    require_usable(sources)
    if work.present is not None:
        held = digests_of(reader, upload, contents.found) | {source.name: source.sha256 for source in sources}
        work.present = resting_on(work.present, held)
    return sources


def look(reader: MediaReader, upload: Upload, name: str, *, video_id: str) -> Source:
    """Probe and hash one clip or image set; what cannot be used keeps its error."""
    path = Path(upload.location) if name == "." else Path(upload.location) / safe_name(name)
    digest, size, facts, problem = "", 0, None, None
    try:
        digest, size = reader.digest(path)
        unchanged(upload, name, size)
        facts = reader.probe(path)
    except InputError as error:
        problem = error
        problem.file = problem.file or name
    return Source(video_id=video_id, name=name, sha256=digest, size_bytes=size, facts=facts, error=problem)


def take_given(
    work: Work, upload: Upload, contents: Contents, sources: list[Source], recipe: Recipe
) -> tuple[dict[str, Any] | None, list[Source]]:
    """Write the poses that came with the images; return what the manifest says of them, and the sources to use.

    Clips, and folders of images (smaller copies, masks, depth maps), without any pose are no part of the job then. A
    file beside clips that is not of their frames is left alone where ``poses.source`` is auto.
    """
    sets = {source.video_id: (source.name, source.facts) for source in sources if source.facts is not None}
    try:
        given = uploaded_poses(upload, contents, sets, recipe.poses.source)
    except BadPoses as error:
        if recipe.poses.source != "auto" or not contents.clips:
            raise
        work.log(f"{error.cause}; the cameras are looked for without these poses")
        given = None
    if given is None:
        return None, sources
    posed = write_given(work.folder, given, sets)
    for line in given.warnings:
        work.log(line)
    kept = [source for source in sources if source.video_id in posed]
    about = {"source": given.source, "frames": len(given.frames), "warnings": list(given.warnings)}
    return about | {"left_out": [source.name for source in sources if source not in kept]}, kept


def positions_of(
    work: Work, reader: MediaReader, upload: Upload, contents: Contents, sources: Sequence[Source]
) -> list[dict[str, Any]]:
    """Return rows of ``tables.POSITIONS``. A track that cannot be read is no reason to refuse its clip: it is told."""
    rows: list[dict[str, Any]] = []
    for source in sources:
        if source.facts is None:
            continue
        beside = subtitles_of(contents, source.name)
        path = Path(upload.location) if source.name == "." else Path(upload.location) / safe_name(source.name)
        try:
            subtitles = None if beside is None else Path(upload.location) / safe_name(beside)
            track = reader.positions(path, source.facts, subtitles=subtitles)
        except InputError as error:
            work.log(f"{source.name}: no positions: {type(error).__name__}: {error}")
            continue
        if track is not None:
            work.log(f"{source.name}: {len(track.fixes)} positions ({track.source})")
            rows += rows_of(source.video_id, track)
    return rows


def require_usable(sources: Sequence[Source]) -> None:
    """Raise the error of the largest clip when none can be used."""
    largest = max(sources, key=lambda source: source.size_bytes)
    if largest.error is not None and all(source.error is not None for source in sources):
        raise largest.error


def row_of(source: Source) -> dict[str, Any]:
    """Return the row of ``tables.VIDEOS``; what is not known of a file that cannot be read is null."""
    columns = [column.name for column in tables.VIDEOS.columns]
    known = vars(source) | (vars(source.facts) if source.facts else {})
    reason = f"{type(source.error).__name__}: {source.error}" if source.error else None
    return {name: known.get(name) for name in columns} | {"usable": reason is None, "reject_reason": reason}


def manifest_of(upload: Upload, contents: Contents, sources: Sequence[Source]) -> dict[str, Any]:
    """Return what ``manifest.json`` says beside the settings: what later stages, or a replay, need of the upload."""
    sets = {source.video_id: source.facts for source in sources if source.facts is not None}
    return {
        "upload": {"title": upload.title, "files": [asdict(file) for file in upload.files]},  # not where: it moves
        "found": dict(contents.found),
        "ignored": dict(contents.ignored),
        "images": {video_id: list(facts.images) for video_id, facts in sets.items() if facts.images},
        "image_sizes": {video_id: _sizes_counted(facts) for video_id, facts in sets.items() if facts.images},
        "image_lenses": {video_id: dict(facts.image_lenses) for video_id, facts in sets.items() if facts.image_lenses},
        "rejected_images": {video_id: dict(facts.rejected) for video_id, facts in sets.items() if facts.rejected},
    }


def _sizes_counted(facts: VideoFacts) -> dict[str, int]:
    return dict(Counter(f"{width}x{height}" for width, height in facts.image_sizes.values()).most_common())


def shown(upload: Upload, rows: Sequence[Mapping[str, Any]], origin: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the stage's metadata for the UI."""
    usable = [row for row in rows if row["usable"]]
    lines = ["| clip | size | seconds | fps | |", "|---|---|---|---|---|"]
    for row in rows[:6]:
        name = str(row["name"]).replace("|", "/")[:40]
        pixels = f"{row['width_px']}x{row['height_px']}" if row["width_px"] else "?"
        seconds = f"{row['duration_s']:.1f}" if row["duration_s"] else "?"
        fps = f"{row['fps']:.3g}" if row["fps"] else "?"
        lines.append(f"| {name} | {pixels} | {seconds} | {fps} | {(row['reject_reason'] or '')[:60]} |")
    return {
        "title": upload.title,
        "clips": len(rows),
        "usable_clips": len(usable),
        "video_seconds": round(sum(row["duration_s"] or 0.0 for row in usable), 2),
        "upload_bytes": sum(file.size_bytes for file in upload.files),
        "overrides": dg.MetadataValue.json(dict(origin)),
        "table": dg.MetadataValue.md("\n".join(lines)),
    }
