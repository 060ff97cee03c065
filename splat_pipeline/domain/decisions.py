"""Why every analysed frame was kept or not, in words that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.keyframes import Keyframe
from splat_pipeline.domain.places import places_of

STANDS = 0.002
"""Steps of this share of the longer side are none."""

FIRST, BEST, PHOTO = "first of its segment", "best of its stretch", "photo"
BRIDGE = "bridge: poor, but overlap would break without it"
STANDS_STILL, NEAR, WORSE, OVER = "stands still", "near a kept one", "worse than one near it", "over the budget"
NO_POSE = "no pose came with it"


def decisions(
    frames: pd.DataFrame,
    kept: Sequence[Keyframe],
    *,
    longer_side_px: Mapping[str, float],
    image_sets: Sequence[str] = (),
    posed: set[tuple[str, int]] | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of ``tables.DECISIONS``, one for each of ``frames`` (rows of ``tables.FRAMES``), in their order.

    ``posed``: (video_id, frame_index) of the frames that could be chosen, where poses came with the upload.
    """
    chosen = {(k.video_id, k.frame_index): k for k in kept}
    rows: list[dict[str, Any]] = []
    for segment_id, part in frames.groupby("segment_id", sort=False):
        video_id = str(part["video_id"].iloc[0])
        names = [(video_id, int(index)) for index in part["frame_index"]]
        flags = np.array([name in chosen for name in names], bool)
        places = places_of(part, longer_side_px[video_id])
        because = _of_photos(part, flags) if video_id in image_sets else _of_frames(part, flags, places)
        for name, pts_s, place, why in zip(names, part["pts_s"], places, because, strict=True):
            unposed = posed is not None and name not in posed
            rows.append(
                {
                    "video_id": video_id,
                    "frame_index": name[1],
                    "pts_s": float(pts_s),
                    "segment_id": str(segment_id),
                    "place": float(place),
                    "kept": name in chosen,
                    "bridge": name in chosen and chosen[name].bridge,
                    "because": NO_POSE if unposed else why,
                }
            )
    return rows


def _of_photos(part: pd.DataFrame, flags: NDArray[np.bool_]) -> list[str]:
    return [PHOTO if kept else poor or OVER for kept, poor in zip(flags, _reasons(part), strict=True)]


def _of_frames(part: pd.DataFrame, flags: NDArray[np.bool_], places: NDArray[np.float64]) -> list[str]:
    kept = np.flatnonzero(flags)
    poor, quality = _reasons(part), part["quality"].to_numpy(float)
    steps = np.diff(places, prepend=places[:1] - 1.0)
    because: list[str] = []
    for i in range(len(part)):
        if flags[i]:
            because.append(BRIDGE if poor[i] else FIRST if i == kept[0] else BEST)
        elif poor[i]:
            because.append(str(poor[i]))
        elif not len(kept):
            because.append(OVER)
        elif steps[i] < STANDS:
            because.append(STANDS_STILL)
        else:
            nearest = kept[np.argmin(np.abs(places[kept] - places[i]))]
            because.append(WORSE if quality[i] < quality[nearest] else NEAR)
    return because


def _reasons(part: pd.DataFrame) -> list[str | None]:
    return [None if pd.isna(reason) else str(reason) for reason in part["reject_reason"]]
