"""Copies on this machine of what lies in an object store, kept between stages up to a budget.

    <folder>/locks/<00..ff>       held shared by every process that uses a copy of that shard, until it ends
    <folder>/kept/<key>/...       one folder a copy

The kernel lets go of a lock when its process ends, however it ends: no copy is removed under a reader, and none stays
for ever.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from resources.disk import disk_errors
from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.ports.stores import Place

READS = 3
"""A network now and then gives other bytes than were stored: so often a file is read before it is called damaged."""


class Copies:
    """Folders of one machine, used by many processes."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        """Remember the folder and how much may lie in it; what is in use may exceed that."""
        self._folder, self._most_bytes = folder, most_bytes
        self._held: dict[tuple[int, str], int] = {}

    def hold(self, key: str) -> Path:
        """Return the folder of ``key``, which stays until this process ends; others may go to make room."""
        name = hashlib.sha256(key.encode()).hexdigest()
        kept = self._folder / "kept" / name
        shard = (os.getpid(), name[:2])
        with disk_errors():
            if shard not in self._held:
                self._held[shard] = self._lock(name[:2], fcntl.LOCK_SH)
            kept.mkdir(parents=True, exist_ok=True)
            os.utime(kept)
        self._make_room()
        return kept

    def _make_room(self) -> None:
        """Remove copies that nobody uses, the longest unused first, until the budget holds."""
        sizes = {copy: _size(copy) for copy in sorted((self._folder / "kept").iterdir(), key=_used)}  # oldest first
        over = sum(sizes.values()) - self._most_bytes
        for copy, size in sizes.items():
            if over <= 0:
                return
            shard = copy.name[:2]
            if (os.getpid(), shard) in self._held:
                continue
            try:
                lock = self._lock(shard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another process reads it
                continue
            shutil.rmtree(copy, ignore_errors=True)  # what is left is removed the next time
            os.close(lock)
            over -= size

    def _lock(self, shard: str, kind: int) -> int:
        path = self._folder / "locks" / shard
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, kind)
        except BlockingIOError:
            os.close(handle)
            raise
        return handle


def brought(place: Place, name: str, path: Path, good: Callable[[Path], bool]) -> None:
    """Make ``path`` a copy of ``name`` that is ``good``, unless it is there.

    Raises ``CorruptArtifact``, ``FileNotFoundError``.
    """
    if path.is_file() and good(path):
        return
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name[:100]}-{os.getpid()}")
    try:
        for _ in range(READS):
            place.fetch(name, half)
            if good(half):
                half.replace(path)
                return
    finally:
        half.unlink(missing_ok=True)
    raise CorruptArtifact(f"{name} was read {READS} times and is not what was written", file=path.name)


def _size(folder: Path) -> int:
    """Return the bytes below a folder, which another process may be removing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118  # many files
            except FileNotFoundError:
                continue
    return total


def _used(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
