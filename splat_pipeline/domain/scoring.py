"""From measures to rows of ``tables.FRAMES`` and ``tables.SEGMENTS``: relative sharpness, repeats, cuts, quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.frames import FrameMeasure

NEIGHBOURS_S, NEIGHBOURS = 1.0, 5
"""Sharpness is compared with frames so near in time, and with so many on either side at least."""
BLURRED_REL = 0.5
SHARP_ENOUGH = 1.6
"""Of relative sharpness: more is of no use to whoever chooses."""
REPEAT_BELOW = 0.3
"""Mean luma difference, of 255, of a frame that repeats the one before."""
FREEZE_S = 1.0
LOST_BELOW = 0.08
CUT_ABOVE = 20.0
"""Mean luma difference of a hard cut; hand-held motion stays below unless corners are tracked through it."""
REFUSED = "clip: "
"""Before the class of the error, as the reject_reason of every frame of a refused clip."""
EXPOSURE_STEP = 30.0
"""Change of mean luma between frames so near in time that is a jump of the exposure (or a light that was switched)."""
SAME_BITS = 10
"""Of the 64 of a perceptual hash, that may differ between two pictures of the same in another light."""
SAME_PHOTO_BITS = 2
"""That may differ between two files of one photo: by size and coding."""
CLOSE_S = 0.25
"""Only frames so near in time tell of cuts: two or three frames a second lose their tracks by motion alone."""


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """Rows of one clip, in order of time."""

    frames: list[dict[str, Any]]
    segments: list[dict[str, Any]]


def score_clip(
    video_id: str, measures: Sequence[FrameMeasure], *, first_segment: int, images: bool = False
) -> ClipScore:
    """Return the rows of one clip. Segments are numbered over the job from ``first_segment``, so that names sort."""
    relative = sharpness_rel(measures, images=images)
    repeats = same_photos(measures) if images else duplicates(measures)
    starts = {0: ""} if images else breaks(measures, repeats)
    quality = qualities(measures, relative)
    frames: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    for i, measure in enumerate(measures):
        if i in starts:
            if segments:
                segments[-1]["ended_by"] = starts[i]
            segment_id = f"{first_segment + len(segments):04d}-{video_id}"
            segments.append(_segment(segment_id, video_id, measure.pts_s))
        segments[-1]["stop_s"] = measure.pts_s
        segments[-1]["frames"] += 1
        frames.append(
            _columns(measure)
            | {
                "video_id": video_id,
                "segment_id": segments[-1]["segment_id"],
                "sharpness_rel": float(relative[i]),
                "duplicate_of": repeats[i],
                "quality": float(quality[i]),
                "reject_reason": _reject_reason(measure, float(relative[i]), repeats[i], images=images),
            }
        )
    return ClipScore(frames=frames, segments=segments)


def refused(score: ClipScore, reason: str) -> ClipScore:
    """Return the rows of a clip that was refused as a whole: no frame of it may be kept."""
    frames = [row | {"reject_reason": f"{REFUSED}{reason}"} for row in score.frames]
    return ClipScore(frames=frames, segments=score.segments)


def _segment(segment_id: str, video_id: str, start_s: float) -> dict[str, Any]:
    return {
        "segment_id": segment_id, "video_id": video_id, "start_s": start_s, "stop_s": start_s, "frames": 0,
        "ended_by": "end",
    }  # fmt: skip


def _columns(measure: FrameMeasure) -> dict[str, Any]:
    inner = {"difference", "thumbnail"}
    return {key: value for key, value in vars(measure).items() if key not in inner}


def sharpness_rel(measures: Sequence[FrameMeasure], *, images: bool = False) -> NDArray[np.float64]:
    """Return each frame's sharpness over the median of its neighbours in time (images: in order)."""
    sharpness = np.array([m.sharpness for m in measures], float)
    times = np.array([m.pts_s for m in measures], float)
    reach_s = 0.0 if images else NEIGHBOURS_S
    first = np.minimum(np.searchsorted(times, times - reach_s), np.arange(len(times)) - NEIGHBOURS)
    stop = np.maximum(np.searchsorted(times, times + reach_s, side="right"), np.arange(len(times)) + NEIGHBOURS + 1)
    usual = [np.median(sharpness[max(0, a) : b]) for a, b in zip(first, stop, strict=True)]
    relative: NDArray[np.float64] = sharpness / np.maximum(usual, 1e-6)
    return relative


