"""A place on a file system: the local disk, or a network mount.

What is written becomes visible through one rename after its bytes were flushed, and stays after a power cut: the
folder is flushed too. On ext4 a rename without both left empty or old files.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from resources.disk import disk_errors, replace_folder, sync_folder, sync_tree
from splat_pipeline.ports.stores import FileFacts, Place

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV)
"""What a file system without hard links answers (exFAT, some network mounts)."""


class FolderPlace:
    """Fulfils ``Place`` below one folder, which is made when first written to."""

    def __init__(self, root: Path) -> None:
        """Remember the folder."""
        self._root = root

    @property
    def url(self) -> str:
        """The folder's path."""
        return str(self._root)

    def here(self, name: str = "") -> Path:
        """Return where ``name`` lies."""
        return self._root / name

    def check(self) -> None:
        """Make the folder. Raises OSError where that cannot be."""
        self._root.mkdir(parents=True, exist_ok=True)

    def find(self, name: str = "") -> dict[str, FileFacts]:
        """Return every file below ``name``, by name; what vanishes meanwhile is left out."""
        top = self._root / name
        if not top.is_dir() or top.is_symlink():
            facts = _facts(top)
            return {} if facts is None else {name: facts}
        prefix = f"{name}/" if name else ""
        found = ((f"{prefix}{path}", _facts(top / path)) for path in _walk(top, ""))
        return {path: facts for path, facts in found if facts is not None}

    def children(self, name: str = "") -> list[str]:
        """Return the names right below ``name``, sorted; none where there is nothing."""
        try:
            return sorted(path.name for path in (self._root / name).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes of a file, or some of them. Raises ``FileNotFoundError``."""
        with (self._root / name).open("rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(max(0, stop - start))

    def write(self, name: str, data: bytes) -> None:
        """Put ``data`` in the place of what ``name`` held, whole or not at all."""
        with disk_errors():
            half = self._half(name, data)
            half.replace(self._root / name)
            sync_folder((self._root / name).parent)

    def create(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists already, whole or not at all; tell whether this call did."""
        with disk_errors():
            half = self._half(name, data)
            try:
                _claim(half, self._root / name)
            except FileExistsError:
                return False
            finally:
                half.unlink()
            sync_folder((self._root / name).parent)
        return True

    def put(self, path: Path, name: str) -> None:
        """Move a file of this machine to ``name``; it becomes visible whole."""
        target = self._root / name
        with disk_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            half = target.with_name(f".{uuid.uuid4().hex}")
            shutil.move(path, half)
            with half.open("rb") as file:
                os.fsync(file.fileno())
            half.replace(target)
            sync_folder(target.parent)

    def put_tree(self, folder: Path, name: str, last: str) -> None:
        """Make a folder of this machine visible as ``name`` in one step; the folder is used up where it can be."""
        del last  # a rename shows all files at once
        target = self._root / name
        with disk_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            if folder.stat().st_dev != target.parent.stat().st_dev:
                half = target.with_name(f".{uuid.uuid4().hex}")
                shutil.copytree(folder, half)
                folder = half
            sync_tree(folder)
            replace_folder(folder, target)

    def link(self, name: str, *, seconds: int) -> None:
        """Return None: files of a folder have no links that end."""
        del name, seconds

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to this machine. Raises ``FileNotFoundError``."""
        with disk_errors():
            shutil.copyfile(self._root / name, path)

    def send(self, name: str, other: Place, target: str) -> None:
        """Copy a file to another place, or within this one; it becomes visible there whole. A link stays one."""
        there = other.here(target)
        if there is None:
            other.put(self._root / name, target)
            return
        with disk_errors():
            there.parent.mkdir(parents=True, exist_ok=True)
            half = there.with_name(f".{uuid.uuid4().hex}")
            shutil.copy2(self._root / name, half, follow_symlinks=False)
            half.replace(there)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all below it, when it is there."""
        path = self._root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _half(self, name: str, data: bytes) -> Path:
        """Write ``data`` beside ``name``, hidden and flushed."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{target.name[:100]}-{uuid.uuid4().hex}")
        with half.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return half


def _claim(half: Path, target: Path) -> None:
    """Give ``half`` a second name, unless that exists: then ``FileExistsError``."""
    try:
        target.hardlink_to(half)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with target.open("xb") as file:  # here a crash can leave an empty file, which a link never does
            file.write(half.read_bytes())
            os.fsync(file.fileno())


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    """Yield names below ``folder``; links are not followed, what vanishes meanwhile is passed over."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
                else:
                    yield f"{prefix}{entry.name}"
    except FileNotFoundError:
        return


def _facts(path: Path) -> FileFacts | None:
    try:
        seen = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(seen.st_mode):
        return None
    stamp = f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino}"
    return FileFacts(size_bytes=seen.st_size, stamp=stamp, modified_ns=seen.st_mtime_ns)
