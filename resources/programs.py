"""The programs that we know how to call: rows for ``command_trainer``.

Arguments are those of gaussian-splatting (main of 2025), OpenSplat 1.1 and Brush 0.3 (main of 2026).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from resources.command_trainer import CommandTrainer, Places, Program

CHECKOUT, CHECKOUT_PYTHON = "SPLAT_GAUSSIAN_SPLATTING", "SPLAT_GAUSSIAN_SPLATTING_PYTHON"


def binary(name: str, variable: str) -> Callable[[], Places | str]:
    """Return what finds a program by the path in an environment variable, or else by its name."""

    def find() -> Places | str:
        asked = os.environ.get(variable) or name
        path = shutil.which(asked)
        return {"program": path} if path else f"the program {asked} is not installed ({variable} may name its path)"

    return find


def _inria() -> Places | str:
    """Find the checkout, and the Python of the environment that it was set up in."""
    folder = os.environ.get(CHECKOUT)
    if not folder:
        return f"{CHECKOUT} does not name a checkout of gaussian-splatting"
    script = Path(folder).expanduser().absolute() / "train.py"
    if not script.is_file():
        return f"{CHECKOUT}: there is no {script}"
    asked = os.environ.get(CHECKOUT_PYTHON) or sys.executable
    python = shutil.which(asked)
    return {"program": str(script), "python": python} if python else f"{CHECKOUT_PYTHON}: {asked} is no program"


GAUSSIAN_SPLATTING = CommandTrainer(
    Program(
        name="gaussian-splatting",
        licence="Inria and MPII: non-commercial research and evaluation only",
        find=_inria,
        argv=(
            "{python}", "{program}", "--source_path", "{data}", "--model_path", "{output}", "--resolution", "1",
            "--iterations", "{iterations}", "--position_lr_max_steps", "{iterations}", "--densify_until_iter", "{half}",
            "--sh_degree", "{sh_degree}", "--save_iterations", "{iterations}", "--test_iterations", "-1",
            "--disable_viewer",
        ),
        output="point_cloud/iteration_{iterations}/point_cloud.ply",
        progress=r"Training progress:.*?\| (?P<iteration>\d+)/\d+ \[(?:.*?\bLoss=(?P<loss>\d+\.\d+))?",
    )
)  # fmt: skip
OPENSPLAT = CommandTrainer(
    Program(
        name="opensplat",
        licence="AGPL-3.0",
        find=binary("opensplat", "SPLAT_OPENSPLAT"),
        argv=(
            "{program}", "{data}", "--output", "{output}/splat.ply", "--num-iters", "{iterations}",
            "--downscale-factor", "1", "--sh-degree", "{sh_degree}", "--keep-crs",
        ),
        output="splat.ply",
        progress=r"^Step (?P<iteration>\d+): (?P<loss>\d+(?:\.\d+)?)",
        least_degree=1,
    )
)  # fmt: skip
BRUSH = CommandTrainer(
    Program(
        name="brush",
        licence="Apache-2.0",
        find=binary("brush", "SPLAT_BRUSH"),
        argv=(
            "{program}", "{data}", "--total-train-iters", "{iterations}", "--max-splats", "{max_gaussians}",
            "--sh-degree", "{sh_degree}", "--max-resolution", "{longer_side_px}", "--seed", "{seed}",
            "--export-every", "{iterations}", "--export-path", "{output}", "--export-name", "splat.ply",
        ),
        output="splat.ply",
        progress=r"Refine iter (?P<iteration>\d+), (?P<gaussians>\d+) splats",
    )
)  # fmt: skip
