"""Writing so that what is there after a power cut is whole: flushed, then renamed, then the folder flushed."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splat_pipeline.domain.errors import DiskFull, StoreUnavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)
_AWAY = (errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN)
"""What a disk that failed, or a network mount whose server went away, says."""
_NOT_FLUSHED = (errno.EINVAL, errno.ENOTSUP)
"""What network mounts answer whose servers flush names by themselves (SMB, FUSE)."""


def write(path: Path, text: str) -> None:
    """Write ``text`` and flush it to the disk."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, text: str) -> None:
    """Put ``text`` in the place of what ``path`` held, whole or not at all."""
    half = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    write(half, text)
    half.replace(path)
    sync_folder(path.parent)


def replace_folder(half: Path, target: Path) -> None:
    """Rename ``half`` to ``target``; a damaged folder that is in the way steps aside first."""
    for folder in [half, *(path for path in half.rglob("*") if path.is_dir())]:
        sync_folder(folder)
    if target.exists():
        target.rename(target.with_name(f".damaged-{target.name}-{uuid.uuid4().hex}"))
    half.rename(target)
    sync_folder(target.parent)


def sync_tree(folder: Path) -> None:
    """Flush every file of ``folder`` to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names that ``folder`` holds to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_FLUSHED:
            raise
    finally:
        os.close(handle)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk inside into ``DiskFull``, one that went away into ``StoreUnavailable``."""
    try:
        yield
    except OSError as error:
        # A tree that cannot be copied raises one error for all its files, which tells their reasons in words only.
        several = isinstance(error, shutil.Error) and any(f"[Errno {number}]" in str(error) for number in _FULL)
        if error.errno in _FULL or several:
            raise DiskFull(f"no space left while writing {error.filename or 'an artifact'}") from error
        if error.errno in _AWAY:
            raise StoreUnavailable(f"{error.filename or 'the disk'}: {(error.strerror or 'lost').lower()}") from error
        raise
