"""Runs gsplat's own example trainer as it is, but for LPIPS, whose network would be fetched and is not compared.

It gets one GPU, as ours does: of several it would take all, with as many pictures at a time.

PYTHON gsplat_example.py CHECKOUT/examples/simple_trainer.py ARGUMENTS...
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
import torchmetrics.image.lpip as lpips


class NotCompared(torch.nn.Module):
    """Stands where the metric is made; nobody asks it, for nothing is evaluated while time is taken."""

    def __init__(self, **_: Any) -> None:
        """Take what the metric takes."""
        super().__init__()


if __name__ == "__main__":
    # Read when CUDA is first used, which is later.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    lpips.LearnedPerceptualImagePatchSimilarity = NotCompared
    script = Path(sys.argv[1]).resolve()
    sys.argv = [str(script), *sys.argv[2:]]
    sys.path[0] = str(script.parent)
    runpy.run_path(str(script), run_name="__main__")
