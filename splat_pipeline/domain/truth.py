"""Which known pose belongs to which keyframe: by time, or by the name of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadPoses
from splat_pipeline.domain.given_colmap import images_at

Float = NDArray[np.float64]

LEAST_MATCHED = 3
NEAR_S = 0.02
"""The TUM benchmark's own bound for a pose that belongs to a picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """N known poses; ``times_s`` or ``names`` says of what."""

    cam_from_world: Float
    """(N, 4, 4)."""
    times_s: Float | None = None
    """(N,) since the start of the clip."""
    names: Sequence[str] | None = None
    """(N,) images."""


def matched(truth: Truth, times_s: Float, images: Sequence[str | None], *, file: str) -> tuple[list[int], list[int]]:
    """Return positions of the M keyframes whose pose is known, in order, and of these poses in ``truth``.

    ``times_s`` (K,), ``images`` (K,) names in the upload, None for a frame of a clip. Raises ``BadPoses`` where fewer
    than ``LEAST_MATCHED`` are known.
    """
    found = _by_time(truth.times_s, times_s) if truth.times_s is not None else _by_name(truth.names or [], images)
    if len(found) < LEAST_MATCHED:
        how = "times" if truth.times_s is not None else "image names"
        cause = f"{file} knows the poses of {len(found)} of {len(times_s)} keyframes by their {how}"
        raise BadPoses(cause, file=file, remedy="Give a truth of the same clip (times in s) or of the same images.")
    rows = sorted(found)
    return rows, [found[row] for row in rows]


def _by_time(known_s: Float, times_s: Float) -> Mapping[int, int]:
    nearest = np.abs(known_s[None, :] - times_s[:, None]).argmin(axis=1)
    return {row: int(at) for row, at in enumerate(nearest) if abs(known_s[at] - times_s[row]) <= NEAR_S}


def _by_name(names: Sequence[str], images: Sequence[str | None]) -> Mapping[int, int]:
    rows = {image: row for row, image in enumerate(images) if image is not None}
    prefix = images_at(names, dict.fromkeys(rows, 1))
    if prefix is not None:
        return {rows[f"{prefix}{name}"]: at for at, name in enumerate(names) if f"{prefix}{name}" in rows}
    mine, theirs = _by_file(rows), _by_file({name: at for at, name in enumerate(names)})
    return {row: theirs[name] for name, row in mine.items() if name in theirs}


def _by_file(places: Mapping[str, int]) -> Mapping[str, int]:
    """Return ``places`` by the files' names without their folders; empty where these are not unique."""
    by_file = {PurePosixPath(name).name: at for name, at in places.items()}
    return by_file if len(by_file) == len(places) else {}
