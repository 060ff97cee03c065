"""Where uploads lie before and after their run: inbox, processed/ and error/, on any kind of place.

Beside what lies on a shelf is a marker: ``<name>.result.json`` says what came of it, ``<name>.reason.json`` why nothing
did. An upload is moved by one rename where that is possible. Elsewhere it is copied, the copy is held against the
original, the marker is written, and the original goes: whatever dies in between, moving it again ends the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from resources.disk import disk_errors, sync_folder, sync_tree
from resources.inbox import END_BYTES, list_entry
from splat_pipeline.domain.contents import is_junk, is_partial
from splat_pipeline.domain.errors import StoreUnavailable
from splat_pipeline.domain.inbox import Seen
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.ports.stores import FileFacts, Place, Shelved

DONE = ".done"
REASON, RESULT = ".reason.json", ".result.json"


@dataclass(frozen=True, kw_only=True)
class Shelves:
    """Fulfils ``UploadShelves``."""

    inbox: Place
    processed: Place
    errors: Place

    def seen(self) -> dict[str, Seen]:
        """Return every upload in the inbox, from one listing: no file is opened."""
        groups: dict[str, dict[str, FileFacts]] = {}
        if self.inbox.here() is not None:
            groups = {name: {} for name in self.inbox.children()}  # a folder without a file is in no listing of files
        for path, facts in self.inbox.find().items():
            groups.setdefault(path.split("/", 1)[0], {})[path] = facts
        return {
            name: _seen(name, files, done=name + DONE in groups) for name, files in groups.items() if _is_upload(name)
        }

    def upload(self, name: str) -> Upload:
        """Return what an entry of the inbox is. Raises ``InputError``."""
        stamp = self._stamp(name) or ""  # before it is read: what changes meanwhile is seen the next time
        return replace(list_entry(self.inbox, name), entry=name, stamp=stamp)

    def shelve(self, name: str, told: Mapping[str, Any], *, stamp: str | None = None) -> Shelved | None:
        """Move ``inbox/name`` to its shelf with ``told`` beside it; error/ where that has a ``class``.

        ``told["key"]`` names this move: where it was done before, or was broken off, it ends the same. ``told["utc"]``
        is added to names that are taken. None: it is not there, or not as ``stamp`` says.
        """
        failed = "class" in told
        shelf = self.errors if failed else self.processed
        single = name in self.inbox.find(name)
        target = _target(shelf, name, told, ending := REASON if failed else RESULT, single=single)
        source, there = self.inbox.here(name), shelf.here(target)
        ours = _key_of(shelf, target + ending) == told["key"]
        lies = self._stamp(name)
        if ours and (lies is None or source is None or there is None):  # it is all there: the rest of it may go
            self._clear(name, shelf, target)
            return self._shelved(shelf, target)
        if lies is None or (stamp is not None and lies != stamp):
            return None
        marker = json.dumps(told, indent=1, ensure_ascii=False).encode()
        if source is not None and there is not None:
            shelf.write(target + ending, marker)
            _move(source, there)
        else:
            shelf.write(_moving(target), marker)  # the name is taken by this move, should it be broken off
            self._carry(name, shelf, target)
            shelf.write(target + ending, marker)
            self._clear(name, shelf, target)
        self.inbox.remove(name + DONE)
        return self._shelved(shelf, target)

    def _clear(self, name: str, shelf: Place, target: str) -> None:
        """Remove from the inbox what was copied, and nothing that came since."""
        copied = shelf.find(target)
        for path, facts in self.inbox.find(name).items():
            there = copied.get(target + path.removeprefix(name))
            if path.endswith("/") or (there is not None and there.size_bytes == facts.size_bytes):
                self.inbox.remove(path)
        if self.inbox.here() is not None and not self.inbox.find(name):
            self.inbox.remove(name)  # the empty folders
        shelf.remove(_moving(target))

    def _carry(self, name: str, shelf: Place, target: str) -> None:
        """Copy what is not there yet; hold all of it against the original."""
        sources = {path: facts for path, facts in self.inbox.find(name).items() if not path.endswith("/")}
        before = shelf.find(target)
        for path, facts in sources.items():
            copied = before.get(target + path.removeprefix(name))
            if copied is None or copied.size_bytes != facts.size_bytes:
                self.inbox.send(path, shelf, target + path.removeprefix(name))
        after, same_kind = shelf.find(target), self.inbox.url.split("://")[0] == shelf.url.split("://")[0]
        for path, facts in sources.items():
            copied = after.get(target + path.removeprefix(name))
            whole = copied is not None and copied.size_bytes == facts.size_bytes
            # A store copies within itself and says so when it failed; between two, bytes went through this machine.
            if whole and not same_kind:
                whole = _ends(self.inbox, path, facts) == _ends(shelf, target + path.removeprefix(name), facts)
            if not whole:
                raise StoreUnavailable(f"{path} did not arrive whole in {shelf.url}; it is still in the inbox")

    def _stamp(self, name: str) -> str | None:
        """Return the stamp of an entry of the inbox as it is now; None where there is none."""
        here = self.inbox.here(name)
        files = self.inbox.find(name)
        exists = os.path.lexists(here) if here is not None else bool(files)
        return _seen(name, files, done=False).stamp if exists else None

    def _shelved(self, shelf: Place, target: str) -> Shelved:
        lies = f"{shelf.url}/{target}"
        single = target in shelf.find(target)
        return Shelved(place=lies, location=lies.rsplit("/", 1)[0] if single else lies)


def _is_upload(name: str) -> bool:
    """Tell whether an entry is an upload: not hidden, no side effect, no half, no marker of ours."""
    return not (name.startswith((".", "_")) or is_junk(name) or name.endswith((REASON, RESULT, DONE)))


def _seen(name: str, files: Mapping[str, FileFacts], *, done: bool) -> Seen:
    digest, most = hashlib.sha256(), 0
    counted = unfinished = 0
    for path in sorted(files):
        inside = path.removeprefix(name)
        if inside == f"/{DONE}":
            done = True
        partial = is_partial(inside)
        if partial or not (inside.endswith("/") or is_junk(inside)):
            digest.update(f"{inside}\0{files[path].stamp}\n".encode(errors="surrogateescape"))
            most = max(most, files[path].modified_ns)
            counted, unfinished = counted + 1, unfinished + partial
    return Seen(
        stamp=digest.hexdigest()[:16],
        complete=done,
        unfinished=bool(unfinished) or not counted,
        modified_ns=most,
    )


def _target(shelf: Place, name: str, told: Mapping[str, Any], ending: str, *, single: bool) -> str:
    """Return ``name``, or with a UTC suffix where another upload has it already.

    A single file keeps its name, which is on record: it gets a folder, film-20261120T101500Z/film.mp4.
    """
    utc = str(told["utc"]).replace("-", "").replace(":", "")
    folder, file = f"{name}-{utc}", f"{PurePosixPath(name).stem}-{utc}/{name}"
    for candidate in (name, folder, file):
        if told["key"] in {_key_of(shelf, candidate + ending), _key_of(shelf, _moving(candidate))}:
            return candidate
    for candidate in (name, file if single else folder):
        here = shelf.here(candidate)
        taken = os.path.lexists(here) if here is not None else bool(shelf.find(candidate))
        if not taken and _key_of(shelf, candidate + ending) is None:
            return candidate
    return f"{uuid.uuid4().hex}/{name}"


def _moving(target: str) -> str:
    """Return the hidden name that says that a move to ``target`` has begun."""
    path = PurePosixPath(target)
    return str(path.with_name(f".{path.name}.moving"))


def _key_of(shelf: Place, marker: str) -> str | None:
    """Return which move wrote a marker; None where there is none, or half of one."""
    try:
        return str(json.loads(shelf.read(marker)).get("key"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _ends(place: Place, name: str, facts: FileFacts) -> bytes:
    size = facts.size_bytes
    head = place.read(name, 0, min(size, END_BYTES)) if size else b""
    return head + (place.read(name, max(END_BYTES, size - END_BYTES), size) if size > END_BYTES else b"")


def _move(source: Path, target: Path) -> None:
    """Move a file or folder by one rename; from another file system it is copied first, then shown by one rename."""
    with disk_errors():
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.lstat().st_dev == target.parent.stat().st_dev:
            source.rename(target)
        else:
            half = target.with_name(f".{uuid.uuid4().hex}")
            if source.is_dir() and not source.is_symlink():
                shutil.copytree(source, half, symlinks=True, copy_function=_copy_plain)
                sync_tree(half)
                half.rename(target)
                shutil.rmtree(source)
            else:
                _copy_plain(str(source), str(half))
                half.rename(target)
                source.unlink()
        sync_folder(target.parent)
        sync_folder(source.parent)


def _copy_plain(source: str, target: str) -> str:
    """Copy a regular file or a link; a pipe or device is left behind: reading it could wait for ever."""
    if stat.S_ISREG(os.lstat(source).st_mode) or Path(source).is_symlink():
        shutil.copy2(source, target, follow_symlinks=False)
    return target
