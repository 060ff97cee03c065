"""What a file holds that people receive, whichever it is: Gaussians, points, or cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.formats.camera_files import holds_cameras, read_cameras
from splat_pipeline.domain.formats.files import FORMATS, PAGE, Y_DOWN, Y_UP, format_of_content, read_gaussians
from splat_pipeline.domain.formats.ply_header import read_header
from splat_pipeline.domain.rigid import rotation_from_quat

_AT_ONCE = 1 << 18


def facts_of(path: Path) -> dict[str, Any]:
    """Return what ``path`` holds. Raises ``CorruptArtifact``, ``InputError``."""
    if holds_cameras(path):
        return _of_cameras(path)
    if (points := _points(path)) is not None:
        return points
    return _of_gaussians(path)


def _of_gaussians(path: Path) -> dict[str, Any]:
    """Return format, count, degree, bounds in the axes of ``Gaussians``, size, how it is drawn."""
    gaussians = read_gaussians(path)
    name = format_of_content(path)
    finite = np.isfinite(gaussians.means).all(axis=1)
    places = gaussians.means[finite]
    return {
        "format": name,
        "gaussians": len(gaussians),
        "sh_degree": gaussians.sh_degree,
        "size_bytes": path.stat().st_size,
        "axes": Y_UP if name == PAGE else FORMATS[name].axes,
        "antialiased": gaussians.antialiased,
        "background": list(gaussians.background),
        "not_finite": int(np.count_nonzero(~finite)),
        **_bounds(places),
        "median": _rounded(np.median(places, axis=0)) if len(places) else None,
        "median_opacity": round(float(np.median(gaussians.opacities)), 4) if len(gaussians) else None,
        "median_scale": round(float(np.exp(np.median(gaussians.log_scales))), 6) if len(gaussians) else None,
    }


def _points(path: Path) -> dict[str, Any] | None:
    """Return what a PLY of bare points holds; None for any other file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(4) != b"ply\n":
            return None
    header = read_header(path)
    vertex = header.elements[0]
    names = set(vertex.dtype.names or ())
    if vertex.name != "vertex" or not {"x", "y", "z"} <= names or "f_dc_0" in names:
        return None
    least, most, lost = np.full(3, np.inf), np.full(3, -np.inf), 0
    for _, table in header.parts(path, vertex, _AT_ONCE):
        places = np.stack([table[name] for name in "xyz"], axis=1).astype(np.float64)
        finite = np.isfinite(places).all(axis=1)
        lost += int(np.count_nonzero(~finite))
        least = np.minimum(least, places[finite].min(axis=0, initial=np.inf))
        most = np.maximum(most, places[finite].max(axis=0, initial=-np.inf))
    return {
        "format": "points",
        "points": vertex.count,
        "coloured": {"red", "green", "blue"} <= names,
        "size_bytes": path.stat().st_size,
        "not_finite": lost,
        **_bounds(np.stack([least, most]) if lost < vertex.count else np.zeros((0, 3))),
    }


def _of_cameras(path: Path) -> dict[str, Any]:
    """Return how many cameras, images and points there are, and where the images were taken."""
    model = read_cameras(path)
    seen = [-rotation_from_quat(image.quat).T @ image.translation for image in model.images.values()]
    sizes = sorted({f"{camera.width_px}x{camera.height_px}" for camera in model.cameras.values()})
    return {
        "format": "colmap" if path.is_dir() else "transforms",
        "cameras": len(model.cameras),
        "models": sorted({camera.model for camera in model.cameras.values()}),
        "sizes_px": sizes,
        "images": len(model.images),
        "points": len(model.points),
        "axes": Y_DOWN,
        **_bounds(np.array(seen).reshape(-1, 3)),
    }


def _bounds(places: NDArray[np.floating]) -> dict[str, Any]:
    """Return the corners of the box of (N, 3) finite places."""
    if not len(places):
        return {"least": None, "most": None}
    return {"least": _rounded(places.min(axis=0)), "most": _rounded(places.max(axis=0))}


def _rounded(values: NDArray[np.floating]) -> list[float]:
    return [round(float(value), 4) for value in values]
