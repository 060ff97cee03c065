"""Artifacts, uploads, cross-job tables and deliveries on a file system.

    <root>/jobs/<job>/upload.json                     where the upload lies
    <root>/jobs/<job>/<asset>/<version>/...           an artifact: its files and artifact.json, never changed
    <root>/jobs/<job>/<asset>/current.json            which version is current, and by which run
    <root>/tables/<name>.parquet/part-<id>.parquet    a cross-job table: a folder that pandas and DuckDB read as one
    <root>/ongoing/<job>/<asset>/<key>/...            what unfinished work needs to go on; goes when it is published
    <root>/scratch/...                                half-made things; may be deleted while nothing runs
    <delivered>/<job>/<version>/..., latest           what people receive

A version is named by its content, so identical content is stored once. Everything becomes visible through one
rename after its bytes were flushed: on ext4 a rename without both fsyncs left empty or old files after a power cut.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from resources.disk import disk_errors, replace_folder, sync_tree, write, write_atomic
from splat_pipeline.domain.errors import CorruptArtifact, MissingArtifact, UnsafeUpload
from splat_pipeline.domain.tables import TableSpec, read_table, write_table
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.ports import Artifact

MANIFEST, CURRENT = "artifact.json", "current.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class FileStore:
    """Fulfils ``Store`` below one folder."""

    def __init__(self, root: Path, delivered: Path) -> None:
        """Remember the folders; they are made when first written to."""
        self._root, self._delivered = root, delivered

    @contextmanager
    def scratch(self, job: str, asset: str) -> Iterator[Path]:
        """Give a fresh folder beside the artifacts, so that publication is a rename; it is removed afterwards."""
        folder = self._root / "scratch" / f"{_checked(job)}-{_checked(asset)}-{uuid.uuid4().hex[:12]}"
        with disk_errors():
            folder.mkdir(parents=True)
        try:
            with disk_errors():
                yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)

    def ongoing(self, job: str, asset: str, key: str) -> Path:
        """Return the folder of unfinished work; what was left for another ``key`` is removed."""
        home = self._ongoing(job, asset)
        folder = home / _checked(key)
        with disk_errors():
            folder.mkdir(parents=True, exist_ok=True)
        for other in home.iterdir():
            if other != folder:
                shutil.rmtree(other)
        return folder

    def publish(self, job: str, asset: str, folder: Path, *, provenance: Mapping[str, Any]) -> Artifact:
        """Make the files of ``folder`` the current version, then visible in one step. Raises ``DiskFull``."""
        home = self._root / "jobs" / _checked(job) / _checked(asset)
        files = [_entry(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
        digest = _digest(asset, files)
        version = digest[:16]
        manifest = {"asset": asset, "job": job, "digest": digest, "files": files, **provenance}
        with disk_errors():
            home.mkdir(parents=True, exist_ok=True)
            if not _holds(home / version, digest):
                write(folder / MANIFEST, json.dumps(manifest, indent=1))
                replace_folder(folder, home / version)
            write_atomic(home / CURRENT, json.dumps({"version": version, **provenance}, indent=1))
        if self._ongoing(job, asset).exists():
            shutil.rmtree(self._ongoing(job, asset))
        return self._artifact(job, asset, version, manifest)

    def fetch(self, job: str, asset: str, version: str | None = None) -> Artifact:
        """Return an artifact whose every file was checked against its size and sha256."""
        home = self._root / "jobs" / _checked(job) / _checked(asset)
        latest: Mapping[str, Any] = {}
        if version is None:
            latest = self._current(home, job, asset)
            version = str(latest["version"])
        try:
            manifest = json.loads((home / _checked(version) / MANIFEST).read_text())
        except FileNotFoundError:
            raise MissingArtifact(f"{asset} of job {job} has no version {version}") from None
        for entry in manifest["files"]:
            _verify(home / version / entry["name"], entry, what=f"{asset} of job {job}")
        # Equal content may have been made twice: who reads the current version is told how it came to be last.
        return self._artifact(job, asset, version, {**manifest, **{k: latest[k] for k in latest if k != "version"}})

    def register(self, upload: Upload) -> None:
        """Remember, or move, a job's upload."""
        home = self._root / "jobs" / _checked(upload.job)
        with disk_errors():
            home.mkdir(parents=True, exist_ok=True)
            write_atomic(home / "upload.json", json.dumps(upload.to_json(), indent=1))

    def upload(self, job: str) -> Upload:
        """Return a job's upload."""
        try:
            return Upload.from_json(json.loads((self._root / "jobs" / _checked(job) / "upload.json").read_text()))
        except FileNotFoundError:
            raise MissingArtifact(f"job {job} has no upload on record", remedy="Upload it again.") from None

    def jobs(self) -> list[str]:
        """Return every job that has an upload on record, sorted."""
        return sorted(path.parent.name for path in (self._root / "jobs").glob("*/upload.json"))

    def append(self, spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows as a part of their own: no lock, no lost update."""
        folder = self._root / "tables" / f"{spec.name}.parquet"
        part = uuid.uuid4().hex
        with disk_errors():
            folder.mkdir(parents=True, exist_ok=True)
            hidden = folder / f".{part}"  # readers of Parquet folders skip names with a leading dot
            write_table(hidden, spec, rows)
            hidden.rename(folder / f"part-{part}.parquet")

    def rows(self, spec: TableSpec) -> pd.DataFrame:
        """Return a cross-job table whole, oldest first; an empty one when nothing was written yet."""
        folder = self._root / "tables" / f"{spec.name}.parquet"
        # Rows tell whole seconds; within one, the order of the files is the order of writing.
        parts = sorted(folder.glob("part-*.parquet"), key=lambda part: part.stat().st_mtime_ns)
        if not parts:
            return pd.DataFrame(columns=[column.name for column in spec.columns])
        frames = [read_table(part, spec) for part in parts]
        return pd.concat(frames, ignore_index=True).sort_values("utc", kind="stable", ignore_index=True)

    def delivery_of(self, job: str) -> Path | None:
        """Return the folder that was delivered last for a job, or None."""
        link = self._delivered / _checked(job) / "latest"
        return link.resolve() if link.exists() else None

    def deliver(self, artifact: Artifact) -> Path:
        """Copy an artifact to ``<delivered>/<job>/<version>`` whole or not at all and point ``latest`` at it."""
        home = self._delivered / _checked(artifact.job)
        target = home / artifact.version
        with disk_errors():
            home.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                half = home / f".{uuid.uuid4().hex}"
                shutil.copytree(artifact.folder, half)
                sync_tree(half)
                replace_folder(half, target)
            link = home / f".{uuid.uuid4().hex}"
            link.symlink_to(target.name)
            link.replace(home / "latest")
        return target

    def _ongoing(self, job: str, asset: str) -> Path:
        return self._root / "ongoing" / _checked(job) / _checked(asset)

    def _current(self, home: Path, job: str, asset: str) -> dict[str, Any]:
        try:
            return dict(json.loads((home / CURRENT).read_text()))
        except FileNotFoundError:
            remedy = f"Materialize {asset} for partition {job} first."
            raise MissingArtifact(f"{asset} of job {job} was never made", remedy=remedy) from None

    def _artifact(self, job: str, asset: str, version: str, manifest: Mapping[str, Any]) -> Artifact:
        return Artifact(
            job=job,
            asset=asset,
            version=version,
            digest=manifest["digest"],
            folder=self._root / "jobs" / job / asset / version,
            size_bytes=sum(entry["size_bytes"] for entry in manifest["files"]),
            manifest=manifest,
        )


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UnsafeUpload(f"{name!r} cannot name a job, an asset or a version")
    return name


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return {"name": path.relative_to(folder).as_posix(), "size_bytes": path.stat().st_size, "sha256": digest}


def _digest(asset: str, files: Sequence[Mapping[str, Any]]) -> str:
    text = json.dumps([asset, [[f["name"], f["sha256"]] for f in files]])
    return hashlib.sha256(text.encode()).hexdigest()


def _verify(path: Path, entry: Mapping[str, Any], *, what: str) -> None:
    try:
        with path.open("rb") as file:
            size, digest = path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise CorruptArtifact(f"{what} lacks {entry['name']}", file=entry["name"]) from None
    if (size, digest) != (entry["size_bytes"], entry["sha256"]):
        raise CorruptArtifact(f"{what}: {entry['name']} is not what was written", file=entry["name"])


def _holds(folder: Path, digest: str) -> bool:
    """Tell whether ``folder`` is a whole artifact of this digest; a damaged one is written anew."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for entry in manifest["files"]:
            _verify(folder / entry["name"], entry, what=folder.name)
    except (FileNotFoundError, CorruptArtifact, json.JSONDecodeError):
        return False
    return bool(manifest["digest"] == digest)
