"""Keypoints of a reconstruction that has features of its own, numbered as the job's features are.

Windows are laid against each other, and tied by verified matches, by the numbers of their keypoints. An attempt that
looks for more features numbers them anew: what lies where one of the job's features does gets its number, and what does
not comes after all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from splat_pipeline.domain.formats.colmap import NO_POINT, ColmapImage, ColmapModel

SAME_PX = 1.0
"""Two keypoints of one image that lie so near are the same."""
Float = NDArray[np.float64]
Index = NDArray[np.int64]


def numbered_as(model: ColmapModel, features: Mapping[str, Float]) -> ColmapModel:
    """Return ``model`` with its keypoints numbered as those of ``features``, (K, 2) px by the image's name.

    Nothing is lost; keypoints that only the features have see no point. Images without features stay as they are.
    """
    numbers = {
        i: _numbers(image.xys, features[image.name]) for i, image in model.images.items() if image.name in features
    }
    images = {
        i: _renumbered(image, numbers[i], features[image.name]) if i in numbers else image
        for i, image in model.images.items()
    }
    points, keypoints = model.points, model.points.track_keypoints.copy()
    for i, new in numbers.items():
        mine = points.track_images == i
        keypoints[mine] = new[keypoints[mine]]
    return ColmapModel(cameras=model.cameras, images=images, points=replace(points, track_keypoints=keypoints))


def same_keypoints(one: Float, other: Float) -> Index:
    """Return the numbers that mean the same place in two images' keypoints, (K, 2) and (L, 2) px."""
    count = min(len(one), len(other))
    apart = np.linalg.norm(one[:count] - other[:count], axis=1)
    return np.flatnonzero(apart <= SAME_PX).astype(np.int64)


def _numbers(own: Float, known: Float) -> Index:
    """Return (R,) the new number of each of (R, 2) keypoints, where (K, 2) are known: the nearest gets a known one."""
    numbers = np.full(len(own), -1, np.int64)
    if len(own) and len(known):
        apart, nearest = cKDTree(known).query(own, distance_upper_bound=SAME_PX)
        order = np.argsort(apart, kind="stable")
        order = order[np.isfinite(apart[order])]
        _, first = np.unique(nearest[order], return_index=True)
        taken = order[first]
        numbers[taken] = nearest[taken]
    new = numbers < 0
    numbers[new] = len(known) + np.arange(int(new.sum()))
    return numbers


def _renumbered(image: ColmapImage, numbers: Index, known: Float) -> ColmapImage:
    count = max(len(known), int(numbers.max(initial=-1)) + 1)
    xys, ids = np.zeros((count, 2)), np.full(count, NO_POINT, np.int64)
    xys[: len(known)] = known
    xys[numbers], ids[numbers] = image.xys, image.point3d_ids
    return replace(image, xys=xys, point3d_ids=ids)
