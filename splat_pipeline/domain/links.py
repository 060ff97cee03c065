"""Linking frames: what is decoded besides the keyframes, only where neighbouring ones lost one another.

A clip is sampled by the motion that was measured in it. Where blur hides the motion, or a pan outruns it, neighbours
share too little to be matched and the reconstruction breaks. The frames between them tie the two ends together. They
take part in the reconstruction and in nothing else: nothing is trained on them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from splat_pipeline.domain.formats.colmap import ColmapModel
from splat_pipeline.domain.given import without
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.windows import Window

TIED_INLIERS = 100
"""Matches of neighbours. COLMAP registers an image by 30, but of points: in a turn few matches become any."""
BRIDGED_INLIERS = 30
"""Of every pair on the way from one side of a break to the other."""
MOST_A_BREAK, LEAST_A_BREAK = 12, 3
MOST = 240
"""Linking frames of a job: extracting and matching one takes about a second."""
COLUMNS = ["keyframe_id", "video_id", "pts_s", "file", "width_px", "height_px", "camera_id"]


@dataclass(frozen=True, kw_only=True)
class Break:
    """Two keyframes of one clip, one after the other, that are not tied."""

    first: int
    """keyframe_id."""
    video_id: str
    start_s: float
    stop_s: float


def breaks(keyframes: pd.DataFrame, pairs: Iterable[MatchedPair]) -> list[Break]:
    """Return where neighbours of one clip in ``keyframes`` (``tables.KEYFRAMES``) are not tied, in order."""
    tied = {(pair.first, pair.second) for pair in pairs if pair.inliers >= TIED_INLIERS}
    rows = keyframes.sort_values("keyframe_id").to_dict("records")
    names = [str(row["file"]).split("/", maxsplit=1)[1] for row in rows]
    return [
        Break(first=int(a["keyframe_id"]), video_id=a["video_id"], start_s=a["pts_s"], stop_s=b["pts_s"])
        for a, b, ends in zip(rows, rows[1:], pairwise(names), strict=False)
        if a["video_id"] == b["video_id"] and ends not in tied
    ]


def linking_rows(frames: pd.DataFrame, broken: Sequence[Break]) -> list[tuple[Break, int]]:
    """Return positions in ``frames`` (``tables.FRAMES``) of the frames that may tie each break, in order.

    Of each stretch of a break, all of them as long, the sharpest frame that repeats no other.
    """
    most = max(LEAST_A_BREAK, min(MOST_A_BREAK, MOST // max(1, len(broken))))
    fresh = frames["duplicate_of"].isna().to_numpy()
    clip, times, sharp = (frames[name].to_numpy() for name in ("video_id", "pts_s", "sharpness"))
    chosen: list[tuple[Break, int]] = []
    for each in broken[: MOST // LEAST_A_BREAK]:
        inside = np.flatnonzero(fresh & (clip == each.video_id) & (times > each.start_s) & (times < each.stop_s))
        parts = np.array_split(inside, min(most, len(inside))) if len(inside) else []
        chosen += [(each, int(part[np.argmax(sharp[part])])) for part in parts]
    return chosen


def woven(keyframes: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Return ``COLUMNS`` and ``link`` of keyframes and linking frames, in order of clip and time.

    A linking frame has the keyframe_id of the keyframe before it.
    """
    both = pd.concat([keyframes[COLUMNS].assign(link=False), links[COLUMNS].assign(link=True)], ignore_index=True)
    return both.astype({"link": bool}).sort_values(["keyframe_id", "link", "pts_s"], ignore_index=True)


def of_window(frames: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Return the rows of ``woven`` frames that a window holds: linking frames only between two of its keyframes."""
    inside = window.of(frames)
    return inside[~(inside["link"] & (inside["keyframe_id"] == window.stop - 1))]


def bridged(
    broken: Sequence[Break], names: Sequence[str], ids: Sequence[int], pairs: Iterable[MatchedPair]
) -> list[Break]:
    """Return the breaks whose two keyframes ``pairs`` tie together somehow. ``names``, ``ids``: of all keyframes."""
    row_of = {name: i for i, name in enumerate(names)}
    ties = [pair for pair in pairs if pair.inliers >= BRIDGED_INLIERS]
    for name in (name for pair in ties for name in (pair.first, pair.second)):
        row_of.setdefault(name, len(row_of))
    first, second = ([row_of[getattr(pair, end)] for pair in ties] for end in ("first", "second"))
    graph = coo_array((np.ones(len(ties)), (first, second)), shape=(len(row_of), len(row_of)))
    _, group = connected_components(graph, directed=False)
    at = {keyframe_id: i for i, keyframe_id in enumerate(ids)}
    return [each for each in broken if group[at[each.first]] == group[at[each.first] + 1]]


def around(frames: pd.DataFrame, reach: int) -> pd.DataFrame:
    """Return the linking frames among ``woven`` ones, and the keyframes up to ``reach`` before and after each."""
    ids = frames["keyframe_id"].to_numpy()
    near = {k for first in set(ids[frames["link"]]) for k in range(first - reach + 1, first + reach + 1)}
    return frames[frames["link"] | frames["keyframe_id"].isin(near)]


def only(model: ColmapModel, names: Collection[str]) -> ColmapModel:
    """Return the model without the images that are not called by one of ``names``."""
    return without(model, {image.name for image in model.images.values()} - set(names))
