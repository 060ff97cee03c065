"""A place in an object store, through fsspec: ``s3://bucket/prefix``, ``az://container/prefix``, ``abfs://...``.

Credentials come from the environment, as the store's own tools read them; they are in no URL and in no message here.
One object is written whole or not at all. Of several, one is written last and says that the others are there.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from resources.clients import opened
from splat_pipeline.domain.errors import SplatError, StoreUnavailable
from splat_pipeline.ports.stores import FileFacts, Place

AT_ONCE = 8
"""Objects that are written or copied at the same time."""
READS = 4
"""So often bytes are asked for, until they are what was written or two answers agree."""
_MAY_LACK = ("read", "fetch", "_copy")
"""Where a file that is not there is an answer; elsewhere it is the bucket that is not."""
Given = ParamSpec("Given")
Back = TypeVar("Back")


def _told(
    verb: Callable[Concatenate[ObjectPlace, Given], Back],
) -> Callable[Concatenate[ObjectPlace, Given], Back]:
    """Turn what a store's library raises into ``StoreUnavailable``, without its text: that may hold a signature."""

    @functools.wraps(verb)
    def wrapped(place: ObjectPlace, *args: Given.args, **kwargs: Given.kwargs) -> Back:
        try:
            return verb(place, *args, **kwargs)
        except SplatError:
            raise
        except Exception as error:  # each store's library has a tree of its own
            if isinstance(error, FileNotFoundError) and verb.__name__ in _MAY_LACK:
                raise
            raise StoreUnavailable(f"{place.url}: {verb.__name__}: {type(error).__name__}{_code(error)}") from None

    return wrapped  # type: ignore[return-value]  # the same, by functools.wraps


def _code(error: Exception) -> str:
    """Return what the store called it, where it says so by a code."""
    told = getattr(error, "response", None)
    code = told.get("Error", {}).get("Code") if isinstance(told, dict) else getattr(error, "error_code", None)
    return f" ({code})" if code else ""


