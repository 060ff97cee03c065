"""Where cameras were, as their receivers say: one fix a photo, or a track along a clip.

What was not known is None: a receiver without a fix writes 0/0, and no scene of ours lies in the Gulf of Guinea.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

NOWHERE_DEG = 1e-5
"""Both coordinates nearer to zero than this: no fix."""
LOWEST_M, HIGHEST_M = -500.0, 20_000.0
EXIF = "exif"
"""Source of the positions of photos, one for each."""
MOST_FIXES = 100_000
APART_S = 0.1
"""Receivers measure 1 to 18 times a second; a subtitle for each of 60 frames repeats them."""


@dataclass(frozen=True, kw_only=True)
class Fix:
    """One position, WGS84."""

    pts_s: float
    """Presentation time; images: their position in the set."""
    lat_deg: float
    lon_deg: float
    alt_m: float | None = None
    """Above the ellipsoid or the sea, as recorded."""
    accuracy_m: float | None = None
    """Horizontal error, as the receiver says."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """All fixes of one clip or image set, in order of time."""

    source: str
    """"exif", "srt", "gpmf" or "subtitles"."""
    fixes: tuple[Fix, ...]


def fix_or_none(
    pts_s: float, lat_deg: float | None, lon_deg: float | None, alt_m: float | None, accuracy_m: float | None = None
) -> Fix | None:
    """Return the fix; None where it is off the globe, not finite, or what receivers write without a fix."""
    if lat_deg is None or lon_deg is None or not all(map(math.isfinite, (pts_s, lat_deg, lon_deg))):
        return None
    if abs(lat_deg) > 90 or abs(lon_deg) > 180 or max(abs(lat_deg), abs(lon_deg)) < NOWHERE_DEG:
        return None
    high = alt_m if alt_m is not None and LOWEST_M <= alt_m <= HIGHEST_M else None
    sure = accuracy_m if accuracy_m is not None and math.isfinite(accuracy_m) and accuracy_m > 0 else None
    return Fix(pts_s=pts_s, lat_deg=lat_deg, lon_deg=lon_deg, alt_m=high, accuracy_m=sure)


def in_order(fixes: Iterable[Fix | None]) -> tuple[Fix, ...]:
    """Return the fixes there are, by time, at least ``APART_S`` apart, at most ``MOST_FIXES``."""
    out: list[Fix] = []
    for fix in sorted((fix for fix in fixes if fix is not None), key=lambda fix: fix.pts_s):
        if not out or fix.pts_s - out[-1].pts_s >= APART_S:
            out.append(fix)
        if len(out) == MOST_FIXES:
            break
    return tuple(out)
