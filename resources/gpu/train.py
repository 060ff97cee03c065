"""Train Gaussians with gsplat on posed images: the course of ``splatting.train``, other kernels and strategies.

The course (resolution, degree, the order of views), the first Gaussians, checkpoints and what is learned beside the
Gaussians are those of the CPU; drawing, derivatives and how Gaussians come and go are gsplat's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resources.gpu import memory
from resources.gpu.atelier import Atelier
from resources.gpu.pictures import Picture, pictures_of
from resources.gpu.recipe import GpuRecipe
from resources.gpu.splats import gaussians_of, splats_of
from resources.gpu.watch import Watch
from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.errors import Diverged, Untrained
from splat_pipeline.domain.formats.splat import by_importance
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.domain.progress import Progress
from splat_pipeline.splatting.checkpoint import Checkpoints, Fingerprint, Keeper, State
from splat_pipeline.splatting.course import Course, Stopwatch
from splat_pipeline.splatting.seeds import scene_extent
from splat_pipeline.splatting.state import COURSE
from splat_pipeline.splatting.train import LOOKS, Trained, first_of

Images = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Capture:
    """What is trained on."""

    images: Images
    views: Sequence[View]
    points: NDArray[np.floating]
    colors: NDArray[np.uint8]


@dataclass(kw_only=True, eq=False)
class Training:
    """A training on its way."""

    atelier: Atelier
    course: Course
    watch: Watch
    before: float = float("nan")
    """The loss before the first iteration."""

    def state(self) -> State:
        """Return all that decides how it goes on."""
        course = self.course
        facts = {
            "course": {name: getattr(course, name) for name in COURSE},
            "rng": course.rng.bit_generator.state,
            "seconds": course.stopwatch.seconds(),
            "watch": self.watch.state(),
            "before": self.before,
        }
        return State(facts=facts, arrays=self.atelier.arrays())


def train(
    capture: Capture,
    plan: TrainingPlan,
    recipe: GpuRecipe,
    *,
    device: Any,
    progress: Callable[[Progress], None] | None = None,
    checkpoints: Checkpoints | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Trained:
    """Train on ``device``. Raises ``Diverged``, ``Untrained``, and what torch raises for the device.

    A training that finds its own checkpoint goes on; on the CPU it then ends as it would have without, bit by bit.
    """
    stopwatch = Stopwatch(clock=clock)
    keeper = None
    if checkpoints is not None:
        whose = Fingerprint.of(
            capture.images, capture.views, capture.points, capture.colors, plan, recipe=recipe.train, seconds=None
        )
        keeper = Keeper(asked=checkpoints, whose=whose)
    training = _found(capture, plan, recipe, keeper, stopwatch=stopwatch, device=device) or _begun(
        capture, plan, recipe, stopwatch=stopwatch, device=device
    )
    training.watch.tell = progress
    looks = range(0, len(capture.views), -(-len(capture.views) // LOOKS))
    if not np.isfinite(training.before):
        training.before = training.watch.best = _loss(training, capture, looks, plan, device)
    _run(training, capture, keeper, device=device)
    after = _loss(training, capture, looks, plan, device)
    if not after < recipe.train.trained_ratio * training.before:
        done = training.course.done
        raise Untrained(f"the loss was {training.before:.4f} before and is {after:.4f} after {done} iterations")
    return Trained(gaussians=training.atelier.gaussians(), history=training.watch.history)


def _begun(capture: Capture, plan: TrainingPlan, recipe: GpuRecipe, *, stopwatch: Stopwatch, device: Any) -> Training:
    rng = np.random.default_rng(plan.seed)
    torch.manual_seed(plan.seed)
    first = first_of(capture.images, capture.views, capture.points, capture.colors, plan, recipe.train, rng)
    return _made(capture, plan, recipe, splats_of(first, device), rng=rng, stopwatch=stopwatch)


def _made(
    capture: Capture,
    plan: TrainingPlan,
    recipe: GpuRecipe,
    splats: Any,
    *,
    rng: np.random.Generator,
    stopwatch: Stopwatch,
) -> Training:
    extent = scene_extent(capture.views)
    course = Course(
        plan=plan, recipe=recipe.train, views=capture.views, first=len(splats["means"]), rng=rng, stopwatch=stopwatch
    )
    atelier = Atelier(plan, recipe, splats, extent=extent, views=len(capture.views))
    return Training(atelier=atelier, course=course, watch=Watch(tell=None))


def _found(
    capture: Capture, plan: TrainingPlan, recipe: GpuRecipe, keeper: Keeper | None, *, stopwatch: Stopwatch, device: Any
) -> Training | None:
    """Return the training as its last checkpoint has it, or one that takes over another's Gaussians, or None."""
    if keeper is None:
        return None
    try:
        own = keeper.own()
        other = keeper.another() if own is None else None
        if own is not None:
            training = _resumed(capture, plan, recipe, own, stopwatch=stopwatch, device=device)
            keeper.asked.say(f"going on after iteration {training.course.done}, from a checkpoint")
        elif other is not None:
            training = _taken_over(capture, plan, recipe, other, stopwatch=stopwatch, device=device)
            kept, share = len(training.atelier.splats["means"]), training.course.share
            keeper.asked.say(f"going on with {kept} Gaussians of a training that had done {share:.0%} of its course")
        else:
            return None
    except (KeyError, TypeError, ValueError) as error:
        keeper.asked.say(f"beginning anew, a checkpoint cannot be used: {error!r}")
        return None
    keeper.written_at, keeper.written_s = training.course.done, stopwatch.seconds()
    return training


