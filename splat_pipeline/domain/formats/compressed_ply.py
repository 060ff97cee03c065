"""Gaussians as PlayCanvas's compressed PLY: 16 bytes each and the harmonics, in chunks of 256 with ranges of their own.

    element chunk    min_ and max_ of x y z, of scale_x scale_y scale_z (logarithms), of r g b (0.5 + C0 sh0): float32
    element vertex   packed_position, packed_rotation, packed_scale, packed_color: uint32
    element sh       f_rest_*, channel-major: uint8, 0 to 256 over -4 to 4 (only above degree 0)

Positions and scales have 11, 10 and 11 bits within the chunk's range, from the highest bit on; colours 8 each within
it, and opacity 8. A rotation is two bits that tell which of w, x, y, z is largest, and 10 bits for each other, 0 to
1023 over -sqrt(0.5) to sqrt(0.5). Gaussians stand in Morton order, so that those of a chunk are neighbours. Axes are
those of the Gaussians. Source: the reader and writer of playcanvas/splat-transform (MIT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.bits import (
    from_unorm,
    joined,
    logits_of,
    parted,
    to_unorm,
    with_largest,
    without_largest,
)
from splat_pipeline.domain.formats.ply_header import Element, PlyHeader, header_of, read_header
from splat_pipeline.domain.gaussians import SH_C0, Gaussians

Float32 = NDArray[np.float32]
UInt32 = NDArray[np.uint32]

CHUNK = 256
_AXES, _SCALES, _COLORS = ("x", "y", "z"), ("scale_x", "scale_y", "scale_z"), ("r", "g", "b")
_RANGES = [f"{end}_{name}" for group in (_AXES, _SCALES, _COLORS) for end in ("min", "max") for name in group]
_PACKED = ["packed_position", "packed_rotation", "packed_scale", "packed_color"]
_PLACE, _TURN, _TONE = (11, 10, 11), (2, 10, 10, 10), (8, 8, 8, 8)
"""Bits of the fields of each word."""
_FAR_SCALE, _FLAT = 20.0, 1e-5
_SH_REACH = 8.0
_AT_ONCE = 1 << 15
"""Gaussians whose harmonics are turned at once: 6 MB at degree 3."""
_DEGREES = {0: 0, 9: 1, 24: 2, 45: 3}


def write_compressed_ply(path: Path, gaussians: Gaussians, *, comments: Sequence[str] = ()) -> None:
    """Write ``gaussians`` to ``path`` in the order of ``by_place``; each comment becomes one line of the header."""
    order, wide = by_place(gaussians), 3 * (gaussians.sh.shape[1] - 1)
    ordered = replace(gaussians, sh=gaussians.sh[:, :1]).take(order)
    colors = (0.5 + SH_C0 * ordered.sh[:, 0]).astype(np.float32)
    scales = np.clip(ordered.log_scales, -_FAR_SCALE, _FAR_SCALE)
    ranges, shares = zip(*(_ranged(values) for values in (ordered.means, scales, colors)), strict=True)
    vertices = np.stack(
        [
            _packed(shares[0], _PLACE),
            _rotation(ordered.quats),
            _packed(shares[1], _PLACE),
            _packed(np.concatenate([shares[2], ordered.opacities[:, None]], axis=1), _TONE),
        ],
        axis=1,
    )
    elements = [("chunk", "float", _RANGES, len(ranges[0])), ("vertex", "uint", _PACKED, len(ordered))]
    if wide:
        elements.append(("sh", "uchar", [f"f_rest_{i}" for i in range(wide)], len(ordered)))
    with path.open("wb") as file:
        file.write(header_of(elements, comments))
        file.write(np.concatenate(ranges, axis=1).astype("<f4").tobytes())
        file.write(vertices.astype("<u4").tobytes())
        for start in range(0, len(order) if wide else 0, _AT_ONCE):
            rest = gaussians.sh[order[start : start + _AT_ONCE], 1:].transpose(0, 2, 1).reshape(-1, wide)
            file.write(np.clip((rest / _SH_REACH + 0.5) * 256, 0, 255).astype(np.uint8).tobytes())


def is_compressed(header: PlyHeader) -> bool:
    """Return whether a PLY is of this kind."""
    return [element.name for element in header.elements][:2] == ["chunk", "vertex"]


def read_compressed_ply(path: Path) -> Gaussians:
    """Read ``path``. Raises ``CorruptArtifact``; the header is held against the file's size before memory is taken."""
    header = read_header(path)
    chunks, vertices, rest = _tables(path, header)
    lows, highs = _ends(chunks, len(vertices))
    position, rotation, scale, color = (vertices[name] for name in _PACKED)
    tone = _unpacked(color, _TONE)
    colors = _between(lows[2], highs[2], tone[:, :3])
    sh = _harmonics((colors - 0.5) / SH_C0, rest)
    return Gaussians(
        means=_between(lows[0], highs[0], _unpacked(position, _PLACE)),
        quats=_quats(rotation),
        log_scales=_between(lows[1], highs[1], _unpacked(scale, _PLACE)),
        logit_opacities=logits_of(tone[:, 3]),
        sh=sh,
    )


def by_place(gaussians: Gaussians) -> NDArray[np.int64]:
    """Return the order along a Morton curve over the bounding box, 10 bits an axis: (N,) positions."""
    if not len(gaussians):
        return np.zeros(0, np.int64)
    low, high = gaussians.means.min(axis=0), gaussians.means.max(axis=0)
    cells = ((gaussians.means - low) / np.maximum(high - low, 1e-12) * 1023).astype(np.uint32)
    code = _spread(cells[:, 0]) + _spread(cells[:, 1]) * np.uint32(2) + _spread(cells[:, 2]) * np.uint32(4)
    return np.argsort(code, kind="stable")


