"""Which keyframes were taken by one camera, so that they share intrinsics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splat_pipeline.domain.rig import KnownCameras
from splat_pipeline.domain.uploads import VideoFacts


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A usable row of ``videos``: where it lies now, and what it is."""

    video_id: str
    name: str
    path: Path
    facts: VideoFacts


def taken_through(clips: Iterable[Clip]) -> dict[tuple[str, int], int]:
    """Return a number for the lens of each photo that tells it, by video_id and frame_index."""
    ids: dict[str, int] = {}
    return {
        (clip.video_id, index): ids.setdefault(clip.facts.image_lenses[name], len(ids))
        for clip in clips
        for index, name in enumerate(clip.facts.images)
        if name in clip.facts.image_lenses
    }


def devices_of(clips: Iterable[Clip], known: KnownCameras | None) -> dict[str, str]:
    """Return by video_id what each clip was filmed with, equal for clips whose make, model, turn and zoom agree.

    A clip that does not tell its make and model is a device of its own, and so is each where a calibration names clips.
    """
    clips = list(clips)
    if known is not None:
        return {clip.video_id: clip.video_id for clip in clips}
    told = {
        clip.video_id: (clip.facts.make, clip.facts.model, clip.facts.rotation_deg, clip.facts.focal_35mm_mm)
        for clip in clips
    }
    return {name: repr(facts) if facts[0] and facts[1] else name for name, facts in told.items()}


def number_cameras(
    rows: Sequence[dict[str, Any]], lenses: Mapping[tuple[str, int], int], devices: Mapping[str, str]
) -> None:
    """Give keyframes of one device and one size one ``camera_id``, counted from 0 in order.

    ``lenses``: by video_id and frame_index, where poses came with the images, or EXIF tells; another lens is another
    camera.
    """
    ids: dict[tuple[str, int, int, int | None], int] = {}
    for row in rows:
        lens = lenses.get((row["video_id"], row["frame_index"]))
        key = devices[row["video_id"]], row["width_px"], row["height_px"], lens
        row["camera_id"] = ids.setdefault(key, len(ids))