def _resumed(
    capture: Capture, plan: TrainingPlan, recipe: GpuRecipe, state: State, *, stopwatch: Stopwatch, device: Any
) -> Training:
    rng = np.random.default_rng()
    splats = memory.splats_from(state.arrays, device)
    training = _made(capture, plan, recipe, splats, rng=rng, stopwatch=stopwatch)
    training.atelier.restore(state.arrays)
    rng.bit_generator.state = state.facts["rng"]
    for name, value in state.facts["course"].items():
        setattr(training.course, name, value)
    training.watch.restore(state.facts["watch"], device)
    training.before = state.facts["before"]
    stopwatch.before = state.facts["seconds"]
    return training


def _taken_over(
    capture: Capture, plan: TrainingPlan, recipe: GpuRecipe, state: State, *, stopwatch: Stopwatch, device: Any
) -> Training:
    """Begin with the most important Gaussians of another training of the scene, after the same share of the course."""
    found = gaussians_of(memory.splats_from(state.arrays, "cpu"))
    kept = found.take(np.sort(by_importance(found)[: plan.max_gaussians]))
    coefficients = (plan.sh_degree + 1) ** 2
    sh = np.zeros((len(kept), coefficients, 3), np.float32)
    sh[:, : kept.sh.shape[1]] = kept.sh[:, :coefficients]
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    splats = splats_of(replace(kept, sh=sh), device)
    training = _made(capture, plan, recipe, splats, rng=rng, stopwatch=stopwatch)
    training.atelier.restore_few(state.arrays)
    share, first = state.facts["course"]["share"], state.facts["course"]["first"]
    training.course.take_up(share, first=min(first, plan.max_gaussians))
    training.before = training.watch.best = state.facts["before"]
    return training


def _run(training: Training, capture: Capture, keeper: Keeper | None, *, device: Any) -> None:
    course, atelier = training.course, training.atelier
    points = capture.points if atelier.style.depth else capture.points[:0]
    pictures: list[Picture] = []
    factor = 0
    course.begin()
    while not course.over:
        if course.factor != factor:
            factor, pictures = course.factor, []
            pictures = pictures_of(capture.images, course.views, factor, points=points, device=device)
        picture = pictures[course.next_view()]
        loss, error = atelier.step(picture, course.degree, done=course.done, share=course.share)
        course.count(looks=0)
        if not len(atelier.splats["means"]):
            raise Diverged(f"all Gaussians were transparent or beyond all measure after {course.done} iterations")
        training.watch.note(course, loss, error, atelier.splats, factor)
        if keeper is not None and not course.over:
            keeper.offer(course.done, course.stopwatch.seconds, training.state)


def _loss(training: Training, capture: Capture, looks: Sequence[int], plan: TrainingPlan, device: Any) -> float:
    images, views = [capture.images[i] for i in looks], [capture.views[i] for i in looks]
    pictures = pictures_of(images, views, 1, points=capture.points[:0], device=device)
    numbered = [replace(picture, number=i) for i, picture in zip(looks, pictures, strict=True)]
    return float(np.mean([training.atelier.look(picture, plan.sh_degree) for picture in numbered]))
