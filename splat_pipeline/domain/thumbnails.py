"""A few pictures out of a stream of unknown length, evenly spread, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.frames import FrameMeasure

Picture = NDArray[np.uint8]


class Thumbnails:
    """Keeps every n-th thumbnail that passes; n doubles whenever twice as many as wanted are kept."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._every = 1
        self._seen = 0
        self._kept: list[tuple[str, int, Picture]] = []

    def strip(self, video_id: str, measures: Iterable[FrameMeasure]) -> Iterator[FrameMeasure]:
        """Yield the measures without their thumbnails."""
        for measure in measures:
            if measure.thumbnail is not None and self._seen % self._every == 0:
                self._kept.append((video_id, measure.frame_index, measure.thumbnail))
            self._seen += 1
            if len(self._kept) >= 2 * self._most:
                self._kept, self._every = self._kept[::2], self._every * 2
            yield replace(measure, thumbnail=None)

    def spread(self, frames: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Picture]]:
        """Return at most ``most`` of the rows of ``tables.FRAMES``, evenly spread, and the picture of each."""
        rows = {(row["video_id"], row["frame_index"]): row for row in frames}
        kept = [(rows[clip, index], picture) for clip, index, picture in self._kept if (clip, index) in rows]
        spread = np.linspace(0, len(kept) - 1, min(self._most, len(kept))).round().astype(int)
        return [kept[i] for i in spread]


def caption(row: Mapping[str, Any], words: str) -> str:
    """Return the two lines under a picture: when and of which clip, and ``words``."""
    return f"{row['pts_s']:.1f} s  {row['video_id'][:14]}\n{words}"


def thumbnail_name(row: Mapping[str, Any]) -> str:
    """Return the name of the file of a frame's picture, by ``video_id`` and ``frame_index``."""
    return f"{row['video_id']}-{row['frame_index']:06d}.jpg"
