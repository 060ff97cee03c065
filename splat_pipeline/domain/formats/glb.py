"""Gaussians as binary glTF 2.0 with the extension KHR_gaussian_splatting (release candidate of 2025), uncompressed.

One primitive of points: POSITION, the extension's ROTATION (xyzw), SCALE (standard deviations), OPACITY (0 to 1) and
SH_DEGREE_l_COEF_n (RGB), all float32, and COLOR_0, linear RGBA of 8 bits, for viewers that know points only. Axes: y
up, z backward, so that y and z change their sign. Source: the extension's text at KhronosGroup/glTF.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.axes import half_turned
from splat_pipeline.domain.formats.bits import to_byte
from splat_pipeline.domain.gaussians import SH_C0, Gaussians

_EXTENSION = "KHR_gaussian_splatting"
_HEAD, _CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")
_FLOAT, _UBYTE, _POINTS, _VERTICES = 5126, 5121, 0, 34962
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
_JSON_LIMIT = 1 << 20
_NEAREST = 1e-6
"""To 0 and 1, an opacity may be: its logit is finite."""


def write_glb(path: Path, gaussians: Gaussians, *, comments: Sequence[str] = ()) -> None:
    """Write ``gaussians`` to ``path``; ``comments`` become ``asset.extras.comments``."""
    turned = half_turned(gaussians)
    attributes: dict[str, NDArray[Any]] = {
        "POSITION": turned.means,
        "COLOR_0": _points_color(turned),
        f"{_EXTENSION}:ROTATION": turned.quats[:, [1, 2, 3, 0]],
        f"{_EXTENSION}:SCALE": np.exp(turned.log_scales),
        f"{_EXTENSION}:OPACITY": turned.opacities[:, None],
    }
    attributes |= {name: turned.sh[:, i] for i, name in enumerate(harmonics(turned.sh_degree))}
    text = json.dumps(_document(attributes, comments), separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    size = sum(array.nbytes for array in attributes.values())
    with path.open("wb") as file:
        file.write(_HEAD.pack(b"glTF", 2, _HEAD.size + 2 * _CHUNK.size + len(text) + size))
        file.write(_CHUNK.pack(len(text), b"JSON") + text + _CHUNK.pack(size, b"BIN\0"))
        for array in attributes.values():
            file.write(np.ascontiguousarray(array).data)


def read_glb(path: Path) -> Gaussians:
    """Read the first primitive of Gaussians of ``path``. Raises ``CorruptArtifact``.

    What its JSON claims is held against the size of the file before memory is taken; nodes' transforms are refused.
    """
    document, offset, size = _chunks(path)
    try:
        attributes, accessors, views = _primitive(document)
        values = {name: _array(path, accessors[at], views, offset, size) for name, at in attributes.items()}
        names = harmonics(3)
        degree = max(d for d in range(4) if all(name in values for name in names[: (d + 1) ** 2]))
        sh = np.stack([values[name] for name in names[: (degree + 1) ** 2]], axis=1)
        turn = values[f"{_EXTENSION}:ROTATION"][:, [3, 0, 1, 2]]
        opacity = np.clip(values[f"{_EXTENSION}:OPACITY"][:, 0].astype(np.float64), _NEAREST, 1 - _NEAREST)
        tiny = np.finfo(np.float32).tiny
        turned = Gaussians(
            means=values["POSITION"],
            quats=turn,
            log_scales=np.log(np.maximum(values[f"{_EXTENSION}:SCALE"], tiny)),
            logit_opacities=np.log(opacity / (1 - opacity)).astype(np.float32),
            sh=sh,
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _corrupt(path, f"{type(error).__name__}: {error}") from None
    return half_turned(turned)


def harmonics(degree: int) -> list[str]:
    """Return the attributes of harmonics in the order of ``Gaussians.sh``."""
    return [f"{_EXTENSION}:SH_DEGREE_{d}_COEF_{i}" for d in range(degree + 1) for i in range(2 * d + 1)]


def _points_color(gaussians: Gaussians) -> NDArray[np.uint8]:
    srgb = np.clip(0.5 + SH_C0 * gaussians.sh[:, 0], 0, 1)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    return to_byte(255 * np.concatenate([linear, gaussians.opacities[:, None]], axis=1))


def _document(attributes: dict[str, NDArray[Any]], comments: Sequence[str]) -> dict[str, Any]:
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    at = 0
    for name, array in attributes.items():
        views.append({"buffer": 0, "byteOffset": at, "byteLength": array.nbytes, "target": _VERTICES})
        accessor = {"bufferView": len(accessors), "count": len(array), "type": _TYPES[array.shape[1]]}
        small = array.dtype == np.uint8
        accessor |= {"componentType": _UBYTE, "normalized": True} if small else {"componentType": _FLOAT}
        if name == "POSITION" and len(array):
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        accessors.append(accessor)
        at += array.nbytes
    drawn = {
        "kernel": "ellipse", "colorSpace": "srgb_rec709_display", "sortingMethod": "cameraDistance",
        "projection": "perspective",
    }  # fmt: skip
    primitive = {
        "attributes": {name: i for i, name in enumerate(attributes)},
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


def _array(path: Path, accessor: dict[str, Any], views: list[Any], offset: int, size: int) -> NDArray[np.float32]:
    view, count = views[accessor["bufferView"]], int(accessor["count"])
    width = {kind: width for width, kind in _TYPES.items()}[accessor["type"]]
    if accessor["componentType"] != _FLOAT or view.get("byteStride", 4 * width) != 4 * width or view["buffer"] != 0:
        raise ValueError("only tight float32 arrays of the file's own buffer are supported")
    start = int(view.get("byteOffset", 0)) + int(accessor.get("byteOffset", 0))
    if min(start, count) < 0 or start + 4 * width * count > size:
        raise ValueError(f"an array of {count} {accessor['type']} at {start} does not fit into {size} bytes")
    with path.open("rb") as file:
        file.seek(offset + start)
        return np.fromfile(file, "<f4", width * count).reshape(count, width).astype(np.float32)


def _corrupt(path: Path, cause: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path.name} is not a binary glTF of Gaussians: {cause}", file=path.name)
