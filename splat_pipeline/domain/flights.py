"""A flight along the path that was filmed, for rooms and walks. Axes and letters as in ``orbit``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.orbit import look_at

Array = NDArray[np.float64]

JERK_DEG = 60.0
"""Neighbouring captured views that turn by more are not flown between."""


def flight(centers: Array, axes: Array, *, frames: int) -> list[Array]:
    """Return poses along the longest unbroken stretch of the captured path, smoothed, there and back."""
    first, stop = _longest_stretch(centers, axes)
    width = max(1.0, (stop - first) / 30)
    smooth_centers, smooth_axes = _smooth(centers[first:stop], width), _smooth(axes[first:stop], width)
    # Near an end the mean is one-sided, and lies off the captured path.
    edge = min(width, (stop - first - 1) / 4)
    at = edge + (0.5 - 0.5 * np.cos(np.arange(frames) / frames * 2 * np.pi)) * (stop - first - 1 - 2 * edge)
    known = np.arange(stop - first)
    eyes = np.stack([np.interp(at, known, smooth_centers[:, i]) for i in range(3)], axis=-1)
    looks = np.stack([np.interp(at, known, smooth_axes[:, i]) for i in range(3)], axis=-1)
    return [look_at(eye, eye + look) for eye, look in zip(eyes, looks, strict=True)]


def _longest_stretch(centers: Array, axes: Array) -> tuple[int, int]:
    """Return [first, stop) of the longest run without a jump or a jerk, as from one clip to the next."""
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    level = np.einsum("ci,ci->c", axes[1:], axes[:-1])
    broken = (level < np.cos(np.radians(JERK_DEG))) | (steps > 8 * np.median(steps) if len(steps) else False)
    bounds = np.concatenate([[0], np.flatnonzero(broken) + 1, [len(centers)]])
    longest = int(np.argmax(np.diff(bounds)))
    return int(bounds[longest]), int(bounds[longest + 1])


def _smooth(values: Array, width: float) -> Array:
    at = np.arange(len(values))
    weights = np.exp(-0.5 * ((at[:, None] - at[None, :]) / width) ** 2)
    smoothed: Array = weights / weights.sum(axis=1, keepdims=True) @ values
    return smoothed
