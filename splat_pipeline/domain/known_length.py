"""A length that somebody measured: how far two cameras were apart, or how long the whole camera path is.

A camera is named ``CLIP@SECONDS`` or by the name of a photo: the name in the upload, or its end after the last /.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.recipe import ScaleRecipe

Float = NDArray[np.float64]

LARGEST_GAP_S = 2.0
"""Between keyframes that a camera is known in between; a quarter of it before the first and after the last one."""
LEAST_SHARE = 0.05
"""Of the extent of the camera path: a shorter way is known too roughly to measure the rest by it."""


@dataclass(frozen=True, kw_only=True)
class Footage:
    """A clip or a set of images, as far as its cameras can be named."""

    video_id: str
    name: str
    """In the upload; of a set: its folder."""
    duration_s: float | None
    images: Sequence[str]
    """Of a set, in order; empty for a clip."""


def footage_of(videos: pd.DataFrame, images: Mapping[str, Sequence[str]]) -> list[Footage]:
    """Return the usable clips and sets of rows of ``tables.VIDEOS``. ``images``: by video_id, those of the sets."""
    return [
        Footage(
            video_id=str(row["video_id"]),
            name=str(row["name"]),
            duration_s=None if pd.isna(row["duration_s"]) else float(row["duration_s"]),
            images=tuple(images.get(str(row["video_id"]), ())),
        )
        for row in videos[videos["usable"].astype(bool)].to_dict("records")
    ]


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One camera: a clip and a presentation time, or a set and the position of an image in it."""

    text: str
    video_id: str
    pts_s: float
    is_image: bool


@dataclass(frozen=True, kw_only=True)
class KnownLength:
    """What the length says of the scale."""

    metres: float
    units: float | None
    """The same length in the reconstruction; None: not found there."""
    because: str

    @property
    def metres_per_unit(self) -> float | None:
        """Return the scale, None where the length was not found."""
        return None if self.units is None else self.metres / self.units


def spots_of(scale: ScaleRecipe, footage: Sequence[Footage], *, file: str) -> tuple[Spot, Spot] | None:
    """Return the two cameras that are named; None where none are. Raises ``BadJobFile`` naming what is not there."""
    if scale.between is None:
        return None
    first, second = (_spot(text, footage, file=file) for text in scale.between)
    if (first.video_id, first.pts_s) == (second.video_id, second.pts_s):
        raise BadJobFile(f"{file}: scale.between names one camera twice: {first.text!r}, {second.text!r}", file=file)
    return first, second


def _spot(text: str, footage: Sequence[Footage], *, file: str) -> Spot:
    for source in footage:
        for number, image in enumerate(source.images):
            if text in {image, f"{source.name}/{image}"}:
                return Spot(text=text, video_id=source.video_id, pts_s=float(number), is_image=True)
    name, at, seconds = text.rpartition("@")
    clips = [
        source for source in footage if not source.images and name in {source.name, source.name.rsplit("/", 1)[-1]}
    ]
    if not at or len(clips) != 1:
        known = ", ".join(source.images[0] if source.images else f"{source.name}@0" for source in footage[:3])
        problem = "stands for several clips" if len(clips) > 1 else "is no photo and no CLIP@SECONDS of the upload"
        raise BadJobFile(f"{file}: scale.between: {text!r} {problem} (such as {known})", file=file)
    try:
        pts_s = float(seconds)
    except ValueError:
        pts_s = math.nan
    end_s = clips[0].duration_s
    if not 0 <= pts_s < math.inf or (end_s is not None and pts_s > end_s):
        until = "" if end_s is None else f", the clip has {end_s:.1f}"
        raise BadJobFile(f"{file}: scale.between: {text!r} must end in seconds from 0 on{until}", file=file)
    return Spot(text=text, video_id=clips[0].video_id, pts_s=pts_s, is_image=False)


def known_length(metres: float, spots: tuple[Spot, Spot] | None, cameras: pd.DataFrame, centers: Float) -> KnownLength:
    """Return what a known length is in the reconstruction.

    ``cameras``: registered keyframes with ``video_id`` and ``pts_s``; ``centers`` (I, 3) theirs, in the same order. The
    length of the path is summed up within each clip.
    """
    in_time = cameras.reset_index(drop=True).sort_values("pts_s")
    paths = {
        str(video_id): (rows["pts_s"].to_numpy(np.float64), centers[rows.index])
        for video_id, rows in in_time.groupby("video_id")
    }
    if spots is None:
        units = float(sum(np.linalg.norm(np.diff(at, axis=0), axis=1).sum() for _, at in paths.values()))
        words = "the whole camera path"
    else:
        first, second = (_center(spot, paths) for spot in spots)
        if first is None or second is None:
            missing = spots[0 if first is None else 1].text
            return KnownLength(metres=metres, units=None, because=f"no camera is known at {missing}")
        words = f"from {spots[0].text} to {spots[1].text}"
        units = float(np.linalg.norm(first - second))
    extent = float(np.linalg.norm(np.ptp(centers, axis=0)))
    if units <= LEAST_SHARE * extent:
        return KnownLength(metres=metres, units=None, because=f"{words}: too short against the whole path")
    return KnownLength(metres=metres, units=units, because=words)


def _center(spot: Spot, paths: Mapping[str, tuple[Float, Float]]) -> Float | None:
    """Return where a camera was (3,): between its neighbours in time; None where they are too far."""
    times, centers = paths.get(spot.video_id, (np.zeros(0), np.zeros((0, 3))))
    if not len(times):
        return None
    nearest = int(np.argmin(np.abs(times - spot.pts_s)))
    after = int(np.searchsorted(times, spot.pts_s))
    if times[nearest] == spot.pts_s:
        exact: Float = centers[nearest]
        return exact
    if spot.is_image:
        return None
    if after in {0, len(times)}:
        return centers[nearest] if abs(times[nearest] - spot.pts_s) <= LARGEST_GAP_S / 4 else None
    if times[after] - times[after - 1] > LARGEST_GAP_S:
        return None
    share = (spot.pts_s - times[after - 1]) / (times[after] - times[after - 1])
    between: Float = (1 - share) * centers[after - 1] + share * centers[after]
    return between
