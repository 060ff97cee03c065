"""Headers of binary PLY files: what lies where, held against the size of the file before any of it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4", "float32": "<f4",
    "double": "<f8", "float64": "<f8",
}  # fmt: skip
_LIMIT = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Element:
    """A table of the file."""

    name: str
    count: int
    dtype: np.dtype[np.void]
    offset: int
    """Where its first record begins."""


@dataclass(frozen=True, kw_only=True)
class PlyHeader:
    """What a PLY says of itself."""

    elements: tuple[Element, ...]
    comments: tuple[str, ...]

    def table(self, path: Path, element: Element) -> NDArray[np.void]:
        """Return the records of an element, mapped from the file."""
        if not element.count:  # a memory map of nothing is not allowed
            return np.zeros(0, element.dtype)
        return np.memmap(path, element.dtype, "r", element.offset, element.count)

    def parts(self, path: Path, element: Element, at_once: int) -> Iterator[tuple[slice, NDArray[np.void]]]:
        """Yield the records of an element, so many at a time, with their places: no more of them is in memory."""
        with path.open("rb") as file:
            file.seek(element.offset)
            for start in range(0, element.count, at_once):
                rows = slice(start, min(start + at_once, element.count))
                yield rows, np.fromfile(file, element.dtype, rows.stop - rows.start)


def header_of(elements: Sequence[tuple[str, str, Sequence[str], int]], comments: Sequence[str]) -> bytes:
    """Return a header: each element has a name, the type of all its properties, their names, and a count.

    Raises ``ValueError`` for a comment that is more than one line of printable ASCII.
    """
    if any(not (text.isascii() and text.isprintable()) for text in comments):
        raise ValueError(f"PLY comments must be printable ASCII, got {list(comments)!r}")
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    for name, kind, properties, count in elements:
        lines += [f"element {name} {count}", *(f"property {kind} {property_}" for property_ in properties)]
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")


def read_header(path: Path) -> PlyHeader:
    """Read the header of a little-endian PLY without lists. Raises ``CorruptArtifact``.

    The sizes that it claims must add up to that of the file.
    """
    with path.open("rb") as file:
        head = file.read(_LIMIT)
    end = head.find(b"end_header\n")
    if not head.startswith(b"ply\n") or end < 0:
        raise _corrupt(path, "it has no PLY header")
    lines = [line.split() for line in head[:end].decode("ascii", "replace").splitlines()[1:]]
    comments = tuple(" ".join(line[1:]) for line in lines if line and line[0] == "comment")
    lines = [line for line in lines if line and line[0] not in ("comment", "obj_info")]
    if not lines or lines[0] != ["format", "binary_little_endian", "1.0"]:
        raise _corrupt(path, f"its format must be binary_little_endian 1.0, is {' '.join(lines[0]) if lines else ''!r}")
    elements = _elements(path, lines[1:], end + len(b"end_header\n"))
    want = elements[-1].offset + elements[-1].count * elements[-1].dtype.itemsize
    got = path.stat().st_size
    if got != want:
        told = ", ".join(f"{element.count} of {element.name}" for element in elements)
        raise _corrupt(path, f"its header speaks of {told}, {want} bytes, but it has {got} bytes")
    return PlyHeader(elements=elements, comments=comments)


def _elements(path: Path, lines: list[list[str]], offset: int) -> tuple[Element, ...]:
    found: list[tuple[str, int, list[tuple[str, str]]]] = []
    for line in lines:
        if line[0] == "element" and len(line) == 3 and line[2].isdecimal():
            found.append((line[1], int(line[2]), []))
        elif found and len(line) == 3 and line[0] == "property" and line[1] in TYPES:
            found[-1][2].append((line[2], TYPES[line[1]]))
        else:
            raise _corrupt(path, f"its header has a line that is no plain property: {' '.join(line)[:80]!r}")
    if not found:
        raise _corrupt(path, "it has no element")
    elements: list[Element] = []
    for name, count, fields in found:
        if not fields or len({field for field, _ in fields}) != len(fields):
            raise _corrupt(path, "its properties must have different names, one at least")
        elements.append(Element(name=name, count=count, dtype=np.dtype(fields), offset=offset))
        offset += count * elements[-1].dtype.itemsize
    return tuple(elements)


def _corrupt(path: Path, cause: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path.name} is not a PLY of Gaussians: {cause}", file=path.name)
