"""Gaussians as PlayCanvas's SOG, version 2: a zip of WebP pictures without loss, one pixel a Gaussian, and meta.json.

    means_l, means_u   RGB: low and high byte of x y z, 0 to 65535 over ``mins`` to ``maxs`` of sign(x) ln(1 + |x|)
    quats              RGB: the other three of w x y z, 0 to 255 over -sqrt(0.5) to sqrt(0.5); A: 252 + the largest
    scales             RGB: values of a codebook of 256, natural logarithms
    sh0                RGB: values of a codebook of 256, f_dc; A: 255 sigmoid(logit opacity)
    shN_labels         RG: low and high byte of the place in the palette
    shN_centroids      the palette, 64 entries a row, K - 1 pixels each, RGB: values of a codebook of 256

Gaussians stand in Morton order, so that neighbours are neighbouring pixels. Axes are those of the Gaussians, as in PLY.
Source: the format's specification at developer.playcanvas.com, and the reader of playcanvas/splat-transform (MIT).
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.bits import logits_of, to_byte, with_largest, without_largest
from splat_pipeline.domain.formats.compressed_ply import by_place
from splat_pipeline.domain.formats.palettes import VALUES, codebook, palette
from splat_pipeline.domain.gaussians import Gaussians

Bytes = NDArray[np.uint8]
Float32 = NDArray[np.float32]

_ROW = 64
"""Entries of the palette in a row of its picture."""
_MOST_LABELS = 1 << 16
COARSER = (
    "places by 2 bits coarser, a palette of 16,384 for the harmonics",
    "places by 4 bits coarser, a palette of 4,096 for the harmonics",
)
"""What a file for a smaller budget has less of."""
_META_LIMIT = 1 << 22
_DEGREES = {0: 0, 1: 3, 2: 8, 3: 15}
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of the files in the zip: the same Gaussians give the same bytes."""
_SLACK_PX, _PIXELS_A_BYTE = 1 << 18, 64
"""A picture may have so many pixels, or so many for each byte of the archive: more would be a bomb."""


def write_sog(path: Path, gaussians: Gaussians, *, coarse: int = 0) -> None:
    """Write ``gaussians`` to ``path`` in the order of ``by_place``.

    ``coarse``: 0 or a place in ``COARSER``, counted from 1.
    """
    ordered = gaussians.take(by_place(gaussians))
    count = len(ordered)
    width = max(4, 4 * math.ceil(math.sqrt(count) / 4))
    meta: dict[str, Any] = {"version": 2, "asset": {"generator": "splat_pipeline"}, "count": count}
    meta["antialias"] = ordered.antialiased
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        meta["means"] = _write_means(archive, ordered.means, width, bits=16 - 2 * coarse)
        largest, others = without_largest(ordered.quats)
        turns = to_byte(255 * (others * np.float32(math.sqrt(0.5)) + np.float32(0.5)))
        kinds = (252 + largest).astype(np.uint8)
        meta["quats"] = {"files": [_store(archive, "quats", turns, width, alpha=kinds)]}
        book, labels = codebook(ordered.log_scales)
        meta["scales"] = {"codebook": book.tolist(), "files": [_store(archive, "scales", labels, width)]}
        book, labels = codebook(ordered.sh[:, 0])
        seen = to_byte(255 * ordered.opacities)
        meta["sh0"] = {"codebook": book.tolist(), "files": [_store(archive, "sh0", labels, width, alpha=seen)]}
        if ordered.sh_degree:
            meta["shN"] = _write_harmonics(archive, ordered, width, most=_MOST_LABELS >> 2 * coarse)
        _add(archive, "meta.json", json.dumps(meta).encode())


