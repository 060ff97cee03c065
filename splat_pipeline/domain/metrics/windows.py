"""How windows agree with one another as they were placed, and how far loops are from closing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.rigid import angle_deg

Float = NDArray[np.float64]

LEAST_SHARED = 3
"""Images by which two windows are compared."""


@dataclass(frozen=True, kw_only=True)
class WindowGap:
    """How two windows, as they were placed, disagree on the images that both have."""

    rotation_deg: float
    """Median over the images."""
    shift: float
    """Median distance between the two places of an image, over the extent of all cameras."""
    scale: float
    """Natural logarithm of the ratio of sizes, absolute: what drifted from one to the next."""


def window_gap(first: Float, second: Float, extent: float) -> WindowGap:
    """Return the gap between (N, 4, 4) poses of N >= 2 images by a first and by a second window, in one world."""
    eyes = [centers(poses) for poses in (first, second)]
    turns = [angle_deg(a[:3, :3] @ b[:3, :3].T) for a, b in zip(first, second, strict=True)]
    shifts = np.linalg.norm(eyes[0] - eyes[1], axis=1)
    reach = [max(float(np.sqrt(((c - c.mean(0)) ** 2).sum(1).mean())), 1e-12) for c in eyes]
    return WindowGap(
        rotation_deg=float(np.median(turns)),
        shift=float(np.median(shifts)) / max(extent, 1e-12),
        scale=abs(float(np.log(reach[0] / reach[1]))),
    )


def window_gaps(windows: Sequence[Mapping[int, Float]]) -> list[WindowGap]:
    """Return the gaps between windows that share ``LEAST_SHARED`` images or more.

    ``windows``: (4, 4) cam_from_world by position, each as its window alone has it, all placed in one world.
    """
    every = [pose for window in windows for pose in window.values()]
    if not every:
        return []
    extent = float(np.linalg.norm(np.ptp(centers(np.stack(every)), axis=0)))
    found = []
    for a, b in combinations(windows, 2):
        shared = sorted(set(a) & set(b))
        if len(shared) >= LEAST_SHARED:
            first, second = (np.stack([window[at] for at in shared]) for window in (a, b))
            found.append(window_gap(first, second, extent))
    return found


def window_metrics(gaps: Sequence[WindowGap]) -> dict[str, float | None]:
    """Return the metrics of the pair of windows that fits least; None for each where there is no pair."""
    return {
        "window_rotation_deg": max((gap.rotation_deg for gap in gaps), default=None),
        "window_shift": max((gap.shift for gap in gaps), default=None),
        "scale_drift": max((gap.scale for gap in gaps), default=None),
    }


def loop_metrics(loops: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the median gap of the loops (rows of ``tables.LOOPS``) before closing and as all ended.

    Turns in degrees; shifts over the extent of the trajectory, as ``loops.Loop.gap`` has them. None without loops.
    """
    found: dict[str, float | None] = {}
    for name, column in (
        ("loop_rotation_before_deg", "rotation_before_deg"),
        ("loop_shift_before", "translation_before"),
        ("loop_rotation_after_deg", "rotation_after_deg"),
        ("loop_shift_after", "translation_after"),
    ):
        known = [float(row[column]) for row in loops if row[column] is not None]
        found[name] = float(np.median(known)) if known else None
    return found
