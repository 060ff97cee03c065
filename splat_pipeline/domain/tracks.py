"""Where each camera of a job was: between the positions of its track, or where its photo was taken."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.positions import EXIF, Fix, Track

LARGEST_GAP_S = 3.0
"""Between fixes that a camera may stand in between."""
BEYOND_S = 0.5
"""So far before the first and after the last fix of a track that fix is still good."""


def at_times(fixes: Sequence[Fix], times_s: Sequence[float], *, images: bool) -> list[Fix | None]:
    """Return where the camera was at each of ``times_s``: of images the fix of that image, else between two fixes.

    None where the neighbouring fixes are more than ``LARGEST_GAP_S`` apart. ``fixes``: in order of time.
    """
    known = np.array([fix.pts_s for fix in fixes])
    return [_at(fixes, known, time_s, images=images) for time_s in times_s]


def rows_of(video_id: str, track: Track) -> list[dict[str, Any]]:
    """Return rows of ``tables.POSITIONS``."""
    return [{"video_id": video_id, "source": track.source, **asdict(fix)} for fix in track.fixes]


def fixes_at(positions: pd.DataFrame, cameras: pd.DataFrame) -> tuple[list[Fix | None], str]:
    """Return where each of ``cameras`` (columns video_id, pts_s) was, and "gps exif" or "gps track".

    ``positions``: rows of ``tables.POSITIONS``.
    """
    found: dict[tuple[str, float], Fix | None] = {}
    sources: set[str] = set()
    for video_id, wanted in cameras.groupby("video_id"):
        rows = positions[positions["video_id"] == video_id].sort_values("pts_s")
        images = bool((rows["source"] == EXIF).all())
        fixes = [_fix_of(row) for row in rows.to_dict("records")]
        times = wanted["pts_s"].tolist()
        at = at_times(fixes, times, images=images)
        found |= {(str(video_id), time_s): fix for time_s, fix in zip(times, at, strict=True)}
        sources |= {"gps exif" if images else "gps track"} if any(at) else set()
    keys = zip(cameras["video_id"], cameras["pts_s"], strict=True)
    return [found[str(video_id), pts_s] for video_id, pts_s in keys], " and ".join(sorted(sources))


def _fix_of(row: Mapping[Hashable, Any]) -> Fix:
    high, sure = (None if pd.isna(row[name]) else float(row[name]) for name in ("alt_m", "accuracy_m"))
    return Fix(pts_s=row["pts_s"], lat_deg=row["lat_deg"], lon_deg=row["lon_deg"], alt_m=high, accuracy_m=sure)


def _at(fixes: Sequence[Fix], known: NDArray[np.float64], time_s: float, *, images: bool) -> Fix | None:
    if not len(known):
        return None
    nearest = fixes[int(np.argmin(np.abs(known - time_s)))]
    after = int(np.searchsorted(known, time_s))
    if nearest.pts_s == time_s:
        return nearest
    if images:
        return None
    if after in {0, len(known)}:
        return replace(nearest, pts_s=time_s) if abs(nearest.pts_s - time_s) <= BEYOND_S else None
    a, b = fixes[after - 1], fixes[after]
    return _between(a, b, time_s) if b.pts_s - a.pts_s <= LARGEST_GAP_S else None


def _between(a: Fix, b: Fix, time_s: float) -> Fix:
    share = (time_s - a.pts_s) / (b.pts_s - a.pts_s)
    east = (b.lon_deg - a.lon_deg + 180) % 360 - 180  # the short way, across the date line too
    lon = (a.lon_deg + share * east + 180) % 360 - 180
    high = None if a.alt_m is None or b.alt_m is None else a.alt_m + share * (b.alt_m - a.alt_m)
    told = [fix.accuracy_m for fix in (a, b) if fix.accuracy_m is not None]
    return Fix(
        pts_s=time_s,
        lat_deg=a.lat_deg + share * (b.lat_deg - a.lat_deg),
        lon_deg=lon,
        alt_m=high,
        accuracy_m=max(told, default=None),
    )
