"""Which Gaussians a splat is better without: rules with numbers, each held against the held-out views.

N Gaussians, C cameras. A rule marks Gaussians; those it marks go only if the held-out views, drawn without them and
without what went before, lose at most ``MOST_LOST_DB`` in all. A rule that costs more is not applied; its row says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from splat_pipeline.domain.fronts import BEFORE, LEAST_VIEWS, Front, air_share
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import extent_of

Mask = NDArray[np.bool_]
Score = Callable[[Gaussians], float]
"""Mean PSNR in dB of the held-out views."""

MOST_LOST_DB = 0.05
FAINT_OPACITY = 0.005
"""Trainers prune below it (Kerbl et al. 2023); below 1/255 a Gaussian is not drawn at all."""
UNSEEN_PX = 0.05
"""Summed blending weight over all training views, in pixels."""
NEAR_SHARE = 0.1
"""Of the median distance between a Gaussian and its nearest camera."""
AIR_SHARE = 0.8
"""Of the views that show it against triangulated points: before these in so many."""
NEIGHBOURS = 8
LONELY_SIGMAS, LONELY_TIMES, LONELY_WEIGHT = 6.0, 4.0, 0.25
"""In own longest deviations; in medians of the distances to neighbours; in medians of the contributions."""
NEEDLE_RATIO, NEEDLE_SHARE = 30.0, 0.02
"""Longest over middle deviation; longest deviation in radii of the scene."""
GIANT_SHARE = 0.5
"""Longest deviation in radii of the scene."""
WITHIN = 0.95
"""Of the contribution lies within the radius of the scene."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What the rules look at."""

    gaussians: Gaussians
    weights: NDArray[np.float32]
    """(N,) contribution: summed blending weight over all training views, px."""
    cameras: NDArray[np.float64]
    """(C, 3) places of the training cameras, world units."""
    fronts: Sequence[Front] = ()
    """Where the triangulated points begin in some of the views."""

    def __post_init__(self) -> None:
        if self.weights.shape != (len(self.gaussians),) or not len(self.cameras):
            raise ValueError(
                f"{len(self.gaussians)} Gaussians, {len(self.weights)} weights, {len(self.cameras)} cameras"
            )

    @property
    def middle_and_radius(self) -> tuple[NDArray[np.float64], float]:
        """Where the contributions lie: their median place, and the radius that holds ``WITHIN`` of them."""
        return extent_of(self.gaussians.means, self.weights + np.float32(1e-9), share=WITHIN)

    def take(self, kept: Mask) -> Scene:
        """Return the scene with ``kept`` only."""
        return replace(self, gaussians=self.gaussians.take(kept), weights=self.weights[kept])


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One reason to remove a Gaussian."""

    name: str
    says: str
    """The condition, with its numbers."""
    marks: Callable[[Scene], Mask]


def transparent(scene: Scene) -> Mask:
    """Mark those that are hardly drawn at all."""
    return np.asarray(scene.gaussians.opacities < FAINT_OPACITY)


def unseen(scene: Scene) -> Mask:
    """Mark those that no training view shows."""
    return np.asarray(scene.weights < UNSEEN_PX)


def near_cameras(scene: Scene) -> Mask:
    """Mark floaters right before a lens."""
    away, _ = cKDTree(scene.cameras).query(scene.gaussians.means)
    return np.asarray(away < NEAR_SHARE * np.median(away))


def in_the_air(scene: Scene) -> Mask:
    """Mark floaters before what was triangulated: surfaces have points of their own."""
    return np.asarray(air_share(scene.fronts, scene.gaussians.means.astype(np.float64)) >= AIR_SHARE)


def isolated(scene: Scene) -> Mask:
    """Mark floaters in empty space: far from their neighbours, and of little use."""
    count = len(scene.gaussians)
    if count <= NEIGHBOURS:
        return np.zeros(count, bool)
    reach = cKDTree(scene.gaussians.means).query(scene.gaussians.means, k=[NEIGHBOURS + 1])[0][:, 0]
    longest = np.exp(scene.gaussians.log_scales.max(axis=1).astype(np.float64))
    alone = (reach > LONELY_SIGMAS * longest) & (reach > LONELY_TIMES * np.median(reach))
    return np.asarray(alone & (scene.weights < LONELY_WEIGHT * np.median(scene.weights)))


def needles(scene: Scene) -> Mask:
    """Mark long spikes. Discs, however flat, are none."""
    sizes = np.sort(scene.gaussians.log_scales, axis=1).astype(np.float64)
    thin = sizes[:, 2] - sizes[:, 1] > np.log(NEEDLE_RATIO)
    return np.asarray(thin & (np.exp(sizes[:, 2]) > NEEDLE_SHARE * scene.middle_and_radius[1]))


def giants(scene: Scene) -> Mask:
    """Mark those as large as the scene itself."""
    longest = np.exp(scene.gaussians.log_scales.max(axis=1).astype(np.float64))
    return np.asarray(longest > GIANT_SHARE * scene.middle_and_radius[1])


RULES: tuple[Rule, ...] = (
    Rule(name="transparent", says=f"opacity below {FAINT_OPACITY:g}", marks=transparent),
    Rule(name="unseen", says=f"contributes less than {UNSEEN_PX:g} px to all training views together", marks=unseen),
    Rule(
        name="near_cameras",
        says=f"nearer to a camera than {NEAR_SHARE:g} of the median distance to the nearest one",
        marks=near_cameras,
    ),
    Rule(
        name="in_the_air",
        says=f"nearer than {BEFORE:g} of the nearest triangulated point around, in {AIR_SHARE:g} of the views "
        f"that show it against such points, {LEAST_VIEWS} of them at least",
        marks=in_the_air,
    ),
    Rule(
        name="isolated",
        says=f"its neighbour number {NEIGHBOURS} is farther than {LONELY_SIGMAS:g} of its own deviations and "
        f"{LONELY_TIMES:g} median distances, and it contributes less than {LONELY_WEIGHT:g} of the median",
        marks=isolated,
    ),
    Rule(
        name="needles",
        says=f"longest deviation over {NEEDLE_RATIO:g} times the middle one and {NEEDLE_SHARE:g} radii of the scene",
        marks=needles,
    ),
    Rule(name="giants", says=f"longest deviation over {GIANT_SHARE:g} radii of the scene", marks=giants),
)
"""In the order in which they are tried: what costs least comes first."""


def clean(scene: Scene, score: Score, *, rules: Sequence[Rule] = RULES) -> tuple[Mask, list[dict[str, Any]]]:
    """Return (N,) which Gaussians to keep, and a row of ``tables.CLEANING`` for each rule.

    ``score`` is asked once for all Gaussians and once for each rule that marks some.
    """
    kept = np.ones(len(scene.gaussians), bool)
    base_db = before_db = score(scene.gaussians)
    rows = []
    for rule in rules:
        marked = kept.copy()
        if kept.any():
            marked[kept] = rule.marks(scene.take(kept))
        trial = kept & ~marked
        found = int(marked.sum())
        row = {"rule": rule.name, "says": rule.says, "found": found, "psnr_before_db": before_db}
        after_db = before_db if not marked.any() else score(scene.gaussians.take(trial)) if trial.any() else -np.inf
        applied, because = _judged(found, base_db - after_db)
        rows.append({**row, "removed": found if applied else 0, "psnr_after_db": _finite(after_db), "because": because})
        if applied:
            kept, before_db = trial, after_db
    return kept, rows


def _judged(found: int, lost_db: float) -> tuple[bool, str]:
    """Return whether a rule is applied, and why."""
    if not found:
        return False, "it marks none"
    told = f"held-out views lose {lost_db:.3f} dB in all, at most {MOST_LOST_DB:g} may go"
    return lost_db <= MOST_LOST_DB, told


def captured(scene: Scene, crop: float) -> Mask:
    """Return (N,) which Gaussians lie within ``crop`` captured radii of the middle of the contributions.

    The captured radius is what nine in ten cameras lie within, or half of all contributions, whichever is more: around
    an object it ends at the cameras, in a room it holds the walls.
    """
    middle, half = extent_of(scene.gaussians.means, scene.weights + np.float32(1e-9), share=0.5)
    radius = max(half, float(np.quantile(np.linalg.norm(scene.cameras - middle, axis=1), 0.9)))
    return np.asarray(np.linalg.norm(scene.gaussians.means - middle, axis=1) <= crop * radius)


def unclean(reason: str, *, rules: Sequence[Rule] = RULES) -> list[dict[str, Any]]:
    """Return the rows of ``clean`` where nothing is looked at, with the reason."""
    empty = {"found": 0, "removed": 0, "psnr_before_db": None, "psnr_after_db": None, "because": reason}
    return [{"rule": rule.name, "says": rule.says, **empty} for rule in rules]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
