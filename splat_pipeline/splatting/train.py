"""Train Gaussians on posed images.

The course of a training: seeds on the points; a quarter, then half, then the whole of the resolution; each iteration
draws one view, differentiates the loss and moves the Gaussians that were seen; every now and then the transparent are
dropped and the most strained are split, up to the plan's cap. The same seed gives the same Gaussians, whatever the
number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.errors import Untrained
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.splatting import seeds
from splat_pipeline.splatting.cover import cover
from splat_pipeline.splatting.densify import Population, target_count
from splat_pipeline.splatting.metrics import psnr, recolored, ssim
from splat_pipeline.splatting.pictures import Picture, at_size
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import render
from splat_pipeline.splatting.studio import Studio
from splat_pipeline.splatting.watch import Progress, Step, Watch

__all__ = ["Progress", "Step", "TrainRecipe", "Trained", "evaluate", "evaluate_corrected", "train"]

UInt8 = NDArray[np.uint8]
PROBES = 8
"""Views on which the loss before and after the training is compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What came of a training."""

    gaussians: Gaussians
    history: list[Step]


def train(
    images: Sequence[UInt8],
    views: Sequence[View],
    points: NDArray[np.floating],
    colors: UInt8,
    plan: TrainingPlan,
    *,
    progress: Callable[[Progress], None] | None = None,
    recipe: TrainRecipe | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Trained:
    """Train Gaussians on ``images`` (H, W, 3) RGB of ``views``, beginning on ``points`` (P, 3) of ``colors`` (P, 3).

    ``progress`` is called about once a second and at the end. Raises ``ValueError`` for arrays that do not fit
    together or are not finite, ``Diverged`` when the loss is not finite or blows up, ``Untrained`` when it has not
    fallen at the end.
    """
    recipe = recipe or TrainRecipe()
    _fit(images, views, points, colors)
    rng = np.random.default_rng(plan.seed)
    start = _first(images, views, points, colors, plan, recipe, rng)
    people = Population.of(start, plan.max_gaussians)
    studio = Studio(people=people, recipe=recipe, extent=seeds.scene_extent(views), seed=plan.seed, views=len(views))
    probes = [at_size(images[i], views[i], 1, number=i) for i in range(0, len(views), -(-len(views) // PROBES))]
    before = float(np.mean([studio.look(probe, plan.sh_degree) for probe in probes]))
    watch = Watch(iterations=plan.iterations, window=recipe.diverged_window, clock=clock, tell=progress, best=before)
    factors = [_factor(i / plan.iterations, views, recipe) for i in range(plan.iterations)]
    work = np.cumsum([1 / factor for factor in factors])
    every = max(recipe.densify_least, round(plan.iterations / recipe.densify_events))
    for i, picture in enumerate(_course(images, views, factors, rng)):
        share = i / plan.iterations
        degree = min(plan.sh_degree, int(share / recipe.degree_every)) if recipe.degree_every > 0 else plan.sh_degree
        loss = studio.step(picture, degree, share)
        watch.note(i + 1, loss, studio, picture, float(work[i] / work[-1]))
        if (i + 1) % every == 0 and recipe.densify_from <= share <= recipe.densify_until:
            ahead = (i + 1 + every) / plan.iterations
            studio.adapt(target_count(ahead, len(start), plan.max_gaussians, recipe))
    after = float(np.mean([studio.look(probe, plan.sh_degree) for probe in probes]))
    if not after < recipe.trained_ratio * before:
        raise Untrained(f"the loss was {before:.4f} before and is {after:.4f} after {plan.iterations} iterations")
    return Trained(gaussians=studio.gaussians(), history=watch.history)


def evaluate(gaussians: Gaussians, images: Sequence[UInt8], views: Sequence[View]) -> list[tuple[float, float]]:
    """Return (PSNR in dB, SSIM) of each of ``views`` against its image (H, W, 3), colours clipped to [0, 1]."""
    scores = []
    for image, view in zip(images, views, strict=True):
        seen = np.clip(render(gaussians, view.camera, view.cam_from_world).image, 0, 1)
        truth = image.astype(np.float32) / np.float32(255)
        scores.append((psnr(seen, truth), ssim(seen, truth)))
    return scores


def evaluate_corrected(gaussians: Gaussians, images: Sequence[UInt8], views: Sequence[View]) -> list[float]:
    """Return the PSNR in dB of each of ``views`` after ``metrics.recolored`` has brought it nearest to its image.

    What a camera's automatic exposure and white balance do to a held-out image no training can know.
    """
    scores = []
    for image, view in zip(images, views, strict=True):
        truth = image.astype(np.float32) / np.float32(255)
        seen = np.clip(render(gaussians, view.camera, view.cam_from_world).image, 0, 1)
        scores.append(psnr(recolored(seen, truth), truth))
    return scores


def _fit(images: Sequence[UInt8], views: Sequence[View], points: NDArray[np.floating], colors: UInt8) -> None:
    if not views or len(images) != len(views):
        raise ValueError(f"a training needs images and as many views, got {len(images)} and {len(views)}")
    for image, view in zip(images, views, strict=True):
        want = (view.camera.height_px, view.camera.width_px, 3)
        if image.shape != want or image.dtype != np.uint8:
            raise ValueError(f"image of {view.name} must be uint8 {want}, got {image.dtype} {image.shape}")
    if points.ndim != 2 or points.shape[1] != 3 or colors.shape != points.shape:
        raise ValueError(f"points and colors must be (P, 3), got {points.shape} and {colors.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{int((~np.isfinite(points)).any(axis=1).sum())} of {len(points)} points are not finite")


def _first(
    images: Sequence[UInt8],
    views: Sequence[View],
    points: NDArray[np.floating],
    colors: UInt8,
    plan: TrainingPlan,
    recipe: TrainRecipe,
    rng: np.random.Generator,
) -> Gaussians:
    places = points.astype(np.float64)
    if len(places) < recipe.least_points:
        many = max(recipe.least_points, round(recipe.random_share * plan.max_gaussians))
        more, tints = seeds.scatter(images, views, many, rng)
        places, colors = np.concatenate([places, more]), np.concatenate([colors, tints])
    else:
        more, tints = cover(images, views, places, rng)
        most = min(len(more), round(recipe.cover_share * plan.max_gaussians))
        some = np.sort(rng.choice(len(more), most, replace=False))
        places, colors = np.concatenate([places, more[some]]), np.concatenate([colors, tints[some]])
    if len(places) > plan.max_gaussians:
        some = np.sort(rng.choice(len(places), plan.max_gaussians, replace=False))
        places, colors = places[some], colors[some]
    reach = seeds.nearest_camera(places, views)
    return seeds.first_gaussians(places, colors, reach, degree=plan.sh_degree, recipe=recipe)


def _course(
    images: Sequence[UInt8], views: Sequence[View], factors: Sequence[int], rng: np.random.Generator
) -> Iterator[Picture]:
    """Yield a picture an iteration, made smaller by its factor: all views in random order, then again in another."""
    pictures: list[Picture] = []
    order: list[int] = []
    for i, factor in enumerate(factors):
        if i == 0 or factor != factors[i - 1]:
            pairs = enumerate(zip(images, views, strict=True))
            pictures = [at_size(image, view, factor, number=n) for n, (image, view) in pairs]
        order = order or [int(v) for v in rng.permutation(len(views))]
        yield pictures[order.pop()]


def _factor(share: float, views: Sequence[View], recipe: TrainRecipe) -> int:
    """Return by how much images are made smaller after ``share`` of the training: 4, 2 or 1."""
    side = min(min(view.camera.width_px, view.camera.height_px) for view in views)
    wanted = 4 if share < recipe.quarter_until else 2 if share < recipe.half_until else 1
    while wanted > 1 and side < wanted * recipe.least_side_px:
        wanted //= 2
    return wanted
