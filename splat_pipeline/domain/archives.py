"""What a zip may hold: decided from its directory alone, before a byte is unpacked.

Whatever the directory says, no more is written than it says, and that is capped: see ``resources/archives.py``.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from splat_pipeline.domain.contents import ARCHIVE_SUFFIX, is_content, is_junk
from splat_pipeline.domain.errors import EmptyUpload, UnsafeUpload, UnsupportedMedia
from splat_pipeline.domain.uploads import safe_name

MOST_ENTRIES = 20_000
MOST_BYTES = 64 << 30
MOST_RATIO = 200
"""Bytes unpacked over bytes packed. Photos and clips reach 2, flat TIFFs some tens; deflate itself reaches 1032."""
FREE_OF_RATIO_BYTES = 1 << 20
"""Smaller entries may be as flat as they like."""
STORED, DEFLATED = 0, 8
_DRIVE = re.compile(r"[A-Za-z]:")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800


@dataclass(frozen=True, kw_only=True)
class ZipEntry:
    """One entry of a zip's directory, as it is written there (APPNOTE 6.3.10, 4.3.12)."""

    name: str
    size_bytes: int
    packed_bytes: int
    method: int
    flags: int
    mode: int
    """Unix type and permissions: the upper half of the external attributes; 0 where it was not made on Unix."""

    @property
    def is_folder(self) -> bool:
        """Whether it stands for a folder, which holds nothing itself."""
        return self.name.endswith("/")


def utf8_name(name: str, flags: int, *, archive: str) -> str:
    """Return the name of an entry; ``name`` is what Python's zipfile took for code page 437 where no flag says UTF-8.

    Raises ``UnsafeUpload`` for a name in another code page: it would be another one on every machine.
    """
    if flags & _UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        remedy = "Pack again with names in UTF-8 or in plain letters (7-Zip: -mcu=on)."
        raise UnsafeUpload(f"{archive}: the name {name!r} is not UTF-8", file=archive, remedy=remedy) from None


def chosen(entries: Sequence[ZipEntry], *, archive: str, archive_bytes: int) -> list[ZipEntry]:
    """Return the entries that belong to a job: clips, photos, poses, settings; raise when any entry is unsafe.

    Raises ``UnsafeUpload`` for links, devices, names that leave the folder or occur twice, and sizes beyond the caps;
    ``UnsupportedMedia`` for encryption, other methods than deflate, and a zip in the zip; ``EmptyUpload``.
    """
    if len(entries) > MOST_ENTRIES:
        raise _too_much(archive, f"{len(entries)} entries, at most {MOST_ENTRIES} are unpacked")
    for entry in entries:
        _check(entry, archive)
    files = [entry for entry in entries if not entry.is_folder]
    _check_names([entry.name for entry in files], archive)
    total = sum(entry.size_bytes for entry in files)
    if total > MOST_BYTES:
        raise _too_much(archive, f"{total} bytes unpacked, at most {MOST_BYTES}")
    if total > max(FREE_OF_RATIO_BYTES, MOST_RATIO * archive_bytes):
        raise _too_much(archive, f"{total} bytes in a file of {archive_bytes}: that is no zip of photos or clips")
    kept = [entry for entry in files if is_content(entry.name)]
    if not kept:
        seen = ", ".join(entry.name for entry in files[:3]) or "nothing"
        raise EmptyUpload(f"{archive} holds no clip and no photo, but {seen}", file=archive)
    return kept


def _check(entry: ZipEntry, archive: str) -> None:
    shown = f"{archive}: {entry.name!r}"
    if _DRIVE.match(entry.name):
        raise UnsafeUpload(f"{shown} names a drive", file=archive)
    safe_name(entry.name.removesuffix("/"))
    kind = stat.S_IFMT(entry.mode)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise UnsafeUpload(f"{shown} is {what}", file=archive)
    if entry.flags & _ENCRYPTED:
        raise UnsupportedMedia(f"{shown} is encrypted", file=archive, remedy="Pack again without a password.")
    if entry.is_folder or is_junk(entry.name):
        return
    if PurePosixPath(entry.name).suffix.lower() == ARCHIVE_SUFFIX:
        raise UnsupportedMedia(f"{shown} is a zip in a zip", file=archive, remedy="Put the files into one zip.")
    if entry.method not in {STORED, DEFLATED}:
        remedy = "Pack again as an ordinary zip (method deflate), or upload the files as they are."
        raise UnsupportedMedia(f"{shown} is packed by method {entry.method}", file=archive, remedy=remedy)
    if entry.size_bytes > max(FREE_OF_RATIO_BYTES, MOST_RATIO * entry.packed_bytes):
        raise _too_much(archive, f"{entry.name!r} unpacks {entry.packed_bytes} bytes to {entry.size_bytes}")


def _check_names(names: Sequence[str], archive: str) -> None:
    once: set[str] = set()
    for name in names:
        if name in once:
            raise UnsafeUpload(f"{archive} holds {name!r} twice", file=archive, remedy="Pack each file once.")
        once.add(name)
    for name in names:
        inside = next((str(above) for above in PurePosixPath(name).parents if str(above) in once), None)
        if inside is not None:
            remedy = "Pack each file once."
            raise UnsafeUpload(f"{archive} holds {inside!r} as a file and as a folder", file=archive, remedy=remedy)


def _too_much(archive: str, why: str) -> UnsafeUpload:
    return UnsafeUpload(f"{archive}: {why}", file=archive, remedy="Upload the files themselves, in a folder.")
