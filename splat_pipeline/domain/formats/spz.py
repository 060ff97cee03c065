"""Gaussians as ``.spz``, version 3 or 4: gzip over 16 bytes of header and one array after the other.

    header      magic NGSP, version, count (uint32), degree, fractional bits, flags (1: antialiased), 0 (uint8)
    positions   3 x 24 bits, signed, fixed point
    alphas      255 sigmoid(logit opacity)
    colours     255 (0.5 + 0.15 sh0), 3 bytes
    scales      16 (log scale + 10), 3 bytes
    rotations   32 bits: which of x, y, z, w is largest in the upper 2; sign and 9 bits of each other, times sqrt(2)
    harmonics   128 + 128 sh from degree 1 on, in steps of 8 (degree 1) and 16, coefficient by coefficient, RGB each

Version 4 has the same arrays in another container: ``spz4.py``. Version 2, which is read as well, has rotations of 3
bytes: 127.5 + 127.5 times x, y, z, with w >= 0. Axes: y up, z backward, so that y and z change their sign. Source: the
format's description and reference code, nianticlabs/spz (MIT).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.axes import half_turned
from splat_pipeline.domain.formats.bits import joined, logits_of, parted, to_byte, with_largest, without_largest
from splat_pipeline.domain.formats.spz4 import Head, read_head, read_streams, write_streams
from splat_pipeline.domain.gaussians import Gaussians

Bytes = NDArray[np.uint8]

_HEADER = struct.Struct("<4sIIBBBB")
_MAGIC, _ANTIALIASED = b"NGSP", 1
_MOST_BITS, _LEAST_BITS = 18, 4
_REACH = 1 << 23
_COLOR, _ROOT_HALF = 0.15, np.float32(np.sqrt(0.5))
_LEVEL = 1
"""Of zlib."""
_CHUNK = 1 << 13
"""Gaussians encoded or decoded at once: their harmonics, 1.5 MB, stay in the processor's cache."""
COARSER = (
    "places by 4 bits and harmonics by 1 bit coarser",
    "places by 6 bits and harmonics by 2 bits coarser",
)
"""What a file for a smaller budget has less of."""
_FEWER_BITS = (0, 4, 6)
_XYZW = [1, 2, 3, 0]
_TURN = (2, 1, 9, 1, 9, 1, 9)


def write_spz(path: Path, gaussians: Gaussians, *, version: Literal[3, 4] = 3, coarse: int = 0) -> None:
    """Write ``gaussians`` to ``path``. Raises ``ValueError`` where a position is too far out for the format.

    ``coarse``: 0 or a place in ``COARSER``, counted from 1: fewer bits, which pack into fewer bytes.
    """
    bits = max(_LEAST_BITS, _fractional_bits(gaussians) - _FEWER_BITS[coarse])
    flags = _ANTIALIASED * gaussians.antialiased
    parts = [np.empty((len(gaussians), width), np.uint8) for width in _widths(3, gaussians.sh_degree)]
    for start in range(0, len(gaussians), _CHUNK):
        rows = slice(start, start + _CHUNK)
        for part, encoded in zip(parts, _encoded(half_turned(gaussians.take(rows)), bits, coarse), strict=True):
            part[rows] = encoded
    if version == 4:
        write_streams(path, Head(count=len(gaussians), degree=gaussians.sh_degree, bits=bits, flags=flags), parts)
        return
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    with path.open("wb") as file:
        head = _HEADER.pack(_MAGIC, 3, len(gaussians), gaussians.sh_degree, bits, flags, 0)
        file.write(packer.compress(head))
        for part in parts:
            file.write(packer.compress(part.data))
        file.write(packer.flush())


def _encoded(turned: Gaussians, bits: int, coarse: int) -> list[Bytes]:
    """Return the arrays of the file, (n, bytes) each, of Gaussians in its axes."""
    fixed = np.rint(turned.means.astype(np.float64) * (1 << bits)).astype("<i4")
    rest = turned.sh[:, 1:]
    return [
        fixed.view(np.uint8).reshape(-1, 3, 4)[:, :, :3].reshape(-1, 9),
        to_byte(255 * turned.opacities)[:, None],
        to_byte(255 * (0.5 + _COLOR * turned.sh[:, 0])),
        to_byte(16 * (turned.log_scales + 10)),
        _packed(turned.quats[:, _XYZW]),
        _coarse(rest, coarse).reshape(len(turned), 3 * rest.shape[1]),
    ]


def _widths(version: int, degree: int) -> tuple[int, ...]:
    return 9, 1, 3, 3, 4 if version == 3 else 3, 3 * ((degree + 1) ** 2 - 1)


def read_spz(path: Path) -> Gaussians:
    """Read ``path``, version 2 to 4. Raises ``CorruptArtifact``; a forged count takes no memory before that."""
    with path.open("rb") as file:
        bare = file.read(4) == _MAGIC
    if bare:
        head = read_head(path)
        return _decoded(read_streams(path, _widths(3, head.degree)), 3, head.bits, head.flags)
    with path.open("rb") as file:
        return unpacked(file, path)


def unpacked(file: BinaryIO, path: Path) -> Gaussians:
    """Read version 2 or 3 out of an open file, which ``path`` names. Raises as ``read_spz`` does."""
    try:
        with gzip.open(file) as packed:
            version, count, degree, bits, flags = _header(path, packed.read(_HEADER.size))
            widths = _widths(version, degree)
            body = _exactly(path, packed, count * sum(widths))
    except (OSError, EOFError, zlib.error) as error:
        raise _corrupt(path, str(error)) from None
    return _decoded(_cut(body, count, widths), version, bits, flags)


