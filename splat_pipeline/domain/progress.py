"""Where a training stands: as numbers, and as a line of a log that can be read back as numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of a training's history: ``tables.TRAINING`` without ``rung``."""

    iteration: int
    loss: float
    """Running mean of 0.8 L1 + 0.2 (1 - SSIM)."""
    psnr_db: float
    """Running mean over the views just trained, at the resolution just trained."""
    gaussians: int
    factor: int
    """By how much images were made smaller: 4, 2 or 1."""
    seconds: float
    """Since the training began, over all processes that worked on it."""


@dataclass(frozen=True, kw_only=True)
class Progress(Step):
    """Where a training stands, for a person who watches."""

    iterations: int
    """In all; an estimate where a training has been given seconds."""
    seconds_left: float
    """An estimate."""

    def line(self) -> str:
        """Return it in words."""
        return (
            f"iteration {self.iteration} of {self.iterations}: loss {self.loss:.4f}, {self.psnr_db:.1f} dB at "
            f"1/{self.factor}, {self.gaussians} Gaussians, {self.seconds:.0f} s, about {self.seconds_left:.0f} s left"
        )


_LINE = re.compile(
    r"iteration (?P<iteration>\d+) of (?P<iterations>\d+): loss (?P<loss>\d+\.\d+), (?P<psnr_db>-?\d+\.\d) dB at "
    r"1/(?P<factor>\d+), (?P<gaussians>\d+) Gaussians, (?P<seconds>\d+) s, about (?P<seconds_left>\d+) s left"
)


def progress_of(line: str) -> Progress | None:
    """Return what ``Progress.line`` said, as exactly as it did, or None when ``line`` is another."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    return Progress(
        iteration=int(found["iteration"]),
        iterations=int(found["iterations"]),
        loss=float(found["loss"]),
        psnr_db=float(found["psnr_db"]),
        factor=int(found["factor"]),
        gaussians=int(found["gaussians"]),
        seconds=float(found["seconds"]),
        seconds_left=float(found["seconds_left"]),
    )