def read_sog(path: Path) -> Gaussians:
    """Read ``path``, version 2. Raises ``CorruptArtifact``; what it claims is held against its bytes before that."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(path, archive).gaussians()
    except (
        zipfile.BadZipFile, KeyError, IndexError, TypeError, ValueError, AttributeError, OSError, NotImplementedError,
        Image.DecompressionBombError, RuntimeError, RecursionError,
    ) as error:  # fmt: skip
        raise _corrupt(path, f"{type(error).__name__}: {error}") from None


class _Reader:
    """Reads the pictures of one archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._limit = path.stat().st_size
        self._meta: Mapping[str, Any] = json.loads(self._file("meta.json", _META_LIMIT))
        if self._meta.get("version") != 2:
            raise _corrupt(path, f"its version is {self._meta.get('version')!r}, 2 can be read")
        self._count = int(self._meta["count"])

    def gaussians(self) -> Gaussians:
        turns, colors = self._pixels("quats"), self._pixels("sh0")
        if len(turns) and turns[:, 3].min() < 252:
            raise _corrupt(self._path, "a rotation does not say which part of it is largest")
        others = ((turns[:, :3] / np.float32(255) - np.float32(0.5)) * np.float32(math.sqrt(2))).astype(np.float32)
        dc = self._book("sh0")[colors[:, :3]]
        return Gaussians(
            means=self._means(),
            quats=with_largest(turns[:, 3].astype(np.int64) - 252, others),
            log_scales=self._book("scales")[self._pixels("scales")[:, :3]],
            logit_opacities=logits_of(colors[:, 3] / 255),
            sh=np.concatenate([dc[:, None], self._harmonics()], axis=1),
            antialiased=self._meta.get("antialias") is True,
        )

    def _means(self) -> Float32:
        low, high = (self._pixels("means", i)[:, :3].astype(np.float64) for i in range(2))
        least, most = (np.array(self._meta["means"][end], np.float64).reshape(3) for end in ("mins", "maxs"))
        bent = least + (most - least) * (low + 256 * high) / 65535
        return (np.sign(bent) * np.expm1(np.abs(bent))).astype(np.float32)

    def _harmonics(self) -> Float32:
        told = self._meta.get("shN")
        if told is None:
            return np.zeros((self._count, 0, 3), np.float32)
        wide, entries = _DEGREES[told["bands"]], int(told["count"])
        picture = self._picture(told["files"][0])
        if picture.shape[1] != _ROW * wide or not 0 < entries <= picture.shape[0] * _ROW:
            raise _corrupt(self._path, f"{entries} entries of its palette do not fit into {picture.shape[:2]} pixels")
        labels = self._pixels("shN", 1)
        at = labels[:, 0].astype(np.int64) + 256 * labels[:, 1].astype(np.int64)
        if len(at) and at.max() >= entries:
            raise _corrupt(self._path, f"a label names entry {at.max()} of a palette of {entries}")
        return self._book("shN")[picture.reshape(-1, wide, 4)[at, :, :3]]

    def _book(self, name: str) -> Float32:
        book = np.array(self._meta[name]["codebook"], np.float32)
        if book.shape != (VALUES,) or not np.isfinite(book).all():
            raise _corrupt(self._path, f"the codebook of {name} must be {VALUES} numbers")
        return book

    def _pixels(self, name: str, which: int = 0) -> Bytes:
        """Return (N, 4) of a picture that has a pixel for each Gaussian."""
        picture = self._picture(self._meta[name]["files"][which]).reshape(-1, 4)
        if not 0 <= self._count <= len(picture):
            raise _corrupt(self._path, f"{len(picture)} pixels of {name} cannot hold {self._count} Gaussians")
        return picture[: self._count]

    def _picture(self, name: str) -> Bytes:
        content = self._file(name, self._limit)
        with Image.open(io.BytesIO(content), formats=("WEBP", "PNG")) as image:
            if image.width * image.height > _SLACK_PX + _PIXELS_A_BYTE * self._limit:
                raise _corrupt(self._path, f"{name} claims {image.size} pixels in a file of {self._limit} bytes")
            return np.asarray(image.convert("RGBA"))

    def _file(self, name: str, limit: int) -> bytes:
        entry = self._archive.getinfo(str(name))
        if entry.file_size > limit:
            raise _corrupt(self._path, f"{entry.filename[:80]} claims {entry.file_size} bytes")
        with self._archive.open(entry) as file:
            return file.read(limit)


def _write_means(archive: zipfile.ZipFile, means: Float32, width: int, *, bits: int) -> dict[str, Any]:
    places = means.astype(np.float64)
    bent = np.sign(places) * np.log1p(np.abs(places))
    least, most = (bent.min(axis=0), bent.max(axis=0)) if len(bent) else (np.zeros(3), np.zeros(3))
    wide = np.where(most > least, most - least, 1)
    # Of fewer bits the others are zero, and zeros take no room.
    unit = 1 << (16 - bits)
    steps = (np.minimum(np.rint((bent - least) / wide * 65535 / unit), (1 << bits) - 1) * unit).astype(np.uint16)
    halves = {"means_l": (steps & 255).astype(np.uint8), "means_u": (steps >> 8).astype(np.uint8)}
    files = [_store(archive, name, half, width) for name, half in halves.items()]
    return {"mins": least.tolist(), "maxs": most.tolist(), "files": files}


def _write_harmonics(archive: zipfile.ZipFile, ordered: Gaussians, width: int, *, most: int) -> dict[str, Any]:
    count, wide = len(ordered), ordered.sh.shape[1] - 1
    entries, labels = palette(
        ordered.sh[:, 1:].reshape(count, 3 * wide), min(most, 1 << max(10, count.bit_length() - 1))
    )
    entries = entries if count else np.zeros((1, 3 * wide), np.float32)
    book, values = codebook(entries)
    rows = math.ceil(len(entries) / _ROW)
    shown = np.zeros((rows * _ROW * wide, 3), np.uint8)
    shown[: len(entries) * wide] = values.reshape(-1, 3)
    centroids = _store(archive, "shN_centroids", shown, _ROW * wide)
    halves = np.stack([labels & 255, labels >> 8, np.zeros_like(labels)], axis=1).astype(np.uint8)
    told = {"count": len(entries), "bands": ordered.sh_degree, "codebook": book.tolist()}
    return told | {"files": [centroids, _store(archive, "shN_labels", halves, width)]}


def _store(archive: zipfile.ZipFile, name: str, rgb: Bytes, width: int, *, alpha: Bytes | None = None) -> str:
    """Write (N, 3) bytes, and (N,) of alpha, as a picture; return the name of its file."""
    height = max(1, math.ceil(len(rgb) / width))
    picture = np.zeros((height * width, 4), np.uint8)
    picture[:, 3] = 255
    picture[: len(rgb), :3] = rgb
    if alpha is not None:
        picture[: len(rgb), 3] = alpha
    packed = io.BytesIO()
    image = Image.fromarray(picture.reshape(height, width, 4), "RGBA")
    image.save(packed, "WEBP", lossless=True, exact=True, quality=20, method=1)  # exact: colours of clear pixels count
    _add(archive, f"{name}.webp", packed.getvalue())
    return f"{name}.webp"


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def _corrupt(path: Path, cause: str) -> CorruptArtifact:
    return CorruptArtifact(f"{path.name} is not a .sog of Gaussians: {cause}", file=path.name)
