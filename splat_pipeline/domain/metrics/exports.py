"""What is handed over, in figures for the gates: files that were read back, and the film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.gaussians import Gaussians


def box_error(want: NDArray[np.floating], got: NDArray[np.floating]) -> float:
    """Return how far the box of means (M, 3) is from that of means (N, 3), over its diagonal; infinite for nothing."""
    if not len(got) or not len(want):
        return 0.0 if len(got) == len(want) else float("inf")
    boxes = [np.stack([means.min(axis=0), means.max(axis=0)]).astype(float) for means in (want, got)]
    diagonal = max(float(np.linalg.norm(boxes[0][1] - boxes[0][0])), 1e-12)
    return float(np.abs(boxes[1] - boxes[0]).max()) / diagonal


def export_metrics(gaussians: Gaussians, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the metrics of the stage exports, of the format that fared worst. ``rows``: of ``tables.FORMATS``."""
    size = max(float(np.linalg.norm(np.ptp(gaussians.means.astype(float), axis=0))), 1e-12) if len(gaussians) else 1.0
    return {
        "count_ratio": min(row["gaussians"] / max(1, row["wanted"]) for row in rows),
        "unread_share": max(float(row["unread_share"]) for row in rows),
        "roundtrip_error": max(float(row["max_error"]) for row in rows) / size,
        "box_error": max(float(row["box_error"]) for row in rows),
    }


@dataclass(frozen=True, kw_only=True)
class Film:
    """What a film holds, as it was read back."""

    codec: str
    fps: float
    seconds: float
    luma: Sequence[float]
    """Mean of each frame, 0 to 255."""
    change: Sequence[float]
    """Mean absolute difference of luma from each frame to the next, 0 to 255."""


def film_metrics(film: Film | None, *, seconds: float, fps: float) -> dict[str, float | None]:
    """Return the metrics of a film. ``seconds``, ``fps``: as it was meant. ``film``: None where none was made."""
    if film is None:
        rest = ("duration_error_s", "is_h264", "fps_error", "film_luma", "film_change")
        return {"films": 0.0, **dict.fromkeys(rest)}
    return {
        "films": 1.0,
        "duration_error_s": abs(film.seconds - seconds),
        "is_h264": float(film.codec == "h264"),
        "fps_error": abs(film.fps - fps),
        "film_luma": float(np.median(film.luma)) if film.luma else float("nan"),
        "film_change": float(np.median(film.change)) if film.change else float("nan"),
    }
