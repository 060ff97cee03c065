"""Train Gaussians on posed images.

The course of a training: seeds on the points; a quarter, then half, then the whole of the resolution; each iteration
draws one view, differentiates the loss and moves the Gaussians that were seen; every now and then the transparent are
dropped and the most strained are split, up to the plan's cap. The same seed gives the same Gaussians, whatever the
number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.errors import Untrained
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.splatting import seeds
from splat_pipeline.splatting.course import Course, Stopwatch
from splat_pipeline.splatting.cover import cover
from splat_pipeline.splatting.densify import Population, prune, split
from splat_pipeline.splatting.metrics import psnr, ssim
from splat_pipeline.splatting.pictures import Picture, at_size
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import render
from splat_pipeline.splatting.studio import Studio
from splat_pipeline.splatting.watch import Progress, Step, Watch

__all__ = ["Probe", "Progress", "Step", "TrainRecipe", "Trained", "evaluate", "train"]

UInt8 = NDArray[np.uint8]
LOOKS = 8
"""Views on which the loss before and after the training is compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What came of a training."""

    gaussians: Gaussians
    history: list[Step]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Asks for the Gaussians while they are trained; the time that the call takes is not counted."""

    shares: Sequence[float]
    """Of the training, each in (0, 1]: when to call."""
    call: Callable[[Gaussians, int, float], None]
    """Takes a copy of the Gaussians, the iterations done, the seconds taken."""


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
    seconds: float | None = None,
    probe: Probe | None = None,
) -> Trained:
    """Train Gaussians on ``images`` (H, W, 3) RGB of ``views``, beginning on ``points`` (P, 3) of ``colors`` (P, 3).

    ``progress`` is called about once a second and at the end. ``seconds``: end after so long, all within this call
    counted, instead of after the plan's iterations; the result then depends on the machine's speed. Raises
    ``ValueError`` for arrays that do not fit together or are not finite, ``Diverged`` when the loss is not finite or
    blows up, ``Untrained`` when it has not fallen at the end.
    """
    stopwatch = Stopwatch(clock=clock)
    recipe = recipe or TrainRecipe()
    _fit(images, views, points, colors)
    rng = np.random.default_rng(plan.seed)
    start = _first(images, views, points, colors, plan, recipe, rng)
    people = Population.of(start, plan.max_gaussians)
    studio = Studio(people=people, recipe=recipe, extent=seeds.scene_extent(views))
    course = Course(
        plan=plan, recipe=recipe, views=views, first=len(start), rng=rng, stopwatch=stopwatch, seconds=seconds
    )
    looks = [at_size(images[i], views[i], 1) for i in range(0, len(views), -(-len(views) // LOOKS))]
    before = float(np.mean([studio.look(picture, plan.sh_degree) for picture in looks]))
    watch = Watch(window=recipe.diverged_window, tell=progress, best=before)
    asked = sorted(probe.shares) if probe else []
    course.begin()
    pictures: list[Picture] = []
    factor = 0
    while not course.over:
        if course.factor != factor:
            factor = course.factor
            pictures = [at_size(image, view, factor) for image, view in zip(images, views, strict=True)]
        picture, share = pictures[course.next_view()], course.share
        loss = studio.step(picture, course.degree, share)
        course.count(looks=len(looks))
        watch.note(course, loss, studio, picture)
        wanted = course.wanted(share)
        if wanted is not None:
            prune(people, studio.extent, recipe)
            split(people, wanted, recipe)
        if probe and asked and course.share >= asked[0]:
            asked = [share for share in asked if share > course.share]
            with stopwatch.stopped():
                probe.call(people.gaussians(), course.done, stopwatch.seconds())
    after = float(np.mean([studio.look(picture, plan.sh_degree) for picture in looks]))
    if not after < recipe.trained_ratio * before:
        raise Untrained(f"the loss was {before:.4f} before and is {after:.4f} after {course.done} iterations")
    return Trained(gaussians=people.gaussians(), history=watch.history)


def evaluate(gaussians: Gaussians, images: Sequence[UInt8], views: Sequence[View]) -> list[tuple[float, float]]:
    """Return (PSNR in dB, SSIM) of each of ``views`` against its image (H, W, 3), colours clipped to [0, 1]."""
    scores = []
    for image, view in zip(images, views, strict=True):
        seen = np.clip(render(gaussians, view.camera, view.cam_from_world).image, 0, 1)
        truth = image.astype(np.float32) / np.float32(255)
        scores.append((psnr(seen, truth), ssim(seen, truth)))
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
