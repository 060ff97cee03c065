"""What the manifest of an artifact says of its files, and whether they are that."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from resources.copies import brought
from resources.sealed import opened, read_sealed, sealed
from splat_pipeline.domain.errors import CorruptArtifact, UnsafeUpload
from splat_pipeline.domain.uploads import safe_name
from splat_pipeline.ports.stores import Place

MANIFEST = "artifact.json"


def entry_of(folder: Path, path: Path) -> dict[str, Any]:
    """Return name, size and sha256 of a file, flushed to the disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return {"name": path.relative_to(folder).as_posix(), "size_bytes": path.stat().st_size, "sha256": digest}


def is_entry(path: Path, entry: Mapping[str, Any]) -> bool:
    """Tell whether a file is there and is what ``entry`` says."""
    try:
        if path.stat().st_size != entry["size_bytes"]:
            return False
        with path.open("rb") as file:
            return bool(hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"])
    except FileNotFoundError:
        return False


def digest_of(asset: str, files: Sequence[Mapping[str, Any]]) -> str:
    """Return the sha256 that an artifact is known by: of its asset, and its files' names and contents."""
    text = json.dumps([asset, [[f["name"], f["sha256"]] for f in files]])
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_in(place: Place, name: str, asset: str, version: str) -> dict[str, Any]:
    """Return the manifest of the artifact that lies at ``name``, checked against its version.

    Raises ``CorruptArtifact``, ``FileNotFoundError``.
    """
    manifest = _checked(read_sealed(place, f"{name}/{MANIFEST}"), asset)
    if manifest is None or not str(manifest["digest"]).startswith(version):
        raise CorruptArtifact(f"{name}: {MANIFEST} is not what was written", file=MANIFEST)
    return manifest


def copied(place: Place, name: str, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Make ``folder`` a copy of the artifact at ``name``, every file checked; its manifest too."""
    for entry in manifest["files"]:
        brought(place, f"{name}/{entry['name']}", folder / entry["name"], partial(is_entry, entry=entry))
    (folder / MANIFEST).write_bytes(sealed(manifest))


def holds(folder: Path, asset: str, digest: str) -> bool:
    """Tell whether ``folder`` is a whole artifact of this digest; a damaged one is written anew."""
    try:
        manifest = _checked(opened((folder / MANIFEST).read_bytes()), asset)
    except (FileNotFoundError, NotADirectoryError):
        return False
    whole = manifest is not None and all(is_entry(folder / entry["name"], entry) for entry in manifest["files"])
    return whole and manifest is not None and bool(manifest["digest"] == digest)


def _checked(manifest: dict[str, Any] | None, asset: str) -> dict[str, Any] | None:
    """Return a manifest when it is one, and of this asset."""
    try:
        if manifest is None or digest_of(asset, manifest["files"]) != manifest["digest"]:
            return None
        for entry in manifest["files"]:
            safe_name(entry["name"])
    except (KeyError, TypeError, UnsafeUpload):
        return None
    return manifest