def _decoded(parts: Sequence[Bytes], version: int, bits: int, flags: int) -> Gaussians:
    """Return what ``_encoded`` made arrays of, a chunk after the other: beside the result there is hardly anything."""
    count, k = len(parts[0]), 1 + parts[5].shape[1] // 3
    whole = Gaussians(
        means=np.empty((count, 3), np.float32),
        quats=np.empty((count, 4), np.float32),
        log_scales=np.empty((count, 3), np.float32),
        logit_opacities=np.empty(count, np.float32),
        sh=np.empty((count, k, 3), np.float32),
        antialiased=bool(flags & _ANTIALIASED),
    )
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        piece = half_turned(_piece([part[rows] for part in parts], version, bits))
        for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
            getattr(whole, name)[rows] = getattr(piece, name)
    return whole


def _piece(parts: Sequence[Bytes], version: int, bits: int) -> Gaussians:
    """Return some of the Gaussians, in the axes of the file."""
    places, alphas, colors, scales, turns, rest = parts
    count, k = len(places), 1 + rest.shape[1] // 3
    quats = _unpacked(turns) if version == 3 else _from_three(turns)
    sh = np.empty((count, k, 3), np.float32)
    sh[:, 0] = (colors.astype(np.float32) / 255 - 0.5) / _COLOR
    sh[:, 1:] = (rest.reshape(count, k - 1, 3).astype(np.float32) - 128) / 128
    return Gaussians(
        means=_positions(places, bits),
        quats=quats[:, [3, 0, 1, 2]],
        log_scales=(scales / 16 - 10).astype(np.float32),
        logit_opacities=logits_of(alphas[:, 0] / 255),
        sh=sh,
    )


def _fractional_bits(gaussians: Gaussians) -> int:
    """Return as many as the farthest position leaves: the finer the smaller the scene."""
    reach = float(np.abs(gaussians.means).max(initial=0))
    bits = _MOST_BITS
    while bits > _LEAST_BITS and reach * (1 << bits) >= _REACH - 1:
        bits -= 1
    if reach * (1 << bits) >= _REACH - 1:
        raise ValueError(f"a Gaussian lies {reach:g} units from the origin: .spz holds {(_REACH >> _LEAST_BITS) - 1}")
    return bits


def _header(path: Path, head: bytes) -> tuple[int, int, int, int, int]:
    if len(head) < _HEADER.size or head[:4] != _MAGIC:
        raise _corrupt(path, "it does not begin with NGSP")
    _, version, count, degree, bits, flags, _ = _HEADER.unpack(head)
    if version not in (2, 3):
        raise _corrupt(path, f"its version is {version}, 2 and 3 can be read")
    if degree > 3 or bits > 23:
        raise _corrupt(path, f"it claims degree {degree} and {bits} fractional bits")
    return version, count, degree, bits, flags


def _exactly(path: Path, file: gzip.GzipFile, size: int) -> Bytes:
    """Read ``size`` bytes and no more, in pieces: memory grows with what is there, not with what is claimed."""
    pieces, left = [], size
    while left:
        piece = file.read(min(left, 1 << 24))
        if not piece:
            raise _corrupt(path, f"{left} of {size} bytes are missing")
        pieces.append(piece)
        left -= len(piece)
    if file.read(1):
        raise _corrupt(path, f"more than {size} bytes follow its header")
    return np.frombuffer(b"".join(pieces), np.uint8)


def _cut(body: Bytes, count: int, widths: tuple[int, ...]) -> list[Bytes]:
    stops = np.cumsum([count * width for width in widths])[:-1]
    return [part.reshape(count, width) for part, width in zip(np.split(body, stops), widths, strict=True)]


def _positions(places: Bytes, bits: int) -> NDArray[np.float32]:
    wide = np.zeros((len(places) * 3, 4), np.uint8)
    wide[:, 1:] = places.reshape(-1, 3)  # in the upper three bytes, so that the sign is where it belongs
    fixed = wide.view("<i4")[:, 0] >> 8
    return (fixed.reshape(-1, 3) / (1 << bits)).astype(np.float32)


def _packed(xyzw: NDArray[np.float32]) -> Bytes:
    largest, others = without_largest(xyzw)
    fields = [largest.astype(np.uint32)]
    for i in range(3):
        size = np.minimum(np.abs(others[:, i]) / _ROOT_HALF * 511 + 0.5, 511)
        fields += [(others[:, i] < 0).astype(np.uint32), size.astype(np.uint32)]
    return joined(fields, _TURN).astype("<u4").view(np.uint8).reshape(-1, 4)


def _unpacked(turns: Bytes) -> NDArray[np.float32]:
    largest, *fields = parted(np.ascontiguousarray(turns).view("<u4")[:, 0], _TURN)
    signs, sizes = np.stack(fields[::2], axis=1), np.stack(fields[1::2], axis=1)
    others = sizes.astype(np.float32) / 511 * _ROOT_HALF
    return with_largest(largest, np.where(signs, -others, others).astype(np.float32))


def _from_three(turns: Bytes) -> NDArray[np.float32]:
    xyz = turns.astype(np.float32) / 127.5 - 1
    return with_largest(np.full(len(turns), 3), xyz)


def _coarse(rest: NDArray[np.float32], coarse: int) -> Bytes:
    """Round harmonics to steps whose middle is zero, as the reference writer does; to wider ones by ``coarse``."""
    whole = to_byte(rest * np.float32(128) + np.float32(128))
    levels = np.arange(256)
    for part, step in ((whole[:, :3], 8 << coarse), (whole[:, 3:], 16 << coarse)):
        steps = np.minimum((levels + step // 2) // step * step, 255).astype(np.uint8)
        np.take(steps, part, out=part)
    return whole


def _corrupt(path: Path, cause: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path.name} is not an .spz of Gaussians: {cause}", file=path.name)
