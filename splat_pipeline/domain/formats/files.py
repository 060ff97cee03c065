"""Any file of Gaussians: what it is by its content, written by the ending of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from splat_pipeline.domain.errors import CorruptArtifact, InputError
from splat_pipeline.domain.formats import sog, spz
from splat_pipeline.domain.formats.compressed_ply import (
    by_place,
    is_compressed,
    read_compressed_ply,
    write_compressed_ply,
)
from splat_pipeline.domain.formats.glb import read_glb, write_glb
from splat_pipeline.domain.formats.ply import read_ply, write_ply
from splat_pipeline.domain.formats.ply_header import read_header
from splat_pipeline.domain.formats.sog import read_sog, write_sog
from splat_pipeline.domain.formats.splat import RECORD, by_importance, read_splat, write_splat
from splat_pipeline.domain.formats.spz import read_spz, write_spz
from splat_pipeline.domain.formats.viewer_page import MARK, read_viewer_page
from splat_pipeline.domain.gaussians import Gaussians

Order = Callable[[Gaussians], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]
Y_DOWN = "+x right, +y down, +z forward (COLMAP)"
Y_UP = "+x right, +y up, +z backward (OpenGL)"


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way of writing Gaussians."""

    suffix: str
    write: Callable[..., None]
    """Of a path and Gaussians, and ``comments`` where ``header``."""
    read: Callable[[Path], Gaussians]
    axes: str
    """Of the file; what ``read`` returns has y down again."""
    order: Order = lambda gaussians: np.arange(len(gaussians))
    """In which the file holds them."""
    header: bool = False
    """It has room for lines of text."""
    coarser: Sequence[str] = ()
    """What ``write`` gives up by ``coarse=1`` and on, in words: only where the format lets the writer choose."""

    def save(self, path: Path, gaussians: Gaussians, comments: Sequence[str] = (), *, coarse: int = 0) -> None:
        """Write ``gaussians``, and ``comments`` if there is room, by a place in ``coarser`` counted from 1; 0: fine."""
        how: dict[str, Any] = {"comments": comments} if self.header else {}
        self.write(path, gaussians, **how, **({"coarse": coarse} if coarse else {}))


FORMATS: dict[str, Format] = {
    "ply": Format(suffix=".ply", write=write_ply, read=read_ply, axes=Y_DOWN, header=True),
    "splat": Format(suffix=".splat", write=write_splat, read=read_splat, axes=Y_DOWN, order=by_importance),
    "spz": Format(suffix=".spz", write=write_spz, read=read_spz, axes=Y_UP, coarser=spz.COARSER),
    "spz4": Format(
        suffix=".v4.spz", write=partial(write_spz, version=4), read=read_spz, axes=Y_UP, coarser=spz.COARSER
    ),
    "compressed_ply": Format(
        suffix=".compressed.ply",
        write=write_compressed_ply,
        read=read_compressed_ply,
        axes=Y_DOWN,
        order=by_place,
        header=True,
    ),
    "sog": Format(suffix=".sog", write=write_sog, read=read_sog, axes=Y_DOWN, order=by_place, coarser=sog.COARSER),
    "glb": Format(suffix=".glb", write=write_glb, read=read_glb, axes=Y_UP, header=True),
}
"""By the names that settings and tables use."""
PAGE = "viewer"
"""What ``viewer.html`` is called: it is read, and made by the asset of that name."""
_MARKS = {b"PK\x03\x04": "sog", b"glTF": "glb", b"NGSP": "spz4", b"\x1f\x8b": "spz", MARK: PAGE}
"""What files of each begin with; PLY is looked into, and ``.splat`` has no mark of its own."""


def format_of_content(path: Path) -> str:
    """Return which of ``FORMATS`` a file is, or ``PAGE``. Raises ``CorruptArtifact`` naming those that can be read."""
    with path.open("rb") as file:
        head = file.read(len(MARK))
    if head[:4] == b"ply\n":
        return "compressed_ply" if is_compressed(read_header(path)) else "ply"
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked is not None:
        return marked
    if path.suffix == ".splat" and path.stat().st_size % RECORD.itemsize == 0:
        return "splat"
    raise CorruptArtifact(
        f"{path.name} holds no Gaussians that can be read",
        file=path.name,
        remedy=f"Known are {', '.join(kind.suffix for kind in FORMATS.values())}; .spz of version 2 to 4, viewer.html.",
    )


def format_of_name(path: Path) -> str:
    """Return which of ``FORMATS`` a name asks for. Raises ``InputError``."""
    fitting = [name for name, kind in FORMATS.items() if path.name.lower().endswith(kind.suffix)]
    if not fitting:
        known = ", ".join(kind.suffix for kind in FORMATS.values())
        raise InputError(f"{path.name} names no known format", remedy=f"End the name with one of {known}.")
    return max(fitting, key=lambda name: len(FORMATS[name].suffix))


def read_gaussians(path: Path) -> Gaussians:
    """Read a file of any of ``FORMATS``, or a ``viewer.html``. Raises ``CorruptArtifact``, ``InputError``."""
    if not path.is_file():
        raise InputError(f"there is no file at {path}", file=path.name, remedy="Check the path.")
    name = format_of_content(path)
    return read_viewer_page(path) if name == PAGE else FORMATS[name].read(path)
