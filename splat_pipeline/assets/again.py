"""``source_videos`` of an upload that was looked at before: its files are compared, not probed again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from splat_pipeline.assets.records import shown_before
from splat_pipeline.assets.stages import Context, Work, reuse_asked
from splat_pipeline.assets.traces import KEY, MANIFEST, Present
from splat_pipeline.domain.contents import Contents
from splat_pipeline.domain.errors import ArtifactError, InputError, MissingArtifact
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.uploads import Upload, safe_name
from splat_pipeline.ports.media import MediaReader
from splat_pipeline.ports.stores import Artifact


def digests_of(reader: MediaReader, upload: Upload, names: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of clips, folders of images and other files of an upload, by name. Raises ``InputError``."""
    location = Path(upload.location)
    return {name: reader.digest(location if name == "." else location / safe_name(name))[0] for name in names}


def resting_on(present: Present, contents: Mapping[str, str]) -> Present:
    """Return what ``source_videos`` rests on. What the launchpad said of it is in the recipe, which is compared."""
    return replace(present, config={}, contents=dict(contents))


def take_again(
    context: Context,
    work: Work,
    reader: MediaReader,
    *,
    upload: Upload,
    contents: Contents,
    settings: Mapping[str, Any],
) -> Mapping[str, Any] | None:
    """Fill ``work.folder`` as an earlier run did, with ``settings`` in its manifest; return the metadata.

    ``settings``: the keys of the manifest that tell them. None where the run does not ask for it, or a file, a setting
    that was read, or the code is not what it was.
    """
    if not reuse_asked(context) or work.present is None:
        return None
    try:
        found = work.store.fetch(work.job, work.asset)
        now = resting_on(work.present, digests_of(reader, upload, [*contents.sources, *contents.found]))
    except MissingArtifact:
        return None  # it is looked at for the first time: nothing to tell
    except (ArtifactError, InputError) as error:
        work.log(f"the upload is looked at anew: {error}")
        return None
    recipe = Recipe.model_validate(settings["recipe"])
    changed = now.changed(found.manifest[KEY], recipe) if KEY in found.manifest else "what it rests on is not known"
    if changed is not None:
        work.log(f"the upload is looked at anew: not as it was: {changed}")
        return None
    _copy(found, work.folder, settings)
    work.present, work.reused_from = now, found.version
    work.log(f"the upload is what it was: taken from {found.version}, which run {found.manifest['run_id']} made")
    return shown_before(context, found)


def _copy(found: Artifact, folder: Path, settings: Mapping[str, Any]) -> None:
    for file in found.manifest["files"]:
        (folder / file["name"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found.folder / file["name"], folder / file["name"])
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest |= settings
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
