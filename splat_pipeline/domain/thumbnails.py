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

    def captioned(self, frames: Sequence[Mapping[str, Any]]) -> tuple[list[Picture], list[str]]:
        """Return at most ``most`` pictures and their captions, from the rows of ``tables.FRAMES`` that they are of."""
        rows = {(row["video_id"], row["frame_index"]): row for row in frames}
        kept = [(rows[clip, index], picture) for clip, index, picture in self._kept if (clip, index) in rows]
        spread = np.linspace(0, len(kept) - 1, min(self._most, len(kept))).round().astype(int)
        chosen = [kept[i] for i in spread]
        return [picture for _, picture in chosen], [_caption(row) for row, _ in chosen]


def _caption(row: Mapping[str, Any]) -> str:
    return f"{row['pts_s']:.1f} s  {row['video_id'][:14]}\n{row['reject_reason'] or 'good'}"