def duplicates(measures: Sequence[FrameMeasure]) -> list[int | None]:
    """Return for each frame the frame_index of the first of the run of equal frames that it continues, or None."""
    out: list[int | None] = []
    for i, measure in enumerate(measures):
        if measure.difference is None or measure.difference >= REPEAT_BELOW:
            out.append(None)
        else:
            out.append(out[-1] if out[-1] is not None else measures[i - 1].frame_index)
    return out


def same_photos(measures: Sequence[FrameMeasure]) -> list[int | None]:
    """Return for each image the frame_index of an earlier one that looks the same (in any size or coding), or None."""
    seen: dict[int, FrameMeasure] = {}
    out: list[int | None] = []
    for measure in measures:
        if measure.phash is None:
            out.append(None)
            continue
        found = next((index for index, other in seen.items() if _same_photo(measure, other)), None)
        out.append(found)
        if found is None:
            seen[measure.frame_index] = measure
    return out


def _same_photo(one: FrameMeasure, other: FrameMeasure) -> bool:
    alike = abs(one.luma_mean - other.luma_mean) < 1.0 and abs(one.contrast - other.contrast) < 1.0
    return alike and bits_apart(one.phash, other.phash) <= SAME_PHOTO_BITS


def bits_apart(one: str | None, other: str | None) -> int:
    """Return in how many of their 64 bits two perceptual hashes differ; 64 where one is missing."""
    return 64 if one is None or other is None else (int(one, 16) ^ int(other, 16)).bit_count()


def breaks(measures: Sequence[FrameMeasure], repeats: Sequence[int | None]) -> dict[int, str]:
    """Return where segments start: index to what ended the segment before ("" for the first)."""
    out = {0: ""} if measures else {}
    frozen_since: float | None = None
    for i in range(1, len(measures)):
        now, before = measures[i], measures[i - 1]
        if repeats[i] is not None:
            frozen_since = before.pts_s if frozen_since is None else frozen_since
            continue
        if frozen_since is not None and before.pts_s - frozen_since >= FREEZE_S:
            out[i] = "freeze"
        elif now.pts_s - before.pts_s <= CLOSE_S and _lost(now, before):
            out[i] = _kind_of_loss(now, before)
        elif now.pts_s - before.pts_s <= CLOSE_S and abs(now.luma_mean - before.luma_mean) >= EXPOSURE_STEP:
            out[i] = "exposure"
        frozen_since = None
    return out


def _kind_of_loss(now: FrameMeasure, before: FrameMeasure) -> str:
    if bits_apart(now.phash, before.phash) <= SAME_BITS and abs(now.luma_mean - before.luma_mean) >= EXPOSURE_STEP:
        return "exposure"
    return "cut" if (now.difference or 0.0) >= CUT_ABOVE else "lost_overlap"


def _lost(now: FrameMeasure, before: FrameMeasure) -> bool:
    if now.tracked_share is not None:
        return now.tracked_share < LOST_BELOW
    return min(now.texture, before.texture) == 0.0 < max(now.texture, before.texture)  # into or out of black


def qualities(measures: Sequence[FrameMeasure], relative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) 0 to 1: relative sharpness, as far as it is of use, times the share of pixels not clipped.

    No ranks: in a clip that is sharp throughout they would make much of differences that are none.
    """
    exposed = np.array([max(0.05, 1.0 - m.clipped_low - m.clipped_high) for m in measures])
    quality: NDArray[np.float64] = np.minimum(relative / SHARP_ENOUGH, 1.0) * exposed
    return quality


def _reject_reason(measure: FrameMeasure, relative: float, repeat: int | None, *, images: bool) -> str | None:
    if measure.contrast < 2.0 or measure.texture == 0.0:
        return "bare"
    if measure.clipped_low + measure.clipped_high > 0.7:
        return "badly exposed"
    if repeat is not None:
        return "duplicate"
    if relative < BLURRED_REL and not images:  # photos are not neighbours in time: another subject, another sharpness
        return "blurred"
    return None
