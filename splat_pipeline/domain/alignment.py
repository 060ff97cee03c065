"""How windows of one job lie to one another, measured on what they both saw.

A window is a reconstruction in a frame and at a scale of its own. M points known in two of them fix the similarity
between the two, robustly, because either may be wrong here and there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.formats.colmap import ColmapModel
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.renumbering import same_keypoints
from splat_pipeline.domain.rigid import Similarity, fit_similarity
from splat_pipeline.domain.windows import Window

Float = NDArray[np.float64]
Index = NDArray[np.int64]

ANGLE_RAD = 0.02
"""Between the rays to one point by two windows: drift within a window is larger than the noise of a keypoint."""
DEPTH_RATIO = 0.25
"""Of a point by two windows, in log: far points are known in direction only."""
TRIALS, SCORED = 300, 1500
LEAST_SHARED = 20
"""Points that an edge needs. No share of inliers is asked for: a true loop was seen with 0.44."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A window and its model, whose images go by their paths."""

    window: Window
    model: ColmapModel
    positions: Mapping[str, int]
    """Of every image of the job, in order of clip and time."""

    @cached_property
    def ids(self) -> dict[int, int]:
        """COLMAP's image id by position, of registered images."""
        return {self.positions[image.name]: image_id for image_id, image in self.model.images.items()}

    @cached_property
    def poses(self) -> dict[int, Float]:
        """(4, 4) cam_from_window by position."""
        return {at: cam_from_world(self.model, image_id) for at, image_id in self.ids.items()}

    @cached_property
    def centers(self) -> Float:
        """(N, 3) camera centres."""
        return np.stack([-pose[:3, :3].T @ pose[:3, 3] for pose in self.poses.values()])

    @cached_property
    def window_from_unit(self) -> Similarity:
        """From a frame in which the cameras lie around the origin at a distance of 1.

        Of a camera that hardly moves the size is taken from what it sees.
        """
        middle = self.centers.mean(0)
        reach = float(np.sqrt(((self.centers - middle) ** 2).sum(1).mean()))
        depth = float(np.median(np.linalg.norm(self.model.points.xyz - middle, axis=1)))
        return Similarity(scale=max(reach, 0.1 * depth), rotation=np.eye(3), translation=middle)

    @cached_property
    def _rows(self) -> dict[int, Index]:
        """Row of ``points`` for each keypoint of an image, by position of the image; -1 where there is none."""
        row_of = {int(point): i for i, point in enumerate(self.model.points.ids)}
        images = self.model.images
        return {
            at: np.array([row_of.get(int(p), -1) for p in images[image_id].point3d_ids], np.int64)
            for at, image_id in self.ids.items()
        }

    def points_of(self, position: int, keypoints: Index) -> tuple[NDArray[np.bool_], Float]:
        """Return which of ``keypoints`` have a point, and the points (K, 3); zeros where there is none."""
        rows = self._rows[position][keypoints]
        return rows >= 0, np.where((rows >= 0)[:, None], self.model.points.xyz[rows], 0.0)

    def is_central(self, position: int) -> int:
        """Return how many images it is to the nearer end of the window: poses are best in its middle."""
        return min(position - self.window.first, self.window.stop - 1 - position)


@dataclass(kw_only=True, eq=False)
class Shared:
    """M points known in a first and in a second piece, from one frame each or from the same."""

    first: list[Float] = field(default_factory=list)
    second: list[Float] = field(default_factory=list)
    eye: list[Float] = field(default_factory=list)
    """Centre of the second piece's camera that sees the point."""

    def add(self, a: tuple[Piece, int, Index], b: tuple[Piece, int, Index]) -> int:
        """Add what keypoints of a frame of one piece and keypoints of one of the other are. Returns how many."""
        (piece_a, at_a, keys_a), (piece_b, at_b, keys_b) = a, b
        known_a, xyz_a = piece_a.points_of(at_a, keys_a)
        known_b, xyz_b = piece_b.points_of(at_b, keys_b)
        both = known_a & known_b
        pose = piece_b.poses[at_b]
        self.first.append(xyz_a[both])
        self.second.append(xyz_b[both])
        self.eye.append(np.tile(-pose[:3, :3].T @ pose[:3, 3], (int(both.sum()), 1)))
        return int(both.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """The similarity between two pieces."""

    first_from_second: Similarity
    inliers: int
    shared: int


def overlap_of(a: Piece, b: Piece) -> Shared:
    """Return what two pieces know of the keypoints of the frames that both registered."""
    shared = Shared()
    for at in sorted(set(a.poses) & set(b.poses)):
        keys = same_keypoints(*(piece.model.images[piece.ids[at]].xys for piece in (a, b)))
        shared.add((a, at, keys), (b, at, keys))
    return shared


def align(shared: Shared, *, seed: int) -> Alignment | None:
    """Fit the similarity that most shared points agree on; None where fewer than ``LEAST_SHARED`` do.

    RANSAC on three points, then least squares on the inliers, weighted by the inverse square of their depth.
    """
    count = sum(map(len, shared.first))
    if count < LEAST_SHARED:
        return None
    first, second, eye = (np.concatenate(each) for each in (shared.first, shared.second, shared.eye))
    rng = np.random.default_rng(seed)
    few = rng.permutation(count)[:SCORED]
    best, most = None, LEAST_SHARED * len(few) / count - 1
    for _ in range(TRIALS):
        chosen = rng.choice(few, 3, replace=False)
        found = _fit(first[chosen], second[chosen], np.ones(3))
        inliers = 0 if found is None else int(_agreeing(found, first[few], second[few], eye[few]).sum())
        if inliers > most:
            best, most = found, inliers
    for _ in range(5):
        if best is None:
            return None
        fits = _agreeing(best, first, second, eye)
        depth = np.linalg.norm(second[fits] - eye[fits], axis=1)
        best = _fit(first[fits], second[fits], 1 / np.maximum(depth, 1e-9) ** 2)
    if best is None:
        return None
    inliers = int(_agreeing(best, first, second, eye).sum())
    return (
        Alignment(first_from_second=best.inverse(), inliers=inliers, shared=count) if inliers >= LEAST_SHARED else None
    )


def overlaps(pieces: Sequence[Piece], *, seed: int) -> dict[tuple[int, int], Alignment | None]:
    """Align the pieces that have ``LEAST_SHARED`` points of common images, by their ids; None where that fails."""
    found = {}
    for a, b in combinations(pieces, 2):
        shared = overlap_of(a, b)
        if sum(map(len, shared.first)) >= LEAST_SHARED:
            found[a.window.window_id, b.window.window_id] = align(shared, seed=seed)
    return found


def _fit(first: Float, second: Float, weights: Float) -> Similarity | None:
    """Return second_from_first; None for points on a line."""
    try:
        found = fit_similarity(first, second, weights=weights)
    except ValueError:
        return None
    return found if 1e-6 < found.scale < 1e6 else None


def _agreeing(second_from_first: Similarity, first: Float, second: Float, eye: Float) -> NDArray[np.bool_]:
    seen, known = second_from_first.points(first) - eye, second - eye
    far_seen, far_known = np.linalg.norm(seen, axis=1), np.linalg.norm(known, axis=1)
    cosine = (seen * known).sum(1) / np.maximum(far_seen * far_known, 1e-12)
    depth = np.abs(np.log(np.maximum(far_seen, 1e-12) / np.maximum(far_known, 1e-12)))
    agree: NDArray[np.bool_] = (cosine > np.cos(ANGLE_RAD)) & (depth < DEPTH_RATIO)
    return agree
