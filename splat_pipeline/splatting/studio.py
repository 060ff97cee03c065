"""One step of a training: draw, compare, differentiate, move.

rows (N, W) float32 in ``Population``; pictures (3, H, W) float32 inside; see layout.py, render.py and optim.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import Diverged
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.splatting import blend, layout, optim, project
from splat_pipeline.splatting.background import Background
from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.exposure import Exposures, recolor
from splat_pipeline.splatting.layout import Float32
from splat_pipeline.splatting.loss import loss_and_gradient
from splat_pipeline.splatting.pictures import Picture, to_planes
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import Canvas, Drawn, Workspace, draw
from splat_pipeline.splatting.strategies import Strategy, strategy_of


@dataclass(kw_only=True, eq=False)
class Easel:
    """What one size of picture needs."""

    canvas: Canvas
    shown: Float32
    """The picture as it is compared with the truth: with the exposure of its view."""
    truth: Float32
    gradient: Float32

    @staticmethod
    def of(height_px: int, width_px: int, *, deep: bool, recolored: bool) -> Easel:
        """Return an easel for pictures of this size, with alpha and depth if ``deep``, and exposures apart or not."""
        shape = (3, height_px, width_px)
        canvas = Canvas.of(width_px, height_px, deep=deep)
        return Easel(
            canvas=canvas,
            shown=np.zeros(shape, np.float32) if recolored else canvas.image,
            truth=np.zeros(shape, np.float32),
            gradient=np.zeros(shape, np.float32),
        )


@dataclass(kw_only=True, eq=False)
class Studio:
    """The Gaussians in training and all the room that the work takes."""

    people: Population
    recipe: TrainRecipe
    extent: float
    """World units."""
    seed: int = 0
    views: int = 1
    """Pictures that are trained on."""
    room: Workspace = field(default_factory=Workspace)
    easels: dict[tuple[int, int], Easel] = field(default_factory=dict)
    records: Float32 = field(default_factory=lambda: layout.make_records(0))
    moves: int = 0
    """Adam's steps so far."""
    background: Background = field(init=False)
    exposures: Exposures | None = field(init=False)
    strategy: Strategy = field(init=False)

    def __post_init__(self) -> None:
        self.strategy = strategy_of(self.recipe, extent=self.extent, seed=self.seed)
        self.background = Background.of(self.recipe.background, seed=self.seed, fade=self.recipe.background_fade)
        self.exposures = Exposures.of(self.recipe.exposure, self.views, weight=self.recipe.exposure_weight)

    def easel(self, picture: Picture) -> Easel:
        """Return the easel for the picture's size."""
        height, width = picture.image.shape[:2]
        if (height, width) not in self.easels:
            self.easels[height, width] = Easel.of(
                height, width, deep=self.background.learns, recolored=self.exposures is not None
            )
        return self.easels[height, width]

    def look(self, picture: Picture, degree: int) -> float:
        """Return the loss of the Gaussians as they are on ``picture``, harmonics up to ``degree``."""
        return self._compare(picture, degree, self.background.still())[1]

    def step(self, picture: Picture, degree: int, share: float) -> float:
        """Move the Gaussians that ``picture`` sees after ``share`` of the training; return the loss before."""
        drawn, loss = self._compare(picture, degree, self.background.at(self.moves, share))
        cam = self._cam(picture)
        people, easel, canvas = self.people, self.easel(picture), self.easel(picture).canvas
        if self.exposures is not None:
            first, last = self.recipe.exposure_rate, self.recipe.exposure_rate_end
            self.exposures.learn(picture.number, canvas.image, easel.gradient, first * (last / first) ** share)
        if len(self.records) < len(drawn.ids):
            self.records = layout.make_records(len(self.room.ids))
        blend.blend_backward(
            drawn.flat,
            canvas.starts,
            drawn.ids,
            drawn.slots,
            canvas.used,
            drawn.blocks,
            canvas.image,
            easel.gradient,
            self.records,
        )
        self.moves += 1
        optim.pull_back_and_step(
            people.rows[: people.count],
            people.first,
            people.second,
            self.moves,
            rates(self.recipe, self.extent, share, self.moves, people),
            np.float32(1 / np.sqrt(1 - optim.BETA2**self.moves)),
            cam,
            degree if self.moves % self.recipe.detail_every == 0 else 0,
            drawn.flat,
            drawn.visible,
            drawn.touched,
            drawn.slot_starts,
            self.records,
            people.score,
            people.seen,
            people.weight,
            pulls(self.recipe, self.strategy.penalties(picture.factor), self.extent, people.count),
        )
        self.strategy.stir(people, means_rate(self.recipe, self.extent, share), self.moves)
        if self.background.learns:
            self.background.learn(canvas.extra[0], easel.gradient, self.recipe.background_rate * (1 - share))
        return loss

    def adapt(self, wanted: int) -> None:
        """Have Gaussians come and go, on the way to ``wanted``. Raises ``Diverged`` when none is left."""
        self.strategy.adapt(self.people, wanted, self.moves)
        if self.people.count == 0:
            raise Diverged(f"all Gaussians were transparent or beyond all measure after {self.moves} steps")

    def gaussians(self) -> Gaussians:
        """Return a copy of what has been trained, with how it is to be drawn."""
        red, green, blue = (round(float(value), 6) for value in self.background.still())
        trained = self.people.gaussians()
        return replace(trained, background=(red, green, blue), antialiased=self.recipe.antialias)

    def finish(self) -> Gaussians:
        """Return what has been trained and give up all else: a copy beside it would be the peak of the memory."""
        self.room, self.records = Workspace(), layout.make_records(0)
        self.easels.clear()
        self.people.forget()
        return self.gaussians()

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return copies, by name, of all but ``people`` that a checkpoint needs: a step after it is the same again."""
        learned = {} if self.exposures is None else self.exposures.state()
        return {"moves": np.array(float(self.moves)), **self.background.state(), **learned}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take back what ``state`` returned. Raises ``KeyError``, and ``ValueError`` for arrays of another shape."""
        self.moves = int(state["moves"])
        self.background.restore(state)
        if self.exposures is not None:
            self.exposures.restore(state)

    def _cam(self, picture: Picture) -> Float32:
        """Return ``picture.cam`` with what the recipe says of antialiasing."""
        cam = picture.cam.copy()
        cam[project.ANTIALIASED] = self.recipe.antialias
        return cam

    def _compare(self, picture: Picture, degree: int, behind: Float32) -> tuple[Drawn, float]:
        """Draw, and fill the easel's gradient; return what was drawn and the loss."""
        people, easel = self.people, self.easel(picture)
        rows = people.rows[: people.count]
        drawn = draw(
            rows,
            self._cam(picture),
            easel.canvas,
            self.room,
            degree=degree,
            background=behind,
            least_weight=self.recipe.least_weight,
        )
        to_planes(picture.image, easel.truth)
        if self.exposures is not None:
            recolor(easel.canvas.image, self.exposures.change(picture.number), easel.shown)
        weights = {"ssim_weight": self.recipe.coarse_ssim_weight}
        if picture.factor == 1:
            weights = {"ssim_weight": self.recipe.ssim_weight, "square_weight": self.recipe.square_weight}
        loss, _ = loss_and_gradient(easel.shown, easel.truth, easel.gradient, **weights)
        return drawn, loss


