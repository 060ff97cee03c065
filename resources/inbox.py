"""What lies in an upload: listed without following links, identified by its content."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from splat_pipeline.assets.jobfile import MAX_BYTES, read_job_file
from splat_pipeline.domain.contents import classify, is_junk, require_content
from splat_pipeline.domain.errors import InputError, UnsafeUpload
from splat_pipeline.domain.uploads import Upload, UploadFile, job_key, natural_order, safe_name
from splat_pipeline.domain.wishes import Wishes, split
from splat_pipeline.ports.stores import Place

END_BYTES = 1 << 20
"""So much of either end of a file identifies it together with its name and size."""
MOST_FILES = 50_000
AT_ONCE = 16
"""Files that are looked at at the same time."""


def list_upload(path: Path, title: str | None = None, *, managed: bool = False) -> Upload:
    """Return the upload that a folder, or a single file, of this machine is. ``title`` defaults to its name.

    ``managed``: it lies in the inbox, and is moved on when its job ends.

    Raises ``EmptyUpload`` without a clip or a set of images, ``UnsafeUpload`` for links, pipes, devices and names
    that leave the folder, ``BadJobFile``, ``InputError`` when there is nothing at ``path``.
    """
    root = path.absolute()
    if not os.path.lexists(root):
        raise InputError(f"there is nothing at {path}", file=str(path), remedy="Check the path.")
    if root.is_symlink():
        raise UnsafeUpload(f"{path} is a link", file=str(path))
    single = not root.is_dir()
    names = [root.name] if single else list(_walk(root, ""))
    folder = root.parent if single else root

    def ends(name: str) -> tuple[int, str]:
        with open_regular(folder / name, name) as stream:
            size = os.fstat(stream.fileno()).st_size
            return size, ends_digest(stream, size)

    def text(name: str) -> bytes:
        with open_regular(folder / name, name) as stream:
            return stream.read(MAX_BYTES + 1)

    title = title or (root.stem if single else root.name)
    return _listed(_Files(names=names, ends=ends, text=text), title, location=str(folder), managed=managed)


def list_entry(inbox: Place, name: str) -> Upload:
    """Return the upload that an entry of the inbox is, wherever that lies. Raises as ``list_upload``."""
    here = inbox.here(safe_name(name))
    if here is not None:
        return list_upload(here, managed=True)
    found = {path: facts for path, facts in inbox.find(name).items() if not path.endswith("/")}
    single = name in found
    prefix = "" if single else f"{name}/"

    def ends(file: str) -> tuple[int, str]:
        size = found[prefix + file].size_bytes
        head = inbox.read(prefix + file, 0, min(size, END_BYTES)) if size else b""
        tail = inbox.read(prefix + file, max(END_BYTES, size - END_BYTES), size) if size > END_BYTES else b""
        return size, hashlib.sha256(head + tail).hexdigest()

    def text(file: str) -> bytes:
        return inbox.read(prefix + file, 0, min(found[prefix + file].size_bytes, MAX_BYTES + 1))

    names = [path.removeprefix(prefix) for path in found]
    location = inbox.url if single else f"{inbox.url}/{name}"
    title = Path(name).stem if single else name
    return _listed(_Files(names=names, ends=ends, text=text), title, location=location, managed=True)


@dataclass(frozen=True, kw_only=True)
class _Files:
    """How to look at the files of an upload."""

    names: list[str]
    ends: Callable[[str], tuple[int, str]]
    """Returns size in bytes and digest of both ends. Raises ``UnsafeUpload``, ``InputError``."""
    text: Callable[[str], bytes]
    """Returns the content of a small file."""


def _listed(seen: _Files, title: str, *, location: str, managed: bool) -> Upload:
    if len(seen.names) > MOST_FILES:
        raise UnsafeUpload(f"more than {MOST_FILES} files in {title}")
    contents = classify(seen.names)
    wishes, asked = _asked(seen, contents.job_file)
    told = f"{contents.job_file}\0{json.dumps(asked, sort_keys=True)}\n" if asked else ""
    files, digest = [], hashlib.sha256()
    ordered = [safe_name(name) for name in natural_order(seen.names)]
    with ThreadPoolExecutor(AT_ONCE) as pool:  # an object store answers many as fast as one
        looks = list(pool.map(seen.ends, ordered))
    for name, (size, ends) in zip(ordered, looks, strict=True):
        files.append(UploadFile(name=name, size_bytes=size, ends=ends))
        if name == contents.job_file:
            digest.update(told.encode())
        elif not is_junk(name):
            digest.update(f"{name}\0{size}\0{ends}\n".encode())
    require_content(contents, title)
    content = digest.hexdigest()
    return Upload(
        job=job_key(title, content),
        title=title,
        location=location,
        files=tuple(files),
        managed=managed,
        content=content,
        wishes=wishes,
        asked=asked,
    )


def _asked(seen: _Files, job_file: str | None) -> tuple[Wishes, dict[str, Any]]:
    """Return the wishes of an upload, and the rest of its job file as plain values: how the result shall look."""
    if job_file is None:
        return Wishes(), {}
    wishes, rest = split(read_job_file(seen.text(job_file).decode(errors="replace")), file=job_file)
    return wishes, json.loads(json.dumps(rest, default=str))


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


def ends_digest(stream: BufferedReader, size: int) -> str:
    """Return the sha256 of the first and the last ``END_BYTES`` of an open file of ``size`` bytes."""
    digest = hashlib.sha256(stream.read(END_BYTES))
    if size > END_BYTES:
        stream.seek(max(END_BYTES, size - END_BYTES))
        digest.update(stream.read(END_BYTES))
    return digest.hexdigest()


def sha256_of(path: Path) -> tuple[str, int]:
    """Return sha256 and size in bytes of a regular file. Raises as ``open_regular``."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), os.fstat(stream.fileno()).st_size
