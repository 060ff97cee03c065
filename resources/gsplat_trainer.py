"""The trainer for NVIDIA GPUs: gsplat behind the port ``SplatTrainer``; the code is in ``resources/gpu``.

torch and gsplat are an extra (``pip install .[gsplat]``) and imported when they are needed, never in Dagster's fork
server: CUDA does not survive a fork.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resources.eyes import OurEyes
from splat_pipeline.domain.memory import Footprint
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.domain.recipe import TrainingOptions
from splat_pipeline.ports.progress import Say
from splat_pipeline.ports.training import TrainingResult, TrainingViews

EXTRA = "pip install 'splat_pipeline[gsplat]'"
FLOAT = 4


class GsplatTrainer(OurEyes):
    """Trains in this process, on one GPU: that with the most free memory which no other training has."""

    name: str = "gsplat"
    device: Literal["cpu", "gpu"] = "gpu"
    licence: str = "Apache-2.0"
    options: Collection[str] = frozenset(TrainingOptions.model_fields) - {"time_limit_s"}

    def unavailable(self) -> str | None:
        """Return what is missing: a package, a GPU that torch can use, or gsplat's kernels and what builds them."""
        for package in ("torch", "gsplat"):
            if find_spec(package) is None:
                return f"the package {package} is not installed: {EXTRA}"
        import torch

        if not torch.cuda.is_available():
            why = "it is built for the CPU only" if torch.version.cuda is None else "no GPU, or no driver for it"
            return f"torch {torch.__version__} sees no CUDA device: {why}"
        if find_spec("gsplat.csrc") is None and not has_nvcc():
            return "gsplat has no built kernels and there is no nvcc to build them: install the CUDA toolkit"
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
    ) -> TrainingResult:
        """Train. Raises ``TrainingError``, ``OutOfMemory``, ``DriverLost``. ``ongoing`` holds checkpoints."""
        import torch

        from resources.gpu.devices import emptiest_first, taken
        from resources.gpu.faults import classified
        from resources.gpu.recipe import GpuRecipe
        from resources.gpu.train import Capture, train
        from splat_pipeline.splatting.checkpoint import Checkpoints

        capture = Capture(images=views.images, views=views.views, points=points, colors=colors)
        what = f"{len(views.images)} images of {plan.longer_side_px} px and {plan.max_gaussians} Gaussians"
        # Random numbers, and their state in checkpoints, are those of the device that torch takes for the current one.
        with classified(f"to train {what}"), taken(emptiest_first()) as device, torch.cuda.device(device):
            say(f"training on {device}")
            trained = train(
                capture,
                plan,
                GpuRecipe.of(plan, on_gpu=True),
                device=device,
                progress=lambda at: say(at.line()),
                checkpoints=Checkpoints(folder=ongoing, say=say, take_over=take_over) if ongoing else None,
            )
        return TrainingResult(gaussians=trained.gaussians, history=[asdict(step) for step in trained.history])

    def footprint(self, sh_degree: int) -> Footprint:
        """Return what a training takes of the GPU, by the sizes of its tensors. No GPU has confirmed it yet.

        A Gaussian: its 11 + 3 K numbers with gradient and both moments; activated, projected and lit copies with
        their gradients. A pixel: the filtered pictures of SSIM that autograd keeps. A pair: key and value, sorted.
        """
        numbers = 11 + 3 * (sh_degree + 1) ** 2
        return Footprint(
            image=3.0,
            pixel=FLOAT * 100.0,
            gaussian=FLOAT * (4.0 * numbers + 2 * 3 * (sh_degree + 1) ** 2 + 60),
            copied=FLOAT * 2.0 * 3 * (sh_degree + 1) ** 2,
            pair=32.0,
            fixed=700_000_000.0,
        )

    def free_bytes(self) -> int | None:
        """Return the free memory of the GPU that has most of it; what a failed training left to torch is given back."""
        import torch

        gc.collect()
        torch.cuda.empty_cache()
        count = torch.cuda.device_count()
        return max((int(torch.cuda.mem_get_info(number)[0]) for number in range(count)), default=None)


def has_nvcc() -> bool:
    """Tell whether the CUDA compiler is there, where torch looks for it."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    return shutil.which("nvcc") is not None or any(home and (Path(home) / "bin" / "nvcc").is_file() for home in homes)


TRAINER = GsplatTrainer()
