"""Zips unpacked as if a stranger had made them: only what the directory allows, counted while it is written."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path

from resources.disk import disk_errors
from resources.inbox import open_regular
from splat_pipeline.domain.archives import ZipEntry, chosen, utf8_name
from splat_pipeline.domain.errors import DiskFull, UnreadableMedia, UnsafeUpload

CHUNK_BYTES = 1 << 20


def unpack(path: Path, folder: Path) -> int:
    """Unpack the clips, photos, poses and settings of a zip into ``folder``, under their names; return how many.

    Raises ``UnsafeUpload``, ``UnsupportedMedia`` and ``EmptyUpload`` as ``domain.archives.chosen``, ``UnreadableMedia``
    for a damaged zip, ``DiskFull`` when there is less space than it says to need.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _unpack(archive, path, folder)
        except UnicodeDecodeError:
            raise UnsafeUpload(f"{path.name} holds names that are not UTF-8", file=path.name) from None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise UnreadableMedia(f"{path.name} is damaged: {error}", file=path.name) from None


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> int:
    infos = {}
    for info in archive.infolist():
        entry = ZipEntry(
            name=utf8_name(info.orig_filename, info.flag_bits, archive=path.name),
            size_bytes=info.file_size,
            packed_bytes=info.compress_size,
            method=info.compress_type,
            flags=info.flag_bits,
            mode=info.external_attr >> 16,
        )
        infos[id(entry)] = (entry, info)
    kept = chosen([entry for entry, _ in infos.values()], archive=path.name, archive_bytes=path.stat().st_size)
    needed, free = sum(entry.size_bytes for entry in kept), shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(f"{path.name} unpacks to {needed} bytes, {free} are free", file=path.name)
    for entry in kept:
        _write(archive, infos[id(entry)][1], entry, folder, path.name)
    return len(kept)


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, entry: ZipEntry, folder: Path, name: str) -> None:
    """Write one entry. What comes out is counted: a directory that lies about a size gains nothing."""
    target = folder / entry.name
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.size_bytes
    with disk_errors(), archive.open(info) as packed, target.open("xb") as plain:
        while chunk := packed.read(min(CHUNK_BYTES, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise UnsafeUpload(f"{name}: {entry.name!r} is larger than it says", file=name)
            plain.write(chunk)
    if left:
        raise UnreadableMedia(f"{name}: {entry.name!r} ends {left} bytes early", file=name)
