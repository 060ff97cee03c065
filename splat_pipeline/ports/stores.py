"""Where artifacts and uploads lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from splat_pipeline.domain.inbox import Seen
from splat_pipeline.domain.tables import TableSpec
from splat_pipeline.domain.uploads import Upload


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A published artifact, here on disk, with checksums verified."""

    job: str
    asset: str
    version: str
    digest: str
    """sha256 over the files' names and contents: Dagster's data version."""
    folder: Path
    size_bytes: int
    manifest: Mapping[str, Any]
    """``artifact.json``."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What a listing says of a file or an object."""

    size_bytes: int
    stamp: str
    """Differs when the content was written anew: times and inode of a file, tag and time of an object."""
    modified_ns: int
    """Since the epoch, by the clock of where it lies."""
    md5: str | None = None
    """Hex, where a store tells it. Of S3 it may be another digest, when the object was encrypted with a key."""


class Place(Protocol):
    """A folder, or the objects below a prefix. Names are relative to it, with / between levels.

    One file is written whole or not at all, and stays. Raises ``DiskFull``, ``StoreUnavailable``.
    """

    @property
    def url(self) -> str:
        """Path or address."""
        ...

    def here(self, name: str = "") -> Path | None:
        """Return where ``name`` lies on this machine; None where it does not."""
        ...

    def check(self) -> None:
        """Make the place, or ask whether it answers."""
        ...

    def find(self, name: str = "") -> dict[str, FileFacts]:
        """Return every file below ``name``, or that file itself, by name."""
        ...

    def children(self, name: str = "") -> list[str]:
        """Return the names right below ``name``, sorted; none where there is nothing."""
        ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes of a file, or some of them. Raises ``FileNotFoundError``."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put ``data`` in the place of what ``name`` held."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists already; tell whether this call did: of many at once, one does."""
        ...

    def put(self, path: Path, name: str) -> None:
        """Bring a file of this machine to ``name``; it may be moved or copied."""
        ...

    def put_tree(self, folder: Path, name: str, last: str) -> None:
        """Bring a folder of this machine to ``name``: whoever sees the file ``last`` sees all, whole."""
        ...

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to this machine. Raises ``FileNotFoundError``."""
        ...

    def link(self, name: str, *, seconds: int) -> str | None:
        """Return a signed link to a file, good for so many seconds; None where the place signs nothing."""
        ...

    def send(self, name: str, other: Place, target: str) -> None:
        """Copy a file to another place, or within this one; it becomes visible there whole."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or all below ``name``, when it is there."""
        ...


class Store(Protocol):
    """Artifacts, uploads and cross-job tables. A reader sees a whole artifact or none."""

    def scratch(self, job: str, asset: str) -> AbstractContextManager[Path]:
        """Give a fresh folder that is removed afterwards; earlier attempts at the asset are fenced off from now on."""
        ...

    def publish(self, job: str, asset: str, folder: Path, *, provenance: Mapping[str, Any]) -> Artifact:
        """Make the files of ``folder`` the current version of an artifact, atomically.

        Raises ``Superseded`` when another attempt took a scratch folder later, ``DiskFull``, ``StoreUnavailable``.
        """
        ...

    def ongoing(self, job: str, asset: str, key: str) -> Path:
        """Return a folder that outlives a killed run: the same for the same ``key``, gone once the asset is published.

        ``key`` names all that the unfinished work rests on; what was left for another one of this asset is removed.
        """
        ...

    def fetch(self, job: str, asset: str, version: str | None = None) -> Artifact:
        """Return an artifact, the current version when none is named.

        Raises ``MissingArtifact``, ``CorruptArtifact``.
        """
        ...

    def link(self, artifact: Artifact, name: str) -> str | None:
        """Return an address where a person can look at a file of an artifact; None where nothing serves them."""
        ...

    def register(self, upload: Upload) -> None:
        """Remember where a job's upload lies; a later call with the same job moves it."""
        ...

    def upload(self, job: str) -> Upload:
        """Return a job's upload. Raises ``MissingArtifact``."""
        ...

    def here(self, upload: Upload) -> Upload:
        """Return an upload whose location is a folder of this machine, fetched and checked where it lies elsewhere.

        Raises ``InputError`` where it is not what it was.
        """
        ...

    def first_job(self, content: str, job: str) -> str:
        """Return the job that an upload's content (sha256) came as first: ``job`` when it is new."""
        ...

    def append(self, spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a cross-job table. Safe from several processes at once."""
        ...

    def rows(self, spec: TableSpec) -> pd.DataFrame:
        """Return a cross-job table whole, oldest first; an empty one when nothing was written yet."""
        ...

    def merge_tables(self, specs: Iterable[TableSpec], *, now_s: float) -> int:
        """Put the parts of cross-job tables together by days that are over (``now_s``: Unix time).

        Returns how many files are fewer. Who reads meanwhile sees every row once.
        """
        ...

    def deliver(self, artifact: Artifact) -> str:
        """Copy an artifact's files to the delivery folder of its job, atomically, and return its path or URL."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """Where an upload lies after its run."""

    place: str
    """Path or URL of the folder, or of the single file."""
    location: str
    """Path or URL of the folder that its files are relative to."""


class UploadShelves(Protocol):
    """The inbox, and where uploads lie afterwards."""

    def seen(self) -> Mapping[str, Seen]:
        """Return every upload in the inbox, by name, from one listing. Raises ``StoreUnavailable``."""
        ...

    def upload(self, name: str) -> Upload:
        """Return what an entry of the inbox is. Raises ``InputError``, ``StoreUnavailable``."""
        ...

    def shelve(self, name: str, told: Mapping[str, Any], *, stamp: str | None = None) -> Shelved | None:
        """Move an entry to processed/, or error/ where ``told`` has a ``class``, with ``told`` beside it.

        ``told["key"]`` names the move: made twice, or broken off and made again, it ends the same. ``told["utc"]`` is
        added to a name that is taken. None: it is not there, or not as ``stamp`` says, and stays.
        """
        ...
