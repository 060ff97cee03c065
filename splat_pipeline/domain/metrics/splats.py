"""What became of the splat, in figures for the gates.

Pictures are (H, W, 3), 0 to 1. N Gaussians, V views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.fronts import front_of, hidden_of
from splat_pipeline.domain.gaussians import Gaussians

Picture = NDArray[np.float32]

HUGE = 0.25
"""Of the scene's size: a standard deviation that is larger covers half of it."""
TRANSPARENT = 0.05
"""Opacity below which a Gaussian hardly counts."""
NEEDLE = 30.0
"""Times as long as it is thick in its middle axis (PhysGaussian, Xie et al. 2024, calls a ratio bounded by a constant
for the same artifact)."""
NEAR = 0.1
"""Of the usual distance of what a camera sees: what hangs there is no surface that it saw."""
FIRST_STEPS = 3
"""Rows of a training's course that make up its beginning, and its end."""


def nan_share(gaussians: Gaussians) -> float:
    """Return the share of Gaussians with a value that is not a finite number; 1 where there are none."""
    if not len(gaussians):
        return 1.0
    bad = np.zeros(len(gaussians), bool)
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        values = getattr(gaussians, name)
        bad |= ~np.isfinite(values).reshape(len(gaussians), -1).all(axis=1)
    return float(bad.mean())


def shape_metrics(gaussians: Gaussians) -> dict[str, float | None]:
    """Return the shares of NaN, huge, transparent and needle-like Gaussians, of those that are finite."""
    finite = gaussians.take(_finite(gaussians))
    if not len(finite):
        return {"nan_share": nan_share(gaussians), "huge_share": None, "transparent_share": None, "needle_share": None}
    size = scene_size(finite)
    axes = np.sort(finite.log_scales.astype(float), axis=1)
    return {
        "nan_share": nan_share(gaussians),
        "huge_share": float(np.mean(axes[:, 2] > np.log(HUGE * size))),
        "transparent_share": float(np.mean(finite.opacities < TRANSPARENT)),
        "needle_share": float(np.mean(axes[:, 2] - axes[:, 1] > np.log(NEEDLE))),
    }


def scene_size(gaussians: Gaussians) -> float:
    """Return the diagonal of the box that holds the middle 90 % of the means along each axis."""
    low, high = np.quantile(gaussians.means.astype(float), [0.05, 0.95], axis=0)
    return max(float(np.linalg.norm(high - low)), 1e-12)


def floater_share(gaussians: Gaussians, centers: NDArray[np.float64], points: NDArray[np.float64]) -> float | None:
    """Return the share of what is opaque that hangs right before the cameras: centers (C, 3), points (P, 3).

    Nearer to a camera than ``NEAR`` of that camera's median distance to the points, and nearer than any point is: what
    was triangulated is a surface, however near. Each Gaussian counts by its opacity. None without cameras or points.
    """
    finite = gaussians.take(_finite(gaussians))
    if not len(finite) or not len(centers) or not len(points):
        return None
    weights = finite.opacities.astype(float)
    hanging = np.zeros(len(finite), bool)
    for center in centers:
        far = np.linalg.norm(points - center, axis=1)
        reach = min(NEAR * float(np.median(far)), float(far.min()))
        hanging |= np.linalg.norm(finite.means - center, axis=1) < reach
    return float(weights[hanging].sum() / max(weights.sum(), 1e-12))


def hidden_share(seen: Iterable[tuple[Picture, View]], points: NDArray[np.float64]) -> float | None:
    """Return the share of the pictures, where points were triangulated, in which the splat ends before all of them.

    ``seen``: (H, W) depth of what is drawn, in the world's units, 0 where nothing is, and its view; points (P, 3). Fog
    and blobs in the air hide what was triangulated; a surface does not, for its own points lie on it. The nearest point
    of a pixel's cell and of those around it counts. None without views or points.
    """
    shares = [hidden_of(front_of(view, points), depth) for depth, view in seen]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known else None


def loss_ratio(history: Sequence[Mapping[str, float | None]]) -> float | None:
    """Return the loss of the last steps over that of the first: 1 where nothing was learned; None without a course."""
    told = [step.get("loss") for step in history]
    losses = [loss for loss in told if loss is not None and np.isfinite(loss)]
    if len(losses) < 2:
        return None
    few = min(FIRST_STEPS, len(losses) // 2)
    return float(np.median(losses[-few:]) / max(float(np.median(losses[:few])), 1e-12))


def flicker(pairs: Iterable[tuple[Picture, Picture]], *, moving_share: float = 0.0) -> float | None:
    """Return how much more, or otherwise, the rendering changes from view to view than the film does.

    ``pairs``: rendered and real picture of each view, in order along the captured path, of one size. Of neighbouring
    views, the mean absolute difference between what changed in the renderings and what changed in the real ones, over
    what changed in the real ones: 0 where both change alike, 1 for a still rendering of a moving film. Of each pair of
    views the worst ``moving_share`` of the pixels does not count: what moved in the scene (trimmed as in RobustNeRF,
    Sabour et al. 2023). Median over the pairs; None with fewer than two views.
    """
    found = []
    for (drawn_a, real_a), (drawn_b, real_b) in pairwise(pairs):
        if real_a.shape != real_b.shape:
            continue
        real = np.abs(real_b - real_a).mean(axis=2)
        wrong = np.abs((drawn_b - drawn_a) - (real_b - real_a)).mean(axis=2)
        kept = wrong <= np.quantile(wrong, 1.0 - min(max(moving_share, 0.0), 0.9))
        found.append(float(wrong[kept].mean() / max(float(real[kept].mean()), 1e-6)))
    return float(np.median(found)) if found else None


def train_gap_db(trained_db: float, heldout_db: float) -> float | None:
    """Return by how much views that were trained on are matched better; None where one was not measured."""
    gap = trained_db - heldout_db
    return gap if np.isfinite(gap) else None


def _finite(gaussians: Gaussians) -> NDArray[np.bool_]:
    places = np.concatenate([gaussians.means, gaussians.log_scales, gaussians.logit_opacities[:, None]], axis=1)
    good: NDArray[np.bool_] = np.isfinite(places).all(axis=1)
    return good
