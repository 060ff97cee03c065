"""Which seconds of which clip a reconstruction is missing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Keyframes in a row, of one clip, without a pose."""

    video_id: str
    first_s: float
    last_s: float
    keyframes: int

    def __str__(self) -> str:
        """Name clip and seconds; for a set of images, where time means nothing, see ``keyframes``."""
        return f"{self.video_id} {self.first_s:.1f}-{self.last_s:.1f} s ({self.keyframes} keyframes)"


def gaps(keyframes: pd.DataFrame, registered: Collection[int]) -> list[Gap]:
    """Return the stretches of ``tables.KEYFRAMES`` rows whose keyframe_id is not ``registered``, in order."""
    found = []
    for video_id, clip in keyframes.sort_values("keyframe_id").groupby("video_id", sort=False):
        lost = ~clip["keyframe_id"].isin(list(registered))
        for _, part in clip[lost].groupby((~lost).cumsum()[lost]):
            times = part["pts_s"]
            found.append(
                Gap(
                    video_id=str(video_id),
                    first_s=float(times.min()),
                    last_s=float(times.max()),
                    keyframes=len(part),
                )
            )
    return found


def in_words(found: Collection[Gap], *, most: int = 5) -> str:
    """Say what is missing, the longest first; "" when nothing is."""
    ranked = sorted(found, key=lambda gap: -gap.keyframes)
    if not ranked:
        return ""
    more = f" and {len(ranked) - most} more" if len(ranked) > most else ""
    return "missing: " + ", ".join(str(gap) for gap in ranked[:most]) + more