def _spread(values: UInt32) -> UInt32:
    """Put two empty bits between the ten of each value."""
    for shift, mask in ((16, 0x30000FF), (8, 0x300F00F), (4, 0x30C30C3), (2, 0x9249249)):
        values = np.bitwise_and(np.bitwise_or(values, np.left_shift(values, np.uint32(shift))), np.uint32(mask))
    return values


def _ranged(values: Float32) -> tuple[Float32, Float32]:
    """Return (C, 6) least and most of each chunk, and (N, 3) where in its chunk's range each value lies, 0 to 1."""
    starts = np.arange(0, len(values), CHUNK)
    if not len(values):
        return np.zeros((0, 6), np.float32), values
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    of = np.arange(len(values)) // CHUNK
    wide = np.maximum(high - low, _FLAT)[of]
    share = np.where((high - low)[of] < _FLAT, 0, (values - low[of]) / wide)
    return np.concatenate([low, high], axis=1), np.clip(share, 0, 1).astype(np.float32)


def _packed(share: Float32, bits: Sequence[int]) -> UInt32:
    return joined([to_unorm(share[:, i], width) for i, width in enumerate(bits)], bits)


def _unpacked(word: UInt32, bits: Sequence[int]) -> Float32:
    return np.stack([from_unorm(part, width) for part, width in zip(parted(word, bits), bits, strict=True)], axis=1)


def _rotation(quats: Float32) -> UInt32:
    largest, others = without_largest(quats)
    share = others * np.float32(np.sqrt(0.5)) + np.float32(0.5)
    return joined([largest.astype(np.uint32), *(to_unorm(share[:, i], 10) for i in range(3))], _TURN)


def _quats(word: UInt32) -> Float32:
    largest, *others = parted(word, _TURN)
    share = np.stack([from_unorm(part, 10) for part in others], axis=1)
    return with_largest(largest, (share - np.float32(0.5)) * np.float32(np.sqrt(2)))


def _between(low: Float32, high: Float32, share: Float32) -> Float32:
    return (low + (high - low) * share).astype(np.float32)


def _tables(path: Path, header: PlyHeader) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.void] | None]:
    """Return chunks, vertices, and harmonics where there are some."""
    chunk, vertex, *others = header.elements
    if others and (len(others) > 1 or others[0].name != "sh" or others[0].count != vertex.count):
        raise _corrupt(path, "after chunk and vertex there may only be sh, as long as vertex")
    if chunk.count != -(-vertex.count // CHUNK):
        raise _corrupt(path, f"{chunk.count} chunks of {CHUNK} cannot hold {vertex.count} Gaussians")
    _require(path, chunk, [name for name in _RANGES if not name.endswith(_COLORS)], "<f4")
    _require(path, vertex, _PACKED, "<u4")
    sh = others[0] if others else None
    width = len(sh.dtype.names or ()) if sh else 0
    if width not in _DEGREES or (sh and set(dict(sh.dtype.fields or {})) != {f"f_rest_{i}" for i in range(width)}):
        raise _corrupt(path, f"its sh has {width} properties, must be f_rest_0 to one of {sorted(_DEGREES)}")
    return header.table(path, chunk), header.table(path, vertex), header.table(path, sh) if sh else None


def _harmonics(dc: Float32, table: NDArray[np.void] | None) -> Float32:
    """Return (N, K, 3) of ``dc`` (N, 3) and the bytes of the others, some rows after the other."""
    width = 0 if table is None else len(table.dtype.names or ())
    sh = np.empty((len(dc), 1 + width // 3, 3), np.float32)
    sh[:, 0] = dc
    for start in range(0, len(dc) if table is not None else 0, _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        assert table is not None
        flat = np.stack([table[rows][f"f_rest_{i}"] for i in range(width)], axis=1).astype(np.float32)
        share = np.where(flat == 0, 0, np.where(flat == 255, 1, (flat + 0.5) / 256))
        sh[rows, 1:] = ((share - 0.5) * _SH_REACH).reshape(-1, 3, width // 3).transpose(0, 2, 1)
    return sh


def _require(path: Path, element: Element, names: list[str], kind: str) -> None:
    fields: Any = element.dtype.fields or {}
    for name in names:
        if name not in fields or fields[name][0] != np.dtype(kind):
            raise _corrupt(path, f"element {element.name} lacks {name}, or has it in another type")


def _ends(chunks: NDArray[np.void], count: int) -> tuple[list[Float32], list[Float32]]:
    """Return (N, 3) least and most of each Gaussian's chunk, of positions, scales and colours (older files: 0 to 1)."""
    of = np.arange(count) // CHUNK
    lows, highs = [], []
    for group in (_AXES, _SCALES, _COLORS):
        if f"min_{group[0]}" in (chunks.dtype.names or ()):
            lows.append(np.stack([chunks[f"min_{name}"] for name in group], axis=1)[of])
            highs.append(np.stack([chunks[f"max_{name}"] for name in group], axis=1)[of])
        else:
            lows.append(np.zeros((count, 3), np.float32))
            highs.append(np.ones((count, 3), np.float32))
    return lows, highs


def _corrupt(path: Path, cause: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path.name} is not a compressed PLY of Gaussians: {cause}", file=path.name)
