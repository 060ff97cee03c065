"""The trainer that needs no accelerator: ``splat_pipeline.splatting`` behind the port ``SplatTrainer``."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import OutOfMemory
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.ports import Say, TrainingResult, TrainingViews


class CpuTrainer:
    """Trains in this process, on as many threads as numba is given (``NUMBA_NUM_THREADS``).

    Where cores are shared, start the process with ``OMP_WAIT_POLICY=passive``: GNU OpenMP's threads wait for each other
    in a busy loop otherwise, which halves the speed as soon as another program wants one of the cores.
    """

    name = "cpu"

    def train(
        self,
        views: TrainingViews,
        points: NDArray[np.float32],
        colors: NDArray[np.uint8],
        plan: TrainingPlan,
        *,
        say: Say,
    ) -> TrainingResult:
        """Train. points (P, 3) world units, colors (P, 3) sRGB. Raises ``TrainingError``, ``OutOfMemory``."""
        from splat_pipeline.splatting.train import Progress, TrainRecipe, train

        def tell(at: Progress) -> None:
            say(
                f"iteration {at.iteration} of {at.iterations}: loss {at.loss:.4f}, {at.psnr_db:.1f} dB, "
                f"{at.gaussians} Gaussians, {at.seconds:.0f} s, about {at.seconds_left:.0f} s left"
            )

        recipe = TrainRecipe(**plan.options)
        try:
            trained = train(views.images, views.views, points, colors, plan, progress=tell, recipe=recipe)
        except MemoryError as error:
            wanted = f"{len(views.images)} images of {plan.longer_side_px} px and {plan.max_gaussians} Gaussians"
            raise OutOfMemory(f"no memory to train on {wanted}") from error
        return TrainingResult(gaussians=trained.gaussians, history=[asdict(step) for step in trained.history])

    def evaluate(self, gaussians: Gaussians, views: TrainingViews) -> list[tuple[float, float]]:
        """Return (PSNR in dB, SSIM) of each view."""
        from splat_pipeline.splatting.train import evaluate

        return evaluate(gaussians, views.images, views.views)

    def evaluate_corrected(self, gaussians: Gaussians, views: TrainingViews) -> list[float]:
        """Return the PSNR in dB of each view after the affine change of its colours that fits its image best."""
        from splat_pipeline.splatting.train import evaluate_corrected

        return evaluate_corrected(gaussians, views.images, views.views)
