"""Who trains a splat, and on what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.memory import Footprint, Pictures
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.ports.progress import Say


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingViews:
    """Undistorted images and their cameras, in one order."""

    images: Sequence[NDArray[np.uint8]]
    """(H, W, 3) RGB each, of its view's size."""
    views: Sequence[View]
    keyframe_ids: Sequence[int]

    def take(self, chosen: Sequence[int]) -> TrainingViews:
        """Return those at some positions."""
        return TrainingViews(
            images=[self.images[i] for i in chosen],
            views=[self.views[i] for i in chosen],
            keyframe_ids=[self.keyframe_ids[i] for i in chosen],
        )

    def without(self, keyframe_ids: Collection[int]) -> TrainingViews:
        """Return all others."""
        if not keyframe_ids:
            return self
        return self.take([i for i, keyframe_id in enumerate(self.keyframe_ids) if keyframe_id not in keyframe_ids])


class ImageLoader(Protocol):
    """From keyframes and poses to what a trainer reads."""

    def sizes(self, keyframes: Path, poses: Path) -> Pictures:
        """Return how many images there are to train on, and how large the largest is, without reading them."""
        ...

    def load(self, keyframes: Path, poses: Path, points: Path, *, longer_side_px: int, holdout: bool) -> TrainingViews:
        """Load the registered keyframes of one split, undistorted and resampled, posed in the upright world.

        ``keyframes``, ``poses`` and ``points`` are the folders of the artifacts keyframes, camera_poses, point_cloud.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingResult:
    """What a trainer hands back."""

    gaussians: Gaussians
    history: Sequence[Mapping[str, float | None]] = field(default_factory=list)
    """Rows of ``tables.TRAINING`` without ``rung``; what is not known is NaN or None."""


class SplatTrainer(Protocol):
    """Anything that turns posed images into Gaussians."""

    @property
    def name(self) -> str:
        """As in settings and metadata."""
        ...

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        """Where it trains: decides the ladder of ``domain.plans.LADDERS``."""
        ...

    @property
    def licence(self) -> str:
        """Under which terms it may be used, for a person who must decide that."""
        ...

    @property
    def options(self) -> Collection[str]:
        """Those of ``recipe.TrainingOptions`` that it heeds; a job that asks for another one is refused."""
        ...

    def unavailable(self) -> str | None:
        """Return why it cannot be used here, in words; None when it can."""
        ...

    def train(
        self,
        views: TrainingViews,
        points: NDArray[np.float32],
        colors: NDArray[np.uint8],
        plan: TrainingPlan,
        *,
        say: Say,
        ongoing: Path | None = None,
        take_over: bool = False,
    ) -> TrainingResult:
        """Train. points (P, 3) world units, colors (P, 3) sRGB. Raises ``TrainingError``, ``OutOfMemory``.

        ``ongoing``: folder where a training that was killed finds what it had done. ``take_over``: it may
        begin with what another training of the scene, at a higher plan, left there. ``say`` gets ``Progress.line``.
        """
        ...

    def footprint(self, sh_degree: int) -> Footprint | None:
        """Return what a training takes of the memory of ``device``, with harmonics up to a degree; None: not known."""
        ...

    def free_bytes(self) -> int | None:
        """Return how much memory of an accelerator may still be taken; None: the memory is the machine's."""
        ...

    def evaluate(self, gaussians: Gaussians, views: TrainingViews) -> list[tuple[float, float]]:
        """Return (PSNR in dB, SSIM) of each view."""
        ...

    def evaluate_corrected(self, gaussians: Gaussians, views: TrainingViews) -> list[float]:
        """Return the PSNR in dB of each view after the affine change of its colours that brings it nearest the image.

        The camera's own exposure and white balance of a view that was not trained on do not count in it.
        """
        ...


class SplatTrainers(Protocol):
    """The trainers of this installation."""

    def names(self) -> Sequence[str]:
        """Return all that may be asked for."""
        ...

    def named(self, name: str) -> SplatTrainer:
        """Return one that can be used. Raises ``ToolMissing`` that says what is missing, or lists those known."""
        ...

    def chosen(self, asked: str) -> tuple[SplatTrainer, str]:
        """Return the one that ``asked``, a name or ``auto``, stands for here, and why. Raises ``ToolMissing``."""
        ...
