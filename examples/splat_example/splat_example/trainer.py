"""The trainer ``points``: a row that says how a program is found, called and read."""

from __future__ import annotations

import sys
from pathlib import Path

from resources.command_trainer import CommandTrainer, Places, Program

PROGRAM = Path(__file__).with_name("points_program.py")


def find() -> Places | str:
    """Say where the program is, or why it cannot be used. A program of another environment names its Python here."""
    return {"program": str(PROGRAM), "python": sys.executable} if PROGRAM.is_file() else f"{PROGRAM} is missing"


TRAINER = CommandTrainer(
    Program(
        name="points",
        licence="Apache-2.0",
        find=find,
        argv=(
            "{python}", "{program}", "--data", "{data}", "--out", "{output}/splat.ply",
            "--degree", "{sh_degree}", "--iterations", "{iterations}",
        ),
        output="splat.ply",
        progress=r"^step (?P<iteration>\d+) loss (?P<loss>[\d.]+)",
        device="cpu",
        time_limit_s=600,
    )
)  # fmt: skip
