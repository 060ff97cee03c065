"""The container of ``.spz``, version 4: 32 bytes of header, a table of streams, and each array as zstd.

    header      magic NGSP, version, count (uint32), degree, fractional bits, flags, streams (uint8), where the table
                begins (uint32), 12 bytes of 0
    table       bytes packed and unpacked of each stream (uint64)

The arrays are those of version 3 (``spz.py``), in the same order; one that has no bytes (harmonics of degree 0) has no
stream. Source: what playcanvas/splat-transform 2.7.1 (MIT) writes and reads.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact

Bytes = NDArray[np.uint8]

_HEAD, _ENTRY = struct.Struct("<4sIIBBBBI12x"), struct.Struct("<QQ")
_MAGIC, _VERSION, _LEVEL = b"NGSP", 4, 3
_PIECE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the header says of the Gaussians."""

    count: int
    degree: int
    bits: int
    flags: int


def write_streams(path: Path, head: Head, parts: Sequence[Bytes]) -> None:
    """Write the arrays ``parts`` behind ``head``."""
    codec = pa.Codec("zstd", compression_level=_LEVEL)
    filled = [part.tobytes() for part in parts if part.shape[1]]
    packed = [codec.compress(part, asbytes=True) for part in filled]
    told = (head.count, head.degree, head.bits, head.flags, len(packed), _HEAD.size)
    with path.open("wb") as file:
        file.write(_HEAD.pack(_MAGIC, _VERSION, *told))
        for part, stream in zip(filled, packed, strict=True):
            file.write(_ENTRY.pack(len(stream), len(part)))
        file.writelines(packed)


def read_head(path: Path) -> Head:
    """Return what the header says. Raises ``CorruptArtifact``."""
    with path.open("rb") as file:
        return _head(path, file.read(_HEAD.size))[0]


def read_streams(path: Path, widths: Sequence[int]) -> list[Bytes]:
    """Return the arrays (count, width) of bytes. Raises ``CorruptArtifact``.

    The table is held against the file's size and the count before anything is unpacked, and unpacking ends where the
    array is full.
    """
    content = path.read_bytes()
    head, streams, table = _head(path, content[: _HEAD.size])
    wanted = [width for width in widths if width]
    start = table + streams * _ENTRY.size
    if streams != len(wanted) or start > len(content):
        raise _corrupt(path, f"{streams} streams at {table}, {len(wanted)} are needed")
    found = []
    for i, width in enumerate(wanted):
        packed, size = _ENTRY.unpack_from(content, table + i * _ENTRY.size)
        if size != head.count * width or start + packed > len(content):
            raise _corrupt(path, f"stream {i} claims {packed} bytes for {size}, {head.count * width} are needed")
        found.append(_unpacked(path, content[start : start + packed], size).reshape(head.count, width))
        start += packed
    whole = iter(found)
    return [next(whole) if width else np.zeros((head.count, 0), np.uint8) for width in widths]


def _unpacked(path: Path, packed: bytes, size: int) -> Bytes:
    """Unpack ``size`` bytes and no more, in pieces: memory grows with what is there, not with what is claimed."""
    pieces, left = [], size
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            while left:
                piece = stream.read(min(left, _PIECE))
                if not piece:
                    raise _corrupt(path, f"{left} of {size} bytes are missing")
                pieces.append(piece)
                left -= len(piece)
            if stream.read(1):
                raise _corrupt(path, f"more than {size} bytes are in a stream")
    except OSError as error:
        raise _corrupt(path, str(error)) from None
    return np.frombuffer(b"".join(pieces), np.uint8)


def _head(path: Path, head: bytes) -> tuple[Head, int, int]:
    """Return the header, how many streams there are, and where their table begins."""
    if len(head) < _HEAD.size or head[:4] != _MAGIC:
        raise _corrupt(path, "it does not begin with NGSP")
    _, version, count, degree, bits, flags, streams, table = _HEAD.unpack(head)
    if version != _VERSION:
        raise _corrupt(path, f"its version is {version}, 4 can be read without gzip")
    if degree > 3 or bits > 23:
        raise _corrupt(path, f"it claims degree {degree} and {bits} fractional bits")
    return Head(count=count, degree=degree, bits=bits, flags=flags), streams, table


def _corrupt(path: Path, cause: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path.name} is not an .spz of Gaussians: {cause}", file=path.name)
