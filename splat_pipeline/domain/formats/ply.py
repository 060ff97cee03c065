"""Gaussians as PLY in the INRIA layout: what trainers and viewers of 3D Gaussian splatting exchange.

N Gaussians, K = (degree + 1)^2 harmonics a channel. One element ``vertex`` of little-endian float32:

    x y z  nx ny nz  f_dc_0..2  f_rest_0..3(K-1)-1  opacity  scale_0..2  rot_0..3

``opacity`` is a logit, ``scale_*`` are natural logarithms of standard deviations, ``rot_*`` is wxyz; ``f_rest`` holds
all coefficients of red, then of green, then of blue (channel-major). Normals are zero. Axes are those of the
Gaussians: COLMAP's custom, y down. Source: the reference code of Kerbl et al. 2023.

Comments of the header say how the Gaussians are to be drawn: ``SplatRenderMode: mip`` where they are antialiased, as
Brush writes it and others read it (Postshot's ``antialiased 1`` is understood too), and ``Background: R G B``, sRGB in
[0, 1], where they were trained against another colour than black.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.ply_header import header_of, read_header
from splat_pipeline.domain.gaussians import Gaussians

_MIP = "SplatRenderMode: mip"
_CHUNK = 1 << 14
"""Gaussians written, or read, at once: 4 MB at degree 3."""


def write_ply(path: Path, gaussians: Gaussians, *, comments: Sequence[str] = ()) -> None:
    """Write ``gaussians`` to ``path``; each comment becomes one line of the header. Raises ``ValueError``."""
    names = property_names(gaussians.sh_degree)
    told = [*comments, *([_MIP] if gaussians.antialiased else [])]
    if any(gaussians.background):
        told.append("Background: " + " ".join(f"{value:.6f}" for value in gaussians.background))
    with path.open("wb") as file:
        file.write(header_of([("vertex", "float", names, len(gaussians))], told))
        for start in range(0, len(gaussians), _CHUNK):
            file.write(_rows(gaussians.take(np.arange(start, min(start + _CHUNK, len(gaussians))))).tobytes())


def read_ply(path: Path) -> Gaussians:
    """Read Gaussians of degree 0 to 3 whose properties stand in any order; normals and unknown ones are left out.

    Raises ``CorruptArtifact``. The header is held against the size of the file before any memory is taken.
    """
    header = read_header(path)
    vertex = header.elements[0]
    if vertex.name != "vertex" or len(header.elements) > 1:
        raise _corrupt(path, "its only element must be vertex")
    names = property_names(_degree(path, vertex.dtype))
    for name in names:
        if name not in (vertex.dtype.names or ()) and not name.startswith("n"):
            raise _corrupt(path, f"property {name} is missing")
    count, rest = vertex.count, [name for name in names if name.startswith("f_rest_")]
    means, log_scales, quats = (np.empty((count, width), np.float32) for width in (3, 3, 4))
    opacities, sh = np.empty(count, np.float32), np.empty((count, 1 + len(rest) // 3, 3), np.float32)
    for rows, table in header.parts(path, vertex, _CHUNK):  # all at once it would be in memory twice
        means[rows] = _columns(table, ["x", "y", "z"])
        quats[rows] = _unit(_columns(table, [f"rot_{i}" for i in range(4)]))
        log_scales[rows] = _columns(table, [f"scale_{i}" for i in range(3)])
        opacities[rows] = table["opacity"]
        sh[rows, 0] = _columns(table, ["f_dc_0", "f_dc_1", "f_dc_2"])
        if rest:
            sh[rows, 1:] = _columns(table, rest).reshape(-1, 3, len(rest) // 3).transpose(0, 2, 1)
    return Gaussians(
        means=means,
        quats=quats,
        log_scales=log_scales,
        logit_opacities=opacities,
        sh=sh,
        background=_background(header.comments),
        antialiased=_MIP in header.comments or "antialiased 1" in header.comments,
    )


def property_names(sh_degree: int) -> list[str]:
    """Return the properties of the layout in order."""
    rest = 3 * ((sh_degree + 1) ** 2 - 1)
    front = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    middle = [f"f_rest_{i}" for i in range(rest)]
    return [*front, *middle, "opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]


def _rows(gaussians: Gaussians) -> NDArray[np.void]:
    names = property_names(gaussians.sh_degree)
    n = len(gaussians)
    columns = [
        gaussians.means,
        np.zeros((n, 3), np.float32),
        gaussians.sh[:, 0],
        gaussians.sh[:, 1:].transpose(0, 2, 1).reshape(n, 3 * (gaussians.sh.shape[1] - 1)),
        gaussians.logit_opacities[:, None],
        gaussians.log_scales,
        gaussians.quats,
    ]
    flat = np.ascontiguousarray(np.concatenate(columns, axis=1), dtype="<f4")
    rows: NDArray[np.void] = flat.view([(name, "<f4") for name in names])[:, 0]
    return rows


def _background(comments: Sequence[str]) -> tuple[float, float, float]:
    """Return the colour of the last comment that names one; black where none does."""
    found = [re.fullmatch(r"Background: ([01]\.\d{6}) ([01]\.\d{6}) ([01]\.\d{6})", text) for text in comments]
    named = [match for match in found if match]
    return (float(named[-1][1]), float(named[-1][2]), float(named[-1][3])) if named else (0.0, 0.0, 0.0)


def _degree(path: Path, dtype: np.dtype[np.void]) -> int:
    rest = sum(name.startswith("f_rest_") for name in dtype.names or ())
    degrees = {0: 0, 9: 1, 24: 2, 45: 3}
    if rest not in degrees:
        raise _corrupt(path, f"it has {rest} properties f_rest_*, must be one of {sorted(degrees)}")
    return degrees[rest]


def _columns(table: NDArray[np.void], names: Sequence[str]) -> NDArray[np.float32]:
    own = list(table.dtype.names or ())
    first = own.index(names[0]) if names else 0
    if table.dtype == np.dtype([(name, "<f4") for name in own]) and own[first : first + len(names)] == list(names):
        return table.view("<f4").reshape(len(table), len(own))[:, first : first + len(names)].copy()  # side by side
    out = np.empty((len(table), len(names)), np.float32)
    for i, name in enumerate(names):
        out[:, i] = table[name]
    return out


def _unit(quats: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalise what is visibly not of length one; others keep their bits, so that a round trip is exact."""
    norms = np.linalg.norm(quats, axis=1, keepdims=True)
    off = (np.abs(norms - 1) > 1e-4) & (norms > 0) & np.isfinite(norms)
    return np.where(off, quats / np.where(off, norms, 1), quats).astype(np.float32)


def _corrupt(path: Path, cause: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path.name} is not a PLY of Gaussians: {cause}", file=path.name)