def pulls(
    recipe: TrainRecipe, penalties: tuple[float, float], extent: float, count: int
) -> tuple[np.float32, np.float32]:
    """Return the derivative of the penalty by each opacity and by each standard deviation, of ``count`` Gaussians.

    ``penalties``: weights of opacity and scale where the recipe names none.
    """
    opacity = penalties[0] if recipe.opacity_weight is None else recipe.opacity_weight
    scale = penalties[1] if recipe.scale_weight is None else recipe.scale_weight
    return np.float32(opacity / count), np.float32(scale / (3 * count * extent))


def means_rate(recipe: TrainRecipe, extent: float, share: float) -> float:
    """Return the step of the means after ``share`` of the training, world units."""
    decay = (recipe.means_rate_end / recipe.means_rate) ** share if recipe.means_rate > 0 else 0.0
    return float(recipe.means_rate * decay * extent)


def rates(recipe: TrainRecipe, extent: float, share: float, moves: int, people: Population) -> Float32:
    """Return (W,) the step of every column after ``share`` of the training, with Adam's first moment unbiased."""
    out = np.zeros(people.rows.shape[1])
    out[layout.MEAN : layout.MEAN + 3] = means_rate(recipe, extent, share)
    late = max(share - recipe.anneal_from, 0.0) / max(1 - recipe.anneal_from, 1e-9)
    calm = recipe.anneal_to**late
    out[layout.QUAT : layout.QUAT + 4] = recipe.quats_rate * calm
    out[layout.SCALE : layout.SCALE + 3] = recipe.scales_rate * calm
    out[layout.OPACITY] = recipe.opacity_rate * calm
    out[layout.COLOR : layout.COLOR + 3] = recipe.color_rate * calm
    out[layout.SH :] = recipe.detail_rate * calm
    out[: layout.LINE] /= 1 - optim.BETA1**moves
    return out.astype(np.float32)
