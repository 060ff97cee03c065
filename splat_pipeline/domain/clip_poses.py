"""Poses of frames of clips. A frame is named ``CLIP#t=SECONDS``, such as ``walk.mp4#t=1.5``.

That is the temporal dimension of W3C Media Fragments 1.0 (w3.org/TR/media-frags), normal play time in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from splat_pipeline.domain.errors import BadPoses
from splat_pipeline.domain.given import GivenPoses, given_row

UNKNOWN = -1
"""``frame_index`` of a pose whose frame is known by its time."""
TOLERANCE_S = 0.005
"""Between a pose's time and its frame's: enough for milliseconds, less than a frame at 100 a second."""
HOW = (
    "Name frames of a clip CLIP#t=SECONDS, such as walk.mp4#t=1.5, or upload their images too; or take the named file "
    "out of the upload: the cameras are found without it."
)
_FRAGMENT = re.compile(r"(.+)#t=(\d{1,7}(?:\.\d{1,9})?)")


class ClipFrames(Collection[str]):
    """All names that frames of some clips can have."""

    def __init__(self, clips: Collection[str]) -> None:
        self.clips = frozenset(clips)

    def __contains__(self, name: object) -> bool:
        found = _FRAGMENT.fullmatch(name) if isinstance(name, str) else None
        return found is not None and found[1] in self.clips

    def __iter__(self) -> Iterator[str]:
        """Iterate over the clips: their frames are not counted."""
        return iter(sorted(self.clips))

    def __len__(self) -> int:
        return len(self.clips)


def clip_rows(given: GivenPoses, clips: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return rows of ``tables.GIVEN`` of frames of ``clips`` (names by video_id)."""
    ids = {name: video_id for video_id, name in clips.items()}
    rows = []
    for frame in given.frames:
        found = _FRAGMENT.fullmatch(frame.name)
        if found is not None and found[1] in ids:
            rows.append(given_row(frame, ids[found[1]], UNKNOWN) | {"pts_s": float(found[2])})
    return rows


def at_frames(rows: pd.DataFrame, frames: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` of ``tables.GIVEN`` with the frames that lie at their times, without those where none does.

    ``frames``: rows of ``tables.FRAMES`` or ``tables.KEYFRAMES``. Raises ``BadPoses`` where no time is that of a frame.
    """
    timed = rows["frame_index"] == UNKNOWN
    if not timed.any():
        return rows
    out = rows.astype({"frame_index": "int64"})
    for video_id, mine in rows[timed].groupby("video_id"):
        some = frames[frames["video_id"] == video_id].sort_values("pts_s")
        times, indices = some["pts_s"].to_numpy(float), some["frame_index"].to_numpy(int)
        if not len(times):
            continue
        wanted = mine["pts_s"].to_numpy(float)
        gaps = np.abs(np.subtract.outer(wanted, times))
        near = gaps.argmin(axis=1)
        out.loc[mine.index, "frame_index"] = np.where(gaps.min(axis=1) <= TOLERANCE_S, indices[near], UNKNOWN)
    out = out[out["frame_index"] != UNKNOWN].drop_duplicates(["video_id", "frame_index"]).reset_index(drop=True)
    if out.empty:
        cause = f"none of {int(timed.sum())} poses is at the time of a frame that was looked at, within {TOLERANCE_S} s"
        remedy = "Raise frames.analysis_fps to the clip's own rate, or take the file with the poses out of the upload."
        raise BadPoses(cause, remedy=remedy)
    return out
