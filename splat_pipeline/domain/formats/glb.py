"""Gaussians as binary glTF 2.0 with the extension KHR_gaussian_splatting (release candidate of 2025), uncompressed.

One primitive of points: POSITION, the extension's ROTATION (xyzw), SCALE (standard deviations), OPACITY (0 to 1) and
SH_DEGREE_l_COEF_n (RGB), all float32, and COLOR_0, linear RGBA of 8 bits, for viewers that know points only. Axes: y
up, z backward, so that y and z change their sign. Source: the extension's text at KhronosGroup/glTF.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.axes import HARMONICS, PLACE, TURN
from splat_pipeline.domain.formats.bits import to_byte
from splat_pipeline.domain.gaussians import SH_C0, Gaussians

Float32 = NDArray[np.float32]
Change = Callable[[Float32], NDArray[np.floating]]
_EXTENSION = "KHR_gaussian_splatting"
_HEAD, _CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")
_FLOAT, _UBYTE, _POINTS, _VERTICES = 5126, 5121, 0, 34962
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
_JSON_LIMIT = 1 << 20
_AT_ONCE = 1 << 16
"""Gaussians whose numbers are turned at once."""
_NEAREST = 1e-6
"""To 0 and 1, an opacity may be: its logit is finite."""


def write_glb(path: Path, gaussians: Gaussians, *, comments: Sequence[str] = ()) -> None:
    """Write ``gaussians`` to ``path``, some at a time; ``comments`` become ``asset.extras.comments``."""
    attributes = _attributes(gaussians.sh_degree)
    kinds = {name: make(gaussians.take(slice(0, 0))) for name, make in attributes.items()}
    text = json.dumps(_document(kinds, gaussians, comments), separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    size = len(gaussians) * sum(_width(kind) for kind in kinds.values())
    with path.open("wb") as file:
        file.write(_HEAD.pack(b"glTF", 2, _HEAD.size + 2 * _CHUNK.size + len(text) + size))
        file.write(_CHUNK.pack(len(text), b"JSON") + text + _CHUNK.pack(size, b"BIN\0"))
        for make in attributes.values():
            for rows in _parts(len(gaussians)):
                file.write(np.ascontiguousarray(make(gaussians.take(rows))).data)


def read_glb(path: Path) -> Gaussians:
    """Read the first primitive of Gaussians of ``path``. Raises ``CorruptArtifact``.

    What its JSON claims is held against the size of the file before memory is taken; nodes' transforms are refused.
    """
    document, offset, size = _chunks(path)
    try:
        arrays, names = _arrays(document, offset, size), harmonics(3)
        degree = max(d for d in range(4) if all(name in arrays for name in names[: (d + 1) ** 2]))
        sh = np.empty((arrays["POSITION"].count, (degree + 1) ** 2, 3), np.float32)
        for i, name in enumerate(names[: sh.shape[1]]):
            arrays[name].fill(path, sh[:, i], partial(np.multiply, HARMONICS[i]))
        return Gaussians(
            means=arrays["POSITION"].made(path, 3, lambda values: values * PLACE),
            quats=arrays[f"{_EXTENSION}:ROTATION"].made(path, 4, lambda values: values[:, [3, 0, 1, 2]] * TURN),
            log_scales=arrays[f"{_EXTENSION}:SCALE"].made(path, 3, _logarithms),
            logit_opacities=arrays[f"{_EXTENSION}:OPACITY"].made(path, 1, _logits)[:, 0],
            sh=sh,
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _corrupt(path, f"{type(error).__name__}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class _Array:
    """Where a tight float32 array (count, width) lies in the file."""

    start: int
    count: int
    width: int

    def made(self, path: Path, width: int, change: Change) -> Float32:
        """Return (count, width) of what ``change`` makes of it."""
        out = np.empty((self.count, width), np.float32)
        self.fill(path, out, change)
        return out

    def fill(self, path: Path, out: Float32, change: Change) -> None:
        """Put what ``change`` makes of it into ``out``, some rows after the other. Raises ``ValueError``."""
        if out.shape[1] != self.width:
            raise ValueError(f"an array has {self.width} numbers a Gaussian, must have {out.shape[1]}")
        with path.open("rb") as file:
            file.seek(self.start)
            for rows in _parts(self.count):
                some = np.fromfile(file, "<f4", self.width * (rows.stop - rows.start))
                out[rows] = change(some.reshape(-1, self.width))


def _attributes(degree: int) -> dict[str, Callable[[Gaussians], NDArray[Any]]]:
    """Return what makes each attribute of some Gaussians, in the order of the file."""
    attributes: dict[str, Callable[[Gaussians], NDArray[Any]]] = {
        "POSITION": lambda some: some.means * PLACE,
        "COLOR_0": _points_color,
        f"{_EXTENSION}:ROTATION": lambda some: (some.quats * TURN)[:, [1, 2, 3, 0]],
        f"{_EXTENSION}:SCALE": lambda some: np.exp(some.log_scales),
        f"{_EXTENSION}:OPACITY": lambda some: some.opacities[:, None],
    }
    return attributes | {name: partial(_harmonic, i) for i, name in enumerate(harmonics(degree))}


def _harmonic(i: int, some: Gaussians) -> Float32:
    out: Float32 = some.sh[:, i] * HARMONICS[i]
    return out


def _parts(count: int) -> list[slice]:
    return [slice(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE)]


def _width(kind: NDArray[Any]) -> int:
    """Return the bytes of a row."""
    return kind.dtype.itemsize * int(kind.shape[1])


def _logarithms(values: Float32) -> Float32:
    out: Float32 = np.log(np.maximum(values, np.finfo(np.float32).tiny))
    return out


def _logits(values: Float32) -> Float32:
    inside = np.clip(values.astype(np.float64), _NEAREST, 1 - _NEAREST)
    out: Float32 = np.log(inside / (1 - inside)).astype(np.float32)
    return out


def harmonics(degree: int) -> list[str]:
    """Return the attributes of harmonics in the order of ``Gaussians.sh``."""
    return [f"{_EXTENSION}:SH_DEGREE_{d}_COEF_{i}" for d in range(degree + 1) for i in range(2 * d + 1)]


def _points_color(gaussians: Gaussians) -> NDArray[np.uint8]:
    srgb = np.clip(0.5 + SH_C0 * gaussians.sh[:, 0], 0, 1)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    return to_byte(255 * np.concatenate([linear, gaussians.opacities[:, None]], axis=1))


def _document(kinds: dict[str, NDArray[Any]], gaussians: Gaussians, comments: Sequence[str]) -> dict[str, Any]:
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    at, count = 0, len(gaussians)
    for name, kind in kinds.items():
        size = count * _width(kind)
        views.append({"buffer": 0, "byteOffset": at, "byteLength": size, "target": _VERTICES})
        accessor = {"bufferView": len(accessors), "count": count, "type": _TYPES[kind.shape[1]]}
        small = kind.dtype == np.uint8
        accessor |= {"componentType": _UBYTE, "normalized": True} if small else {"componentType": _FLOAT}
        if name == "POSITION" and count:
            ends = np.stack([gaussians.means.min(axis=0), gaussians.means.max(axis=0)]) * PLACE
            accessor |= {"min": ends.min(axis=0).tolist(), "max": ends.max(axis=0).tolist()}
        accessors.append(accessor)
        at += size
    drawn = {
        "kernel": "ellipse", "colorSpace": "srgb_rec709_display", "sortingMethod": "cameraDistance",
        "projection": "perspective",
    }  # fmt: skip
    primitive = {
        "attributes": {name: i for i, name in enumerate(kinds)},
        "mode": _POINTS,
        "extensions": {_EXTENSION: drawn},
    }
    return {
        "asset": {"version": "2.0", "generator": "splat_pipeline", "extras": {"comments": list(comments)}},
        "extensionsUsed": [_EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "buffers": [{"byteLength": at}],
        "bufferViews": views,
        "accessors": accessors,
    }


def _chunks(path: Path) -> tuple[dict[str, Any], int, int]:
    """Return the JSON, and where the binary part begins and how long it is."""
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD.size + _CHUNK.size)
        if len(head) < _HEAD.size + _CHUNK.size or head[:4] != b"glTF":
            raise _corrupt(path, "it does not begin with glTF")
        version, kind = _HEAD.unpack_from(head)[1], _CHUNK.unpack_from(head, _HEAD.size)
        if version != 2 or kind[1] != b"JSON" or kind[0] > _JSON_LIMIT:
            raise _corrupt(path, f"version {version}, first chunk {kind[1]!r} of {kind[0]} bytes")
        try:
            document = json.loads(file.read(kind[0]))
        except (ValueError, RecursionError) as error:
            raise _corrupt(path, f"its JSON cannot be read: {error}") from None
        second = file.read(_CHUNK.size)
        offset = file.tell()
    if len(second) < _CHUNK.size or second[4:] != b"BIN\0" or not isinstance(document, dict):
        raise _corrupt(path, "it has no binary part")
    return document, offset, min(_CHUNK.unpack(second)[0], length - offset)


def _primitive(document: dict[str, Any]) -> tuple[dict[str, int], list[Any], list[Any]]:
    moved = [node for node in document.get("nodes", []) if {"matrix", "rotation", "scale", "translation"} & set(node)]
    if moved:
        raise ValueError("a node moves its Gaussians, which is not supported")
    for mesh in document["meshes"]:
        for primitive in mesh["primitives"]:
            if _EXTENSION in primitive.get("extensions", {}):
                if primitive["extensions"][_EXTENSION].get("extensions"):
                    raise ValueError("its Gaussians are compressed by a further extension")
                wanted = {
                    name: int(at)
                    for name, at in primitive["attributes"].items()
                    if name == "POSITION" or name.startswith(f"{_EXTENSION}:")
                }
                return wanted, document["accessors"], document["bufferViews"]
    raise ValueError(f"no primitive has {_EXTENSION}")


def _arrays(document: dict[str, Any], offset: int, size: int) -> dict[str, _Array]:
    attributes, accessors, views = _primitive(document)
    arrays = {name: _array(accessors[at], views, offset, size) for name, at in attributes.items()}
    if len(counts := {array.count for array in arrays.values()}) != 1:
        raise ValueError(f"its attributes are of {' and '.join(map(str, sorted(counts)))} Gaussians")
    return arrays


def _array(accessor: dict[str, Any], views: list[Any], offset: int, size: int) -> _Array:
    view, count = views[accessor["bufferView"]], int(accessor["count"])
    width = {kind: width for width, kind in _TYPES.items()}[accessor["type"]]
    if accessor["componentType"] != _FLOAT or view.get("byteStride", 4 * width) != 4 * width or view["buffer"] != 0:
        raise ValueError("only tight float32 arrays of the file's own buffer are supported")
    start = int(view.get("byteOffset", 0)) + int(accessor.get("byteOffset", 0))
    if min(start, count) < 0 or start + 4 * width * count > size:
        raise ValueError(f"an array of {count} {accessor['type']} at {start} does not fit into {size} bytes")
    return _Array(start=offset + start, count=count, width=width)


def _corrupt(path: Path, cause: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path.name} is not a binary glTF of Gaussians: {cause}", file=path.name)