class ObjectPlace:
    """Fulfils ``Place`` below one prefix of an object store."""

    def __init__(self, url: str) -> None:
        """Remember the address; nothing is opened yet, so that processes may fork."""
        self._url = url.rstrip("/")
        self._opened: tuple[int, Any] | None = None

    @property
    def url(self) -> str:
        """The prefix."""
        return self._url

    def here(self, name: str = "") -> Path | None:
        """Return None: it is not on this machine."""
        del name
        return None  # its protocol says a path, or None

    @_told
    def check(self) -> None:
        """Raise ``StoreUnavailable`` where the store does not answer, or has no such bucket."""
        root = self._at("").split("/", 1)[0]
        if not self._fs.exists(root):
            raise StoreUnavailable(f"{self._url}: there is no bucket or container {root}, or it may not be listed")

    @_told
    def find(self, name: str = "") -> dict[str, FileFacts]:
        """Return every object below ``name``, or that object itself, by name."""
        found = self._fs.find(self._at(name), detail=True)
        if not isinstance(found, dict):  # adlfs gives a list when it is an object
            found = {path: self._fs.info(path) for path in found}
        skipped = len(self._at("")) + 1
        return {path[skipped:]: _facts(info) for path, info in found.items() if len(path) >= skipped}

    @_told
    def children(self, name: str = "") -> list[str]:
        """Return the names right below ``name``, sorted; none where there is nothing."""
        try:
            found = self._fs.ls(self._at(name), detail=False)
        except FileNotFoundError:
            return []
        here = self._at(name)
        return sorted({path.rstrip("/").rsplit("/", 1)[-1] for path in found if path.rstrip("/") != here})

    @_told
    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes of an object, or some of them. Raises ``FileNotFoundError``.

        They have the length and the MD5 that the store tells, or came twice: a network now and then gives others.
        """
        seen: set[str] = set()
        for _ in range(READS):
            facts = _facts(self._fs.info(self._at(name)))
            end = facts.size_bytes if stop is None else min(stop, facts.size_bytes)
            if end <= start:
                return b""
            data = bytes(self._fs.cat_file(self._at(name), start=start, end=end))
            md5 = facts.md5 if end - start == facts.size_bytes else None
            if len(data) == end - start and _is_right(hashlib.md5(data, usedforsecurity=False), md5, seen):
                return data
        raise StoreUnavailable(f"{self._url}: {name} was read {READS} times and did not arrive as it was written")

    @_told
    def write(self, name: str, data: bytes) -> None:
        """Put ``data`` in the place of what ``name`` held."""
        self._fs.pipe_file(self._at(name), data)

    @_told
    def create(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists already (``If-None-Match: *``); tell whether this call did."""
        try:
            self._fs.pipe_file(self._at(name), data, mode="create")
        except FileExistsError:
            return False
        return True

    @_told
    def put(self, path: Path, name: str) -> None:
        """Copy a file of this machine to ``name``."""
        self._fs.put_file(str(path), self._at(name))

    def put_tree(self, folder: Path, name: str, last: str) -> None:
        """Copy a folder of this machine to ``name``; the file ``last`` goes last, when the others are there whole."""
        sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()
        }
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda file: self.put(folder / file, f"{name}/{file}"), sorted(sizes.keys() - {last})))
        there = {path: facts.size_bytes for path, facts in self.find(name).items()}
        for file in sizes.keys() - {last}:
            if there.get(f"{name}/{file}") != sizes[file]:
                raise StoreUnavailable(f"{self._url}: {name}/{file} did not arrive whole")
        self.put(folder / last, f"{name}/{last}")

    @_told
    def fetch(self, name: str, path: Path) -> None:
        """Copy an object to this machine; it has the size that the store tells, and the MD5 where it tells one.

        Raises ``FileNotFoundError``.
        """
        seen: set[str] = set()
        for _ in range(READS):
            facts = _facts(self._fs.info(self._at(name)))
            self._fs.get_file(self._at(name), str(path))
            if path.stat().st_size != facts.size_bytes:
                continue
            if facts.md5 is None:
                return
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
            if _is_right(digest, facts.md5, seen):
                return
        raise StoreUnavailable(f"{self._url}: {name} was fetched {READS} times and did not arrive as it was written")

    @_told
    def link(self, name: str, *, seconds: int) -> str:
        """Return a signed link to an object."""
        return str(self._fs.sign(self._at(name), expiration=seconds))

    def send(self, name: str, other: Place, target: str) -> None:
        """Copy an object to another place, or within this one: by the store itself where both are of one kind."""
        there = other.here(target)
        if there is not None:
            there.parent.mkdir(parents=True, exist_ok=True)
            half = there.with_name(f".{uuid.uuid4().hex}")
            self.fetch(name, half)
            half.replace(there)
        elif isinstance(other, ObjectPlace) and other.kind == self.kind:
            self._copy(name, other, target)
        else:
            with tempfile.TemporaryDirectory(prefix="splat-") as folder:
                self.fetch(name, Path(folder) / "half")
                other.put(Path(folder) / "half", target)

    @property
    def kind(self) -> str:
        """The scheme of the address."""
        return self._url.split("://", 1)[0]

    @_told
    def _copy(self, name: str, other: ObjectPlace, target: str) -> None:
        self._fs.cp_file(self._at(name), other._at(target))  # of the same class

    @_told
    def remove(self, name: str) -> None:
        """Remove an object, or all below ``name``, when it is there."""
        for path in [*self._fs.find(self._at(name))]:
            with contextlib.suppress(FileNotFoundError):  # another one removed it
                self._fs.rm_file(path)

    def _at(self, name: str) -> str:
        root = str(self._root.path).rstrip("/")
        return f"{root}/{name}" if name else root

    @property
    def _fs(self) -> Any:
        return self._root.fs

    @property
    def _root(self) -> Any:
        """The store's client, one a process: a connection does not outlive a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), opened(self._url))
        return self._opened[1]


def _is_right(digest: hashlib._Hash, md5: str | None, seen: set[str]) -> bool:
    """Tell whether bytes are what the store tells, or came before.

    A store may tell another digest than MD5, of objects encrypted with a key: two reads that agree are right too.
    """
    found = digest.hexdigest()
    again = found in seen
    seen.add(found)
    return again or found == md5


def _facts(info: dict[str, Any]) -> FileFacts:
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    when = info.get("LastModified") or info.get("last_modified")
    told = (info.get("content_settings") or {}).get("content_md5")
    # S3 names an object that came in one part, without a key of its own, by its MD5.
    md5 = bytes(told).hex() if told else tag if len(tag) == 32 and "-" not in tag and "ETag" in info else None
    stamp = f"{info['size']} {tag} {when}"
    modified = int(when.timestamp() * 1e9) if isinstance(when, datetime) else 0
    return FileFacts(size_bytes=int(info["size"]), stamp=stamp, modified_ns=modified, md5=md5)
