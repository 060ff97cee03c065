"""Train Gaussians on posed images.

The course of a training: seeds on the points; a quarter, then half, then the whole of the resolution; each iteration
draws one view, differentiates the loss and moves the Gaussians that were seen; every now and then the transparent are
dropped and the most strained are split, up to the plan's cap. The same seed gives the same Gaussians, whatever the
number of threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.errors import Diverged, Untrained
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.splatting import blend, layout, optim, seeds
from splat_pipeline.splatting.densify import Population, prune, split, target_count
from splat_pipeline.splatting.layout import Float32
from splat_pipeline.splatting.loss import loss_and_gradient
from splat_pipeline.splatting.metrics import psnr, ssim
from splat_pipeline.splatting.pictures import Picture, at_size, to_planes
from splat_pipeline.splatting.pullback import RECORD
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import Canvas, Workspace, draw, render

UInt8 = NDArray[np.uint8]
BLACK = np.zeros(3, np.float32)
PROBES = 8
"""Views on which the loss before and after the training is compared."""
STEPS = 100
"""Rows of a history, about."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands, for a person who watches."""

    iteration: int
    iterations: int
    loss: float
    """Running mean."""
    psnr_db: float
    """Of the view just trained, at the resolution just trained."""
    gaussians: int
    seconds: float
    seconds_left: float
    """An estimate."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of a training's history."""

    iteration: int
    loss: float
    """Running mean of 0.8 L1 + 0.2 (1 - SSIM)."""
    gaussians: int
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What came of a training."""

    gaussians: Gaussians
    history: list[Step]


@dataclass(kw_only=True, eq=False)
class Easel:
    """What one size of picture needs."""

    canvas: Canvas
    truth: Float32
    gradient: Float32
    maps: Float32

    @staticmethod
    def of(height_px: int, width_px: int) -> Easel:
        """Return an easel for pictures of this size."""
        shape = (3, height_px, width_px)
        return Easel(
            canvas=Canvas.of(width_px, height_px),
            truth=np.zeros(shape, np.float32),
            gradient=np.zeros(shape, np.float32),
            maps=np.zeros((3, *shape), np.float32),
        )


@dataclass(kw_only=True, eq=False)
class Studio:
    """The Gaussians in training and all the room that the work takes."""

    people: Population
    recipe: TrainRecipe
    extent: float
    """World units."""
    room: Workspace = field(default_factory=Workspace)
    easels: dict[tuple[int, int], Easel] = field(default_factory=dict)
    records: Float32 = field(default_factory=lambda: np.zeros((0, RECORD), np.float32))
    moves: int = 0
    """Adam's steps so far."""

    def easel(self, picture: Picture) -> Easel:
        """Return the easel for the picture's size."""
        height, width = picture.image.shape[:2]
        if (height, width) not in self.easels:
            self.easels[height, width] = Easel.of(height, width)
        return self.easels[height, width]

    def look(self, picture: Picture, degree: int) -> float:
        """Return the loss of the Gaussians as they are on ``picture``."""
        easel = self.easel(picture)
        rows, k = self.people.rows[: self.people.count], self.people.coefficients
        draw(rows, picture.cam, easel.canvas, self.room, degree=degree, coefficients=k, background=BLACK)
        to_planes(picture.image, easel.truth)
        weight = self.recipe.ssim_weight
        return loss_and_gradient(easel.canvas.image, easel.truth, easel.maps, easel.gradient, ssim_weight=weight)[0]

    def step(self, picture: Picture, degree: int, share: float) -> float:
        """Move the Gaussians that ``picture`` sees down its loss; return the loss before."""
        people, easel, room = self.people, self.easel(picture), self.room
        rows, k = people.rows[: people.count], people.coefficients
        canvas = easel.canvas
        drawn = draw(rows, picture.cam, canvas, room, degree=degree, coefficients=k, background=BLACK)
        to_planes(picture.image, easel.truth)
        weight = self.recipe.ssim_weight
        loss, _ = loss_and_gradient(canvas.image, easel.truth, easel.maps, easel.gradient, ssim_weight=weight)
        if len(self.records) < len(drawn.ids):
            self.records = np.zeros((len(drawn.ids) * 5 // 4, RECORD), np.float32)
        blend.blend_backward(
            drawn.flat, canvas.starts, drawn.ids, drawn.slots, canvas.used, canvas.image, easel.gradient, self.records
        )
        self.moves += 1
        optim.pull_back_and_step(
            rows,
            people.first,
            people.second,
            rates(self.recipe, self.extent, share, self.moves, people),
            np.float32(1 / np.sqrt(1 - optim.BETA2**self.moves)),
            picture.cam,
            degree,
            k,
            drawn.flat,
            drawn.visible,
            drawn.touched,
            drawn.slot_starts,
            self.records,
            people.score,
            people.seen,
        )
        return loss


def rates(recipe: TrainRecipe, extent: float, share: float, moves: int, people: Population) -> Float32:
    """Return (W,) the step of every column after ``share`` of the training, with Adam's first moment unbiased."""
    k = people.coefficients
    out = np.zeros(people.rows.shape[1])
    decay = (recipe.means_rate_end / recipe.means_rate) ** share if recipe.means_rate > 0 else 0.0
    out[layout.MEAN : layout.MEAN + 3] = recipe.means_rate * decay * extent
    out[layout.QUAT : layout.QUAT + 4] = recipe.quats_rate
    out[layout.SCALE : layout.SCALE + 3] = recipe.scales_rate
    out[layout.OPACITY] = recipe.opacity_rate
    out[layout.SH : layout.SH + 3 * k] = recipe.detail_rate
    out[layout.SH : layout.SH + 3 * k : k] = recipe.color_rate
    return (out / (1 - optim.BETA1**moves)).astype(np.float32)


@dataclass(kw_only=True, eq=False)
class Watch:
    """Keeps the history, tells the progress, and stops a training that has gone wrong."""

    iterations: int
    window: int
    clock: Callable[[], float]
    tell: Callable[[Progress], None] | None
    start: float
    last_told: float
    best: float
    """Least running mean so far; at first the loss before the training."""
    history: list[Step] = field(default_factory=list)
    recent: deque[float] = field(default_factory=deque)

    def loss(self) -> float:
        """Return the running mean."""
        return float(np.mean(self.recent)) if self.recent else float("nan")

    def note(self, iteration: int, loss: float, studio: Studio, picture: Picture, work: float) -> None:
        """Take note of an iteration (counted from 1) done. ``work``: the share of all work done so far.

        Raises ``Diverged``.
        """
        self.recent.append(loss)
        if len(self.recent) > self.window:
            self.recent.popleft()
        self._check(iteration, loss, studio)
        last = iteration == self.iterations
        seconds = self.clock() - self.start
        count = studio.people.count
        if last or iteration % max(self.iterations // STEPS, 1) == 0:
            self.history.append(Step(iteration=iteration, loss=self.loss(), gaussians=count, seconds=seconds))
        if self.tell is not None and (last or seconds - self.last_told >= 1):
            self.last_told = seconds
            easel = studio.easel(picture)
            error = float(np.mean(np.square(np.clip(easel.canvas.image, 0, 1) - easel.truth)))
            self.tell(
                Progress(
                    iteration=iteration,
                    iterations=self.iterations,
                    loss=self.loss(),
                    psnr_db=-10 * float(np.log10(max(error, 1e-12))),
                    gaussians=count,
                    seconds=seconds,
                    seconds_left=seconds * (1 - work) / work,
                )
            )

    def _check(self, iteration: int, loss: float, studio: Studio) -> None:
        if not np.isfinite(loss):
            raise Diverged(f"the loss is {loss} at iteration {iteration}")
        if iteration % self.window and iteration != self.iterations:
            return
        rows = studio.people.rows[: studio.people.count]
        if not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows)).any(axis=1).sum())
            raise Diverged(f"{bad} of {len(rows)} Gaussians are not finite at iteration {iteration}")
        self.best = min(self.best, self.loss())
        if self.loss() > 1.5 * self.best + 0.1:
            raise Diverged(f"the loss rose from {self.best:.3f} to {self.loss():.3f} at iteration {iteration}")


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
    studio = _open(images, views, points, colors, plan, recipe, rng)
    factors = [_factor(i / plan.iterations, views, recipe) for i in range(plan.iterations)]
    work = np.cumsum([1 / factor for factor in factors])
    every = max(recipe.densify_least, round(plan.iterations / recipe.densify_events))
    begin = studio.people.count
    probes = [at_size(images[i], views[i], 1) for i in range(0, len(views), -(-len(views) // PROBES))]
    before = float(np.mean([studio.look(probe, plan.sh_degree) for probe in probes]))
    start = clock()
    watch = Watch(
        iterations=plan.iterations,
        window=recipe.diverged_window,
        clock=clock,
        tell=progress,
        start=start,
        last_told=0.0,
        best=before,
    )
    pictures: list[Picture] = []
    order: list[int] = []
    for i, factor in enumerate(factors):
        share = i / plan.iterations
        if i == 0 or factor != factors[i - 1]:
            pictures = [at_size(image, view, factor) for image, view in zip(images, views, strict=True)]
        order = order or [int(v) for v in rng.permutation(len(views))]
        picture = pictures[order.pop()]
        degree = min(plan.sh_degree, int(share / recipe.degree_every)) if recipe.degree_every > 0 else plan.sh_degree
        loss = studio.step(picture, degree, share)
        watch.note(i + 1, loss, studio, picture, float(work[i] / work[-1]))
        if (i + 1) % every == 0 and recipe.densify_from <= share <= recipe.densify_until:
            prune(studio.people, studio.extent, recipe)
            wanted = target_count((i + 1 + every) / plan.iterations, begin, plan.max_gaussians, recipe)
            split(studio.people, wanted, recipe)
    after = float(np.mean([studio.look(probe, plan.sh_degree) for probe in probes]))
    if not after < recipe.trained_ratio * before:
        raise Untrained(f"the loss was {before:.4f} before and is {after:.4f} after {plan.iterations} iterations")
    return Trained(gaussians=studio.people.gaussians(), history=watch.history)


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


def _open(
    images: Sequence[UInt8],
    views: Sequence[View],
    points: NDArray[np.floating],
    colors: UInt8,
    plan: TrainingPlan,
    recipe: TrainRecipe,
    rng: np.random.Generator,
) -> Studio:
    places = points.astype(np.float64)
    if len(places) < recipe.least_points:
        many = max(recipe.least_points, round(recipe.random_share * plan.max_gaussians))
        more, tints = seeds.scatter(images, views, many, rng)
        places, colors = np.concatenate([places, more]), np.concatenate([colors, tints])
    if len(places) > plan.max_gaussians:
        some = np.sort(rng.choice(len(places), plan.max_gaussians, replace=False))
        places, colors = places[some], colors[some]
    start = seeds.first_gaussians(places, colors, plan.sh_degree, recipe)
    return Studio(people=Population.of(start, plan.max_gaussians), recipe=recipe, extent=seeds.scene_extent(views))


def _factor(share: float, views: Sequence[View], recipe: TrainRecipe) -> int:
    """Return by how much images are made smaller after ``share`` of the training: 4, 2 or 1."""
    side = min(min(view.camera.width_px, view.camera.height_px) for view in views)
    wanted = 4 if share < recipe.quarter_until else 2 if share < recipe.half_until else 1
    while wanted > 1 and side < wanted * recipe.least_side_px:
        wanted //= 2
    return wanted
