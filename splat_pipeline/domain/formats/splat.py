"""Gaussians as ``.splat``: 32 bytes each, the most important first, as small web viewers read them.

    bytes   0-11   12-23                24-27                        28-31
            xyz    standard deviations  RGBA: 255 (0.5 + C0 sh0),    quaternion wxyz:
            f32    f32                  255 sigmoid(logit opacity)   128 + 128 q, rounded, 0 to 255

Harmonics above degree 0 are lost, colour and opacity keep 8 bits, a rotation about a degree. Axes are those of
the Gaussians. Source: the reference converter of antimatter15/splat.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.bits import logits_of, to_byte
from splat_pipeline.domain.gaussians import SH_C0, Gaussians

RECORD = np.dtype([("xyz", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])
_AT_ONCE = 1 << 16
"""Gaussians that are written at once."""


def write_splat(path: Path, gaussians: Gaussians) -> None:
    """Write ``gaussians`` to ``path`` in the order of ``by_importance``, some at a time."""
    order, plain = by_importance(gaussians), gaussians.lowered(0)  # the format has no other harmonics
    with path.open("wb") as file:
        for start in range(0, len(order), _AT_ONCE):
            file.write(_records(plain.take(order[start : start + _AT_ONCE])).tobytes())


def _records(some: Gaussians) -> NDArray[np.void]:
    rows = np.empty(len(some), RECORD)
    rows["xyz"] = some.means
    rows["scale"] = np.exp(some.log_scales)
    rows["rgba"][:, :3] = to_byte(255 * (0.5 + SH_C0 * some.sh[:, 0]))
    rows["rgba"][:, 3] = to_byte(255 * some.opacities)
    norms = np.linalg.norm(some.quats, axis=1, keepdims=True)
    rows["quat"] = to_byte(128 + 128 * some.quats / np.maximum(norms, 1e-12))
    return rows


def read_splat(path: Path) -> Gaussians:
    """Read ``path``: Gaussians of degree 0. Raises ``CorruptArtifact``."""
    size = path.stat().st_size
    if size % RECORD.itemsize:
        raise CorruptArtifact(f"{path.name}: {size} bytes are no multiple of {RECORD.itemsize}", file=path.name)
    rows = np.fromfile(path, RECORD)
    if not (np.isfinite(rows["xyz"]).all() and (rows["scale"] >= 0).all() and np.isfinite(rows["scale"]).all()):
        raise CorruptArtifact(f"{path.name} holds a position or scale that is no finite number", file=path.name)
    rgba = rows["rgba"].astype(np.float32) / 255
    quats = (rows["quat"].astype(np.float32) - 128) / 128
    norms = np.linalg.norm(quats, axis=1, keepdims=True)
    tiny, identity = np.finfo(np.float32).tiny, np.array([1, 0, 0, 0], np.float32)
    return Gaussians(
        means=rows["xyz"].copy(),
        quats=np.where(norms > 0, quats / np.maximum(norms, 1e-12), identity).astype(np.float32),
        log_scales=np.log(np.maximum(rows["scale"], tiny)),
        logit_opacities=logits_of(rgba[:, 3]),
        sh=((rgba[:, None, :3] - 0.5) / SH_C0).astype(np.float32),
    )


def by_importance(gaussians: Gaussians) -> NDArray[np.int64]:
    """Return the order of falling opacity times volume, ties as they stand: (N,) positions."""
    volume = gaussians.log_scales.astype(np.float64).sum(axis=1)
    # A logarithm orders as its argument does, and does not overflow.
    log_opacity = -np.logaddexp(0, -gaussians.logit_opacities.astype(np.float64))
    return np.argsort(-(volume + log_opacity), kind="stable")
