"""Frames that hardly anything ties to their model. In the worker's child process only.

The global mapper keeps them, wherever they end up. One at the end of the world makes all poses uncertain; a few that
are well tied to each other, and to the rest by two points, have a place and a scale of their own.
"""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from itertools import chain

import numpy as np
import pycolmap as pc
from numpy.typing import NDArray
from scipy import sparse

from resources.colmap_database import say

LEAST_SEEN = 12
"""Points by which frames must be tied to a model. A pose takes three; what has four of its thousands is anywhere."""


def drop_strays(model: pc.Reconstruction) -> list[int]:
    """Take out of a model all frames but the largest group that points tie together; return the ids of their images."""
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    frames = {frame_id: row for row, frame_id in enumerate(sorted(model.reg_frame_ids()))}
    groups = groups_of(_seen(model, {image.image_id: frames[image.frame_id] for image in images}, len(frames)))
    sizes = np.bincount(groups)
    largest = sizes.argmax() if sizes.max() > 1 else None
    strays = {frame_id for frame_id, row in frames.items() if groups[row] != largest}
    dropped = sorted(image.image_id for image in images if image.frame_id in strays)
    for frame_id in sorted(strays):
        model.deregister_frame(frame_id)
    if dropped:
        say(f"{len(dropped)} images are tied to the model by fewer than {LEAST_SEEN} points: left out")
    return dropped


def groups_of(seen: sparse.csr_matrix) -> NDArray[np.int32]:
    """Return (F,) the number of each frame's group. ``seen`` (F, P): which points each of F frames sees, 0 or 1.

    Groups that see ``LEAST_SEEN`` of the same points are one; to begin with each frame is a group.
    """
    group: NDArray[np.int32] = np.arange(seen.shape[0], dtype=np.int32)
    while True:
        count, joined = sparse.csgraph.connected_components((seen @ seen.T) >= LEAST_SEEN, directed=False)
        group = joined[group].astype(np.int32)
        if count == seen.shape[0]:
            return group
        members = sparse.csr_matrix((np.ones(len(joined), np.int32), (joined, np.arange(len(joined)))))
        seen = (members @ seen).minimum(1)


def _seen(model: pc.Reconstruction, at: dict[int, int], frames: int) -> sparse.csr_matrix:
    """Return (frames, P) which frames see which points; ``at``: the row of each image."""
    tracks = [[at[each.image_id] for each in point.track.elements] for point in model.points3D.values()]
    rows = np.fromiter(chain.from_iterable(tracks), np.int64)
    columns = np.repeat(np.arange(len(tracks)), [len(track) for track in tracks])
    shape = (frames, len(tracks))
    return sparse.csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape=shape).minimum(1)
