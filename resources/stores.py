"""Artifacts, uploads, cross-job tables and deliveries: on a disk, a network mount or an object store, by the same code.

    <root>/jobs/<job>/upload.json                     where the upload lies
    <root>/jobs/<job>/<asset>/<version>/...           an artifact: its files and artifact.json, never changed
    <root>/jobs/<job>/<asset>/current, attempts       which version is current: see ``fences``
    <root>/contents/<sha256>.json                     the job that a content came as first
    <root>/tables/<name>.parquet/part-<id>.parquet    a cross-job table, see ``parts``: pandas and DuckDB read it as one
    <local>/ongoing/<job>/<asset>/<key>/...           what unfinished work needs to go on; goes when it is published
    <local>/scratch/...                               half-made things; may be deleted while nothing runs
    <local>/copies/...                                what was fetched from an object store: see ``copies``
    <delivered>/<job>/<version>/..., latest           what people receive

``local`` is ``root`` where that is a folder. A version is named by its content, so identical content is stored once.
An artifact becomes visible whole: by one rename on a file system, by its manifest, written last, on an object store.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from resources import fences
from resources.artifacts import MANIFEST, copied, digest_of, entry_of, holds, is_entry, manifest_in
from resources.copies import Copies
from resources.deliveries import Deliveries
from resources.disk import disk_errors, write
from resources.fetched import fetched_upload
from resources.parts import all_rows, merge_days, table_home
from resources.places import place_of
from resources.sealed import read_sealed, sealed
from splat_pipeline.domain.errors import CorruptArtifact, MissingArtifact, Superseded, UnsafeUpload
from splat_pipeline.domain.tables import TableSpec, write_table
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.ports.stores import Artifact, Place

COPIES_BYTES = 20 * 10**9
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class FileStore:
    """Fulfils ``Store`` below one folder or prefix."""

    def __init__(
        self,
        root: Path | str,
        delivered: Path | str,
        *,
        local: Path | None = None,
        copies_bytes: int = COPIES_BYTES,
        address: str | None = None,
    ) -> None:
        """Remember the places; they are made when first written to. ``local`` is needed where ``root`` is a URL.

        ``address``: where ``artifact_server`` gives the files of artifacts; None: nowhere.
        """
        self._address = address
        self.place: Place = place_of(root)
        mine = self.place.here() or local
        if mine is None:
            raise ValueError(f"a store at {root} needs a folder of this machine for what is half made")
        self.local = mine
        self._copies = Copies(mine / "copies", most_bytes=copies_bytes)
        self._deliveries = Deliveries(place_of(delivered), self._copies)
        self._numbers: dict[Path, int] = {}

    @contextmanager
    def scratch(self, job: str, asset: str) -> Iterator[Path]:
        """Give a fresh folder, beside the artifacts where these are on this machine; it is removed afterwards."""
        number = fences.begin(self.place, _home(job, asset), {})
        with self._folder(f"{job}-{asset}") as folder:
            self._numbers[folder] = number
            try:
                yield folder
            finally:
                del self._numbers[folder]

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
        """Make the files of ``folder`` the current version, then visible in one step.

        Raises ``Superseded``, ``DiskFull``, ``StoreUnavailable``.
        """
        home = _home(job, asset)
        number = self._numbers.get(folder) or fences.begin(self.place, home, provenance)
        files = [entry_of(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
        digest = digest_of(asset, files)
        version = digest[:16]
        manifest = {"asset": asset, "job": job, "digest": digest, "files": files, **provenance}
        fences.require_newest(self.place, home, number)
        here = self.place.here(f"{home}/{version}")
        if here is None or not holds(here, asset, digest):
            with disk_errors():
                write(folder / MANIFEST, sealed(manifest).decode())
            self.place.put_tree(folder, f"{home}/{version}", MANIFEST)
        fences.require_newest(self.place, home, number)
        fences.point(self.place, home, number, version, provenance)
        if self._ongoing(job, asset).exists():
            shutil.rmtree(self._ongoing(job, asset))
        return _artifact(manifest, version, here or self._kept(folder, f"{home}/{version}", files))

    def fetch(self, job: str, asset: str, version: str | None = None) -> Artifact:
        """Return an artifact whose every file was checked against its size and sha256."""
        home, what = _home(job, asset), f"{asset} of job {job}"
        latest: Mapping[str, Any] = {}
        if version is None:
            version, latest = fences.current(self.place, home) or (None, latest)
        if version is None:
            raise MissingArtifact(f"{what} was never made", remedy=f"Materialize {asset} for partition {job} first.")
        name = f"{home}/{_checked(version)}"
        try:
            manifest = manifest_in(self.place, name, asset, version)
            folder = self.place.here(name) or self._copied(name, manifest)
        except FileNotFoundError:
            raise MissingArtifact(f"{what} has no version {version}, or lacks a file of it") from None
        for entry in manifest["files"]:
            if not is_entry(folder / entry["name"], entry):
                raise CorruptArtifact(f"{what}: {entry['name']} is not what was written", file=entry["name"])
        # Equal content may have been made twice: who reads the current version is told how it came to be last.
        return _artifact({**manifest, **latest}, version, folder)

    def link(self, artifact: Artifact, name: str) -> str | None:
        """Return where a file of an artifact can be looked at."""
        if self._address is None:
            return None
        return "/".join([self._address.rstrip("/"), artifact.job, artifact.asset, artifact.version, quote(name)])

    def register(self, upload: Upload) -> None:
        """Remember, or move, a job's upload."""
        self.place.write(f"jobs/{_checked(upload.job)}/upload.json", sealed(upload.to_json()))

    def upload(self, job: str) -> Upload:
        """Return a job's upload."""
        try:
            return Upload.from_json(read_sealed(self.place, f"jobs/{_checked(job)}/upload.json"))
        except FileNotFoundError:
            raise MissingArtifact(f"job {job} has no upload on record", remedy="Upload it again.") from None

    def here(self, upload: Upload) -> Upload:
        """Return an upload whose location is a folder of this machine."""
        return fetched_upload(upload, self._copies)

    def first_job(self, content: str, job: str) -> str:
        """Return the job that a content came as first: ``job`` when it is new, whoever asks at the same time."""
        name = f"contents/{_checked(content)}.json"
        return job if self.place.create(name, sealed({"job": job})) else str(read_sealed(self.place, name)["job"])

    def jobs(self) -> list[str]:
        """Return every job that has an upload on record, sorted."""
        return [job for job in self.place.children("jobs") if self.place.find(f"jobs/{job}/upload.json")]

    def append(self, spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows as a part of their own: no lock, no lost update."""
        with self._folder(f"table-{spec.name}") as folder:
            part = folder / f"part-{uuid.uuid4().hex}.parquet"
            write_table(part, spec, rows)
            self.place.put(part, f"{table_home(spec)}/{part.name}")

    def rows(self, spec: TableSpec) -> pd.DataFrame:
        """Return a cross-job table whole, oldest first; an empty one when nothing was written yet."""
        with self._folder(f"table-{spec.name}") as folder:
            return all_rows(self.place, spec, folder).sort_values("utc", kind="stable", ignore_index=True)

    def merge_tables(self, specs: Iterable[TableSpec], *, now_s: float) -> int:
        """Put the parts of cross-job tables together by days that are over; return how many files are fewer."""
        with self._folder("tables") as folder:
            return sum(merge_days(self.place, spec, folder, now_s=now_s) for spec in specs)

    def delivery_of(self, job: str) -> Path | None:
        """Return the folder that was delivered last for a job, fetched where it lies elsewhere, or None."""
        return self._deliveries.latest(_checked(job))

    def deliver(self, artifact: Artifact) -> str:
        """Copy an artifact to ``<delivered>/<job>/<version>`` whole or not at all and point ``latest`` at it."""
        home = _home(artifact.job, artifact.asset)
        latest = fences.current(self.place, home)
        if latest is not None and latest[0] != artifact.version:
            raise Superseded(f"{artifact.asset} of job {artifact.job} was made anew since: that is delivered")
        return self._deliveries.add(artifact)

    @contextmanager
    def _folder(self, name: str) -> Iterator[Path]:
        folder = self.local / "scratch" / f"{name}-{uuid.uuid4().hex[:12]}"
        with disk_errors():
            folder.mkdir(parents=True)
        try:
            with disk_errors():
                yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)

    def _kept(self, folder: Path, home: str, files: Sequence[Mapping[str, Any]]) -> Path:
        """Move what was published elsewhere to the copies: whoever reads it on this machine need not fetch it."""
        copy = self._copies.hold(f"{self.place.url}/{home}")
        for name in [*(entry["name"] for entry in files), MANIFEST]:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(copy / name)
        return copy

    def _copied(self, name: str, manifest: Mapping[str, Any]) -> Path:
        folder = self._copies.hold(f"{self.place.url}/{name}")
        copied(self.place, name, folder, manifest)
        return folder

    def _ongoing(self, job: str, asset: str) -> Path:
        return self.local / "ongoing" / _checked(job) / _checked(asset)


def _artifact(manifest: Mapping[str, Any], version: str, folder: Path) -> Artifact:
    return Artifact(
        job=manifest["job"],
        asset=manifest["asset"],
        version=version,
        digest=manifest["digest"],
        folder=folder,
        size_bytes=sum(entry["size_bytes"] for entry in manifest["files"]),
        manifest=manifest,
    )


def _home(job: str, asset: str) -> str:
    return f"jobs/{_checked(job)}/{_checked(asset)}"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UnsafeUpload(f"{name!r} cannot name a job, an asset or a version")
    return name
