"""Stages that take what was prepared elsewhere out of the upload, checked, instead of computing it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.bundles import MAX_BYTES, Bundle, BundledFile, read_bundle
from splat_pipeline.domain.contents import BUNDLE_FILE
from splat_pipeline.domain.errors import BadBundle, BadTable, InputError
from splat_pipeline.domain.keyframes import share_of_sharp
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.tables import FRAMES, KEYFRAMES, read_table
from splat_pipeline.domain.uploads import safe_name
from splat_pipeline.ports.media import MediaReader


def bundle_of(work: Work) -> Bundle | None:
    """Return the job's bundle, or None where its upload is clips or photos. Raises ``BadBundle``."""
    upload = work.store.upload(work.job)
    if all(file.name != BUNDLE_FILE for file in upload.files):
        return None
    with (Path(work.store.here(upload).location) / BUNDLE_FILE).open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise BadBundle(f"{BUNDLE_FILE} has more than {MAX_BYTES} bytes", file=BUNDLE_FILE)
    return read_bundle(content.decode(errors="replace"))


def take(work: Work, bundle: Bundle, reader: MediaReader) -> None:
    """Copy what a bundle holds of the stage into ``work.folder``.

    Raises ``BadBundle`` where a file is not what ``bundle.json`` says, or a table is none, ``UnsafeUpload``.
    """
    location = Path(work.store.here(work.store.upload(work.job)).location) / work.asset
    for file in bundle.stages[work.asset]:
        source, target = location / safe_name(file.name), work.folder / file.name
        _require_same(work.asset, file, reader.digest(source))  # before the copy: it refuses what is no plain file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target, follow_symlinks=False)
        _require_same(work.asset, file, reader.digest(target))
        work.uploaded_bytes += file.size_bytes
    try:
        reader.check_tables(work.folder)
    except (BadTable, InputError) as error:
        raise _bad(work.asset, error.file or "", str(error)) from None
    work.log(f"{work.asset}: {len(bundle.stages[work.asset])} files taken from the bundle of {bundle.title}")


def take_sources(work: Work, bundle: Bundle, reader: MediaReader, *, recipe: Recipe) -> None:
    """Take ``source_videos``. The job's own settings are kept, but for those of frames, which were used elsewhere."""
    take(work, bundle, reader)
    path = work.folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        used = Recipe.model_validate(manifest["recipe"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(work.asset, path.name, str(error)) from None
    manifest["recipe"] = recipe.model_copy(update={"frames": used.frames}).model_dump()
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True))


def take_keyframes(work: Work, bundle: Bundle, reader: MediaReader) -> dict[str, float]:
    """Take ``keyframes``; return the metrics of its gates. Pictures must be those that the table speaks of."""
    take(work, bundle, reader)
    keyframes = read_table(work.folder / "keyframes.parquet", KEYFRAMES)
    for folder, rows in keyframes.groupby(keyframes["file"].map(lambda name: str(Path(name).parent))):
        facts = reader.probe(work.folder / safe_name(str(folder)))
        for name, width, height in zip(rows["file"], rows["width_px"], rows["height_px"], strict=True):
            if facts.image_sizes.get(Path(name).name) != (width, height):
                raise _bad(work.asset, name, f"it is no picture of {width}x{height} px")
    frames = read_table(work.input("frame_quality") / "frames.parquet", FRAMES)
    chosen = keyframes.merge(frames, on=["video_id", "frame_index"], how="left")
    if chosen["sharpness_rel"].isna().any():
        raise _bad(work.asset, "keyframes.parquet", "some keyframe is no analysed frame")
    return {"keyframes": float(len(chosen)), "sharp_share": share_of_sharp(chosen["sharpness_rel"].tolist())}


def _require_same(stage: str, file: BundledFile, found: tuple[str, int]) -> None:
    if found != (file.sha256, file.size_bytes):
        raise _bad(stage, file.name, f"it has {found[1]} bytes, or others than it had")


def _bad(stage: str, name: str, cause: str) -> BadBundle:
    return BadBundle(f"{stage}/{name} of the bundle cannot be used: {cause}", file=f"{stage}/{name}")
