"""What lies in an upload: listed without following links, identified by its content."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from splat_pipeline.domain.contents import classify, is_junk, require_content
from splat_pipeline.domain.errors import InputError, UnsafeUpload
from splat_pipeline.domain.uploads import Upload, UploadFile, job_key, natural_order, safe_name

END_BYTES = 1 << 20
"""So much of either end of a file identifies it together with its name and size."""
MOST_FILES = 50_000


def list_upload(path: Path, title: str | None = None, *, managed: bool = False) -> Upload:
    """Return the upload that a folder, or a single file, is. ``title`` defaults to its name.

    ``managed``: it lies in the inbox, and is moved on when its job ends.

    Raises ``EmptyUpload`` without a clip or a set of images, ``UnsafeUpload`` for links, pipes, devices and names
    that leave the folder, ``InputError`` when there is nothing at ``path``.
    """
    root = path.absolute()
    if not os.path.lexists(root):
        raise InputError(f"there is nothing at {path}", file=str(path), remedy="Check the path.")
    if root.is_symlink():
        raise UnsafeUpload(f"{path} is a link", file=str(path))
    single = not root.is_dir()
    names = [root.name] if single else list(_walk(root, ""))
    folder = root.parent if single else root
    title = title or (root.stem if single else root.name)
    files, digest = [], hashlib.sha256()
    for name in natural_order(names):
        with open_regular(folder / safe_name(name), name) as stream:
            size = os.fstat(stream.fileno()).st_size
            files.append(UploadFile(name=name, size_bytes=size))
            if not is_junk(name):
                digest.update(f"{name}\0{size}\0{_ends_digest(stream, size)}\n".encode())
    require_content(classify(names), title)
    job = job_key(title, digest.hexdigest())
    return Upload(job=job, title=title, location=str(folder), files=tuple(files), managed=managed)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    """Yield names below ``folder``; a link to a folder is yielded like a file, so that opening it refuses it."""
    seen = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    yield from _walk(Path(entry.path), f"{name}/")
                continue
            seen += 1
            if seen > MOST_FILES:
                raise UnsafeUpload(f"more than {MOST_FILES} files in {prefix or 'the upload'}", file=prefix or None)
            yield name


@contextmanager
def open_regular(path: Path, name: str | None = None) -> Iterator[BufferedReader]:
    """Open a regular file for reading. Raises ``UnsafeUpload`` for anything else, without waiting on a pipe."""
    shown = name or path.name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InputError(f"{shown} is gone", file=shown, remedy="Upload it again.") from None
    except OSError as error:
        kind = "a link" if path.is_symlink() else (error.strerror or "an error").lower()
        raise UnsafeUpload(f"{shown} cannot be opened as a plain file: {kind}", file=shown) from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnsafeUpload(f"{shown} is no plain file but a folder, pipe or device", file=shown)
        yield stream


def _ends_digest(stream: BufferedReader, size: int) -> str:
    digest = hashlib.sha256(stream.read(END_BYTES))
    if size > END_BYTES:
        stream.seek(max(END_BYTES, size - END_BYTES))
        digest.update(stream.read(END_BYTES))
    return digest.hexdigest()


def sha256_of(path: Path) -> tuple[str, int]:
    """Return sha256 and size in bytes of a regular file. Raises as ``open_regular``."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), os.fstat(stream.fileno()).st_size
