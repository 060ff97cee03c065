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
from splat_pipeline.domain.progress import Progress, Step
from splat_pipeline.splatting import seeds
from splat_pipeline.splatting.checkpoint import Checkpoints, Fingerprint, Keeper
from splat_pipeline.splatting.course import Stopwatch
from splat_pipeline.splatting.cover import cover
from splat_pipeline.splatting.densify import settle
from splat_pipeline.splatting.metrics import psnr, recolored, ssim
from splat_pipeline.splatting.pictures import Picture, at_size
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import render
from splat_pipeline.splatting.state import Order, Training, resumed, taken_over
from splat_pipeline.splatting.studio import Studio

__all__ = [
    "Checkpoints",
    "Probe",
    "Progress",
    "Step",
    "TrainRecipe",
    "Trained",
    "evaluate",
    "evaluate_corrected",
    "train",
]

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
    checkpoints: Checkpoints | None = None,
    probe: Probe | None = None,
) -> Trained:
    """Train Gaussians on ``images`` (H, W, 3) RGB of ``views``, beginning on ``points`` (P, 3) of ``colors`` (P, 3).

    ``progress`` is called about once a second and at the end. ``seconds``: end after so long, all within this call
    counted, instead of after the plan's iterations; the result then depends on the machine's speed. ``checkpoints``:
    where a killed training finds what it had done; it then ends as it would have without, bit by bit. Raises
    ``ValueError`` for arrays that do not fit together or are not finite, ``Diverged`` when the loss is not finite or
    blows up, ``Untrained`` when it has not fallen at the end.
    """
    stopwatch = Stopwatch(clock=clock)
    recipe = recipe or TrainRecipe()
    _fit(images, views, points, colors)
    order = Order(views=views, plan=plan, recipe=recipe, seconds=seconds, stopwatch=stopwatch)
    keeper = None
    if checkpoints is not None:
        whose = Fingerprint.of(images, views, points, colors, plan, recipe=recipe, seconds=seconds)
        keeper = Keeper(asked=checkpoints, whose=whose)
    training = _found(order, keeper)
    if training is None:
        rng = np.random.default_rng(plan.seed)
        training = Training.begun(order, first_of(images, views, points, colors, plan, recipe, rng), rng)
    looks = [at_size(images[i], views[i], 1, number=i) for i in range(0, len(views), -(-len(views) // LOOKS))]
    if not np.isfinite(training.before):
        training.before = training.watch.best = _loss(training.studio, looks, plan)
    training.watch.tell = progress
    _run(training, images, len(looks), keeper=keeper, probe=probe)
    before, after = training.before, _loss(training.studio, looks, plan)
    if not after < recipe.trained_ratio * before:
        done = training.course.done
        raise Untrained(f"the loss was {before:.4f} before and is {after:.4f} after {done} iterations")
    return Trained(gaussians=training.studio.finish(), history=training.watch.history)


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


def _found(order: Order, keeper: Keeper | None) -> Training | None:
    """Return the training as its last checkpoint has it, or one that takes over another's Gaussians, or None."""
    if keeper is None:
        return None
    try:
        own = keeper.own()
        if own is not None:
            training = resumed(order, own)
            keeper.asked.say(f"going on after iteration {training.course.done}, from a checkpoint")
        else:
            other = keeper.another()
            if other is None:
                return None
            training = taken_over(order, other, np.random.default_rng(order.plan.seed))
            kept, share = training.studio.people.count, training.course.share
            keeper.asked.say(f"going on with {kept} Gaussians of a training that had done {share:.0%} of its course")
    except ValueError as error:
        keeper.asked.say(f"beginning anew, a checkpoint cannot be used: {error}")
        return None
    keeper.written_at, keeper.written_s = training.course.done, order.stopwatch.seconds()
    return training


def _run(
    training: Training, images: Sequence[UInt8], looks: int, *, keeper: Keeper | None, probe: Probe | None
) -> None:
    """Train until the course is over. ``looks``: views that are looked at afterwards."""
    course, studio, stopwatch = training.course, training.studio, training.course.stopwatch
    asked = [share for share in sorted(probe.shares) if share > course.share] if probe else []
    pictures: list[Picture] = []
    factor = 0
    course.begin()
    while not course.over:
        if course.factor != factor:
            factor = course.factor
            pairs = enumerate(zip(images, course.views, strict=True))
            pictures = [at_size(image, view, factor, number=n) for n, (image, view) in pairs]
        picture, share = pictures[course.next_view()], course.share
        loss = studio.step(picture, course.degree, share)
        course.count(looks=looks)
        training.watch.note(course, loss, studio, picture)
        wanted = course.wanted(share)
        if wanted is not None:
            studio.adapt(wanted)
            if course.rounds % course.recipe.settle_every == 0:
                settle(studio.people)
        if probe and asked and course.share >= asked[0]:
            asked = [share for share in asked if share > course.share]
            with stopwatch.stopped():
                probe.call(studio.gaussians(), course.done, stopwatch.seconds())
        if keeper is not None and not course.over:
            keeper.offer(course.done, stopwatch.seconds, training.state)


def _loss(studio: Studio, pictures: Sequence[Picture], plan: TrainingPlan) -> float:
    return float(np.mean([studio.look(picture, plan.sh_degree) for picture in pictures]))


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


def first_of(
    images: Sequence[UInt8],
    views: Sequence[View],
    points: NDArray[np.floating],
    colors: UInt8,
    plan: TrainingPlan,
    recipe: TrainRecipe,
    rng: np.random.Generator,
) -> Gaussians:
    """Return the Gaussians that a training begins with: on the points, and where those do not reach."""
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
