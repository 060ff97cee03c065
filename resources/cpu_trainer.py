"""The trainer that needs no accelerator: ``splat_pipeline.splatting`` behind the port ``SplatTrainer``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resources.eyes import OurEyes
from splat_pipeline.domain.errors import OutOfMemory
from splat_pipeline.domain.memory import Footprint
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.ports.progress import Say
from splat_pipeline.ports.training import TrainingResult, TrainingViews


class CpuTrainer(OurEyes):
    """Trains in this process, on as many threads as numba is given (``NUMBA_NUM_THREADS``).

    Where cores are shared, start the process with ``OMP_WAIT_POLICY=passive``: GNU OpenMP's threads wait for each other
    in a busy loop otherwise, which halves the speed as soon as another program wants one of the cores.
    """

    name: str = "cpu"
    device: Literal["cpu", "gpu"] = "cpu"
    licence: str = "Apache-2.0"
    options: Collection[str] = frozenset(
        {"strategy", "exposure", "background", "antialias", "opacity_weight", "scale_weight"}
    )

    def unavailable(self) -> str | None:
        """Return None: it needs nothing."""
        return None

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
        seconds: float | None = None,
    ) -> TrainingResult:
        """Train. points (P, 3) world units, colors (P, 3) sRGB. Raises ``TrainingError``, ``OutOfMemory``.

        ``ongoing`` holds checkpoints. ``seconds``: train for so long instead of the plan's iterations.
        """
        from splat_pipeline.splatting.train import Checkpoints, TrainRecipe, train

        try:
            trained = train(
                views.images,
                views.views,
                points,
                colors,
                plan,
                recipe=TrainRecipe(**plan.options),
                progress=lambda at: say(at.line()),
                seconds=seconds,
                checkpoints=Checkpoints(folder=ongoing, say=say, take_over=take_over) if ongoing else None,
            )
        except MemoryError as error:
            wanted = f"{len(views.images)} images of {plan.longer_side_px} px and {plan.max_gaussians} Gaussians"
            raise OutOfMemory(f"no memory to train on {wanted}") from error
        return TrainingResult(gaussians=trained.gaussians, history=[asdict(step) for step in trained.history])

    def footprint(self, sh_degree: int) -> Footprint:
        """Return what a training takes, as its arrays have it."""
        from splat_pipeline.splatting.footprint import footprint

        return footprint(sh_degree)

    def free_bytes(self) -> int | None:
        """Return None: it takes the machine's own memory."""
        return None


TRAINER = CpuTrainer()
