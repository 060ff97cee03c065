"""Numbers in few bits, and back: what the small formats share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
UInt32 = NDArray[np.uint32]
INSIDE = 0.25 / 255
"""An opacity of 0 or 255 stands for values up to half a step inside (0, 1): its logit is finite, and it rounds back."""


def to_byte(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return ``values`` rounded and kept within 0 to 255."""
    out: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return out


def to_unorm(values: NDArray[np.floating], bits: int) -> UInt32:
    """Return ``values`` of [0, 1] as integers of so many bits; what lies outside is kept within."""
    most = (1 << bits) - 1
    out: UInt32 = np.clip(np.floor(values * most + 0.5), 0, most).astype(np.uint32)
    return out


def from_unorm(values: UInt32, bits: int) -> Float32:
    """Return integers of so many bits as numbers of [0, 1]."""
    return (values / ((1 << bits) - 1)).astype(np.float32)


def joined(fields: Sequence[UInt32], bits: Sequence[int]) -> UInt32:
    """Return fields of so many bits each in one word, the first in the highest bits."""
    word = np.zeros(len(fields[0]), np.uint32)
    for field, width in zip(fields, bits, strict=True):
        word = np.bitwise_or(np.left_shift(word, np.uint32(width)), field)
    return word


def parted(word: UInt32, bits: Sequence[int]) -> list[UInt32]:
    """Return the fields that ``joined`` put into ``word``."""
    fields: list[UInt32] = []
    for width in reversed(bits):
        fields.insert(0, np.bitwise_and(word, np.uint32((1 << width) - 1)))
        word = np.right_shift(word, np.uint32(width))
    return fields


def logits_of(opacities: NDArray[np.floating]) -> Float32:
    """Return the logits of opacities of 8 bits; those of 0 and 1 are finite."""
    inside = np.clip(opacities.astype(np.float64), INSIDE, 1 - INSIDE)
    out: Float32 = np.log(inside / (1 - inside)).astype(np.float32)
    return out


def without_largest(quats: Float32) -> tuple[NDArray[np.int64], Float32]:
    """Return (N,) which component of unit (N, 4) quaternions is largest, and (N, 3) the others in their order.

    The sign is such that the largest is positive, so that it follows from the others.
    """
    unit = quats / np.maximum(np.linalg.norm(quats, axis=1, keepdims=True), 1e-12)
    largest = np.argmax(np.abs(unit), axis=1)
    rows = np.arange(len(unit))
    unit = unit * np.where(unit[rows, largest] < 0, -1, 1)[:, None]
    return largest, unit[others_of(largest)].reshape(-1, 3).astype(np.float32)


def with_largest(largest: NDArray[np.integer], others: Float32) -> Float32:
    """Return the (N, 4) quaternions of ``without_largest``."""
    quats = np.empty((len(others), 4), np.float32)
    quats[others_of(largest)] = others.ravel()
    missing = np.sqrt(np.maximum(0, 1 - (others.astype(np.float64) ** 2).sum(axis=1)))
    quats[np.arange(len(quats)), largest] = missing
    norms = np.linalg.norm(quats, axis=1, keepdims=True)
    out: Float32 = (quats / np.maximum(norms, 1e-12)).astype(np.float32)
    return out


def others_of(largest: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return (N, 4): all but the largest."""
    out: NDArray[np.bool_] = np.arange(4) != largest[:, None]
    return out
