"""A zip in place of clips or photos: unpacked once, into an artifact of its own that the stages read like an upload."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.contents import Contents, classify, require_content, unchanged
from splat_pipeline.domain.uploads import Upload, UploadFile, natural_order, safe_name
from splat_pipeline.ports.media import MediaReader
from splat_pipeline.ports.stores import Artifact

UNPACKED = "unpacked"
"""Name of the artifact. It is apart from ``source_videos``, which every stage fetches, and with it all checksums."""


def take_contents(work: Work, reader: MediaReader) -> tuple[Upload, Contents, dict[str, Any] | None]:
    """Return the job's upload, what it holds, and what the manifest says of its zip, if it is one.

    Then the upload returned lies in the artifact ``unpacked``: the zip's files, with the known files beside the zip
    (``job.yaml``, poses), which win. Raises ``EmptyUpload``, and what ``MediaReader.unpack`` raises.
    """
    upload = work.store.here(work.store.upload(work.job))
    contents = classify(file.name for file in upload.files)
    require_content(contents, upload.title)
    if contents.archive is None:
        return upload, contents, None
    archive = Path(upload.location) / safe_name(contents.archive)
    digest, size_bytes = reader.digest(archive)
    unchanged(upload, contents.archive, size_bytes)
    artifact = _unpacked(work, reader, upload, contents, archive=archive)
    files = {str(file["name"]): int(file["size_bytes"]) for file in artifact.manifest["files"]}
    inside = replace(
        upload,
        location=str(artifact.folder),
        files=tuple(UploadFile(name=name, size_bytes=files[name]) for name in natural_order(files)),
    )
    held = classify(files)
    require_content(held, f"{upload.title}, {contents.archive}")
    about = {"archive": contents.archive, "sha256": digest, "size_bytes": size_bytes, "files": len(files)}
    return inside, held, about | {"version": artifact.version}


def _unpacked(work: Work, reader: MediaReader, upload: Upload, contents: Contents, *, archive: Path) -> Artifact:
    location = Path(upload.location)
    with work.store.scratch(work.job, UNPACKED) as folder:
        reader.unpack(archive, folder)
        beside = [name for name in contents.found if name != contents.archive]
        for name in [*beside, *filter(None, [contents.job_file])]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(location / safe_name(name), folder / name, follow_symlinks=False)
        provenance = {"run_id": work.run_id, "code_version": version("splat_pipeline"), "archive": contents.archive}
        return work.store.publish(work.job, UNPACKED, folder, provenance=provenance)


def location_of(work: Work, manifest: Mapping[str, Any]) -> Path:
    """Return the folder that a job's clips and photos lie in, by the manifest of its ``source_videos``.

    An upload is looked up: it moves when its job ends. What was a zip is an artifact, and recorded as read.
    """
    unpacked = manifest.get("unpacked")
    if unpacked is None:
        return Path(work.store.here(work.store.upload(work.job)).location)
    if UNPACKED not in work.inputs:
        work.inputs[UNPACKED] = work.store.fetch(work.job, UNPACKED, unpacked["version"])
    return work.inputs[UNPACKED].folder
