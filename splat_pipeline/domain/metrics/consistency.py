"""Whether poses can be true, where reprojection errors tell nothing: drift, bends, loops and planes.

The match graph is held against the poses. P pairs of images are known, each with its verified matches; images are
counted by their position in the job, in order of clip and time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.epipolar import LIMIT_SHARE, pair_agreement
from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.formats.colmap import NO_POINT, ColmapModel
from splat_pipeline.domain.lens import intrinsics, unproject
from splat_pipeline.domain.loops import SURE_INLIERS
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.rigid import inverse

Float = NDArray[np.float64]

APART = 0.2
"""Of all images: pairs so far apart in time are two looks at one place."""
LEAST_LOOPS = 3
"""Such pairs that a verdict needs: false ones happen."""
LEAST_HELDOUT = 8
"""Matches of a pair that no point rests on, for the pair to have a say."""
NEAR = 5
"""Images apart at most: neighbours in time."""
WORST = 0.9
"""Quantile over the pairs: a bend shows in some of them."""
FLAT_WITHIN = 0.01
"""Of the usual distance. Measured: 0.24 to 0.80 of the points of rooms and objects, 0.93 of a flight's."""
TRIALS, SCORED, LEAST_POINTS = 200, 1000, 50


@dataclass(frozen=True, kw_only=True)
class PairCheck:
    """How the matches of one pair fit to the poses of its images."""

    first: int
    second: int
    inliers: int
    error: float
    """Median distance of all its matches from the epipolar lines, in longer sides of the picture; NaN where both
    cameras stand at one place."""
    heldout: float
    """The same of the matches that no point of the model rests on: no adjustment saw them. NaN where they are few."""


def check_pairs(model: ColmapModel, pairs: Iterable[MatchedPair], positions: Mapping[str, int]) -> list[PairCheck]:
    """Hold each pair whose images are both in ``model`` against its poses."""
    ids = {image.name: image_id for image_id, image in model.images.items()}
    rays = {name: _rays(model, image_id) for name, image_id in ids.items()}
    return [
        _checked(model, pair, (ids[pair.first], ids[pair.second]), rays, positions)
        for pair in pairs
        if pair.inliers and pair.first in ids and pair.second in ids
    ]


def _checked(  # a pair and what is known of its images
    model: ColmapModel,
    pair: MatchedPair,
    ids: tuple[int, int],
    rays: Mapping[str, Float],
    positions: Mapping[str, int],
) -> PairCheck:
    a, b = (model.images[image_id] for image_id in ids)
    keys_a, keys_b = pair.matches[:, 0].astype(np.int64), pair.matches[:, 1].astype(np.int64)
    b_from_a = cam_from_world(model, ids[1]) @ inverse(cam_from_world(model, ids[0]))
    camera = model.cameras[a.camera_id]
    share = intrinsics(camera)[0] / max(camera.width_px, camera.height_px)
    error = pair_agreement((rays[pair.first][keys_a], rays[pair.second][keys_b]), b_from_a, share).error_px
    point_a, point_b = a.point3d_ids[keys_a], b.point3d_ids[keys_b]
    unseen = error[(point_a == NO_POINT) | (point_b == NO_POINT) | (point_a != point_b)]
    return PairCheck(
        first=positions[pair.first],
        second=positions[pair.second],
        inliers=pair.inliers,
        error=_median(error),
        heldout=_median(unseen) if len(unseen) >= LEAST_HELDOUT else float("nan"),
    )


def _rays(model: ColmapModel, image_id: int) -> Float:
    image = model.images[image_id]
    return unproject(model.cameras[image.camera_id], image.xys)


def loop_pairs(checks: Iterable[PairCheck], images: int) -> list[PairCheck]:
    """Return the pairs that saw one place at times far apart, with enough matches to be believed."""
    return [c for c in checks if c.inliers >= SURE_INLIERS and c.second - c.first >= max(3.0, APART * images)]


def loop_contradicted_share(checks: Iterable[PairCheck], images: int) -> float | None:
    """Return the share of loops, by their matches, that the poses contradict; None with fewer than ``LEAST_LOOPS``.

    A pair is contradicted as ``epipolar.LIMIT_SHARE`` has it. Of right poses look-alikes are: at most 0.16 was seen of
    real captures (a scene of stripes), and 0.30 and more where their way was bent by 3 degrees.
    """
    loops = [c for c in loop_pairs(checks, images) if np.isfinite(c.error)]
    if len(loops) < LEAST_LOOPS:
        return None
    weights = np.array([c.inliers for c in loops], float)
    return float(weights[[c.error > LIMIT_SHARE for c in loops]].sum() / weights.sum())


def neighbour_epipolar(checks: Iterable[PairCheck]) -> float | None:
    """Return the epipolar error of neighbours in time, 90th percentile of the pairs, in longer sides of the picture.

    They can hardly be false: where poses were bent to close a false loop, or left open a true one, they suffer.
    """
    known = [c.error for c in _near(checks) if np.isfinite(c.error)]
    return float(np.quantile(known, WORST)) if known else None


def heldout_epipolar(checks: Iterable[PairCheck]) -> float | None:
    """Return the epipolar error of matches that no adjustment saw, median of the neighbours in time, in longer sides.

    Of pairs far apart they are mostly look-alikes, for which they were left out.
    """
    known = [c.heldout for c in _near(checks) if np.isfinite(c.heldout)]
    return float(np.median(known)) if known else None


def _near(checks: Iterable[PairCheck]) -> list[PairCheck]:
    return [c for c in checks if c.second - c.first <= NEAR and c.inliers >= SURE_INLIERS]


def planar_share(model: ColmapModel, *, seed: int) -> float | None:
    """Return the share of the points that lie on one plane, within ``FLAT_WITHIN`` of their usual distance.

    The best of ``TRIALS`` planes through three points (Fischler and Bolles 1981). None with few points.
    """
    xyz = model.points.xyz
    if len(xyz) < LEAST_POINTS or not model.images:
        return None
    rng = np.random.default_rng(seed)
    chosen = xyz[rng.permutation(len(xyz))[:SCORED]]
    eyes = centers(np.stack([cam_from_world(model, image_id) for image_id in sorted(model.images)]))
    within = FLAT_WITHIN * float(np.median(np.linalg.norm(chosen - np.median(eyes, axis=0), axis=1)))
    best = 0.0
    for _ in range(TRIALS):
        a, b, c = chosen[rng.choice(len(chosen), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = float(np.linalg.norm(normal))
        if length > 0:
            best = max(best, float(np.mean(np.abs((chosen - a) @ normal) < within * length)))
    return best


def consistency_metrics(
    model: ColmapModel, pairs: Iterable[MatchedPair], positions: Mapping[str, int], *, seed: int
) -> dict[str, float | None]:
    """Return the metrics of one model against its match graph. ``positions``: of every image of the job."""
    checks = check_pairs(model, pairs, positions)
    return {
        "loop_contradicted_share": loop_contradicted_share(checks, len(positions)),
        "neighbour_epipolar": neighbour_epipolar(checks),
        "heldout_epipolar": heldout_epipolar(checks),
        "planar_share": planar_share(model, seed=seed),
    }


def _median(values: Float) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
