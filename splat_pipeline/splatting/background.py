"""What the Gaussians are drawn against while they are trained: a colour (3,) sRGB in [0, 1].

``black``, ``white`` and ``#rrggbb`` stay what they are. ``random`` is another colour at every iteration, so that no
Gaussian can leave a gap where the truth happens to have the colour behind; afterwards it is black. ``learned`` begins
grey and follows its gradient: dLoss/d background = sum over pixels of (1 - alpha) dLoss/dC.

Where a ``fade`` is asked for, a colour that stays is reached from grey, along a straight line: as long as Gaussians are
faint, black behind them makes them pale. Random colours darken to black alike: they close the gaps early, and later on
their noise would keep the Gaussians from coming to rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.splatting.chance import Purpose, dice
from splat_pipeline.splatting.few import Few
from splat_pipeline.splatting.layout import Float32

RANDOM, LEARNED = "random", "learned"
GREY = 0.5
FIXED = {"black": "#000000", "white": "#ffffff"}


@dataclass(kw_only=True, eq=False)
class Background:
    """One of the ways above."""

    name: str
    seed: int = 0
    fade: float = 0.0
    """Share of the training after which the colour outside of training is reached; 0: a random one never reaches it."""
    color: Few = field(default_factory=lambda: Few.of(np.zeros((1, 3))))
    """The colour outside of training."""

    @staticmethod
    def of(name: str, *, seed: int, fade: float = 0.0) -> Background:
        """Return the background called ``name``. Raises ``ValueError`` naming what there is."""
        if name in (RANDOM, LEARNED):
            first = np.full((1, 3), GREY if name == LEARNED else 0.0)
            return Background(name=name, seed=seed, fade=fade, color=Few.of(first))
        spelled = FIXED.get(name, name)
        if not re.fullmatch(r"#[0-9a-f]{6}", spelled.lower()):
            known = ", ".join([*FIXED, RANDOM, LEARNED])
            raise ValueError(f"background must be one of {known} or a colour as #rrggbb, got {name!r}")
        rgb = [int(spelled[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return Background(name=name, seed=seed, fade=fade, color=Few.of(np.array([rgb])))

    @property
    def learns(self) -> bool:
        """Whether ``learn`` is to be called, which needs the picture's alpha."""
        return self.name == LEARNED

    def still(self) -> Float32:
        """Return (3,) the colour as it is outside of training."""
        color: Float32 = self.color.values[0].astype(np.float32)
        return color

    def at(self, step: int, share: float) -> Float32:
        """Return (3,) the colour to train against at ``step``, after ``share`` of the training."""
        if self.name == LEARNED:
            return self.still()
        way = min(share / self.fade, 1.0) if self.fade > 0 else float(self.name != RANDOM)
        first: Float32 = np.full(3, GREY, np.float32)
        if self.name == RANDOM:
            first = dice(self.seed, Purpose.BACKGROUND, step).random(3, np.float32)
        return self.still() * np.float32(way) + first * np.float32(1 - way)

    def learn(self, alpha: Float32, gradient: Float32, rate: float) -> None:
        """Follow ``gradient`` (3, H, W), dLoss/d picture, where ``alpha`` (H, W) lets the background through."""
        rows = np.einsum("hw,chw->ch", 1 - alpha, gradient)
        self.color.move(0, rows.sum(axis=1, dtype=np.float64), rate)
        np.clip(self.color.values, 0, 1, out=self.color.values)

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return copies of what changes in training, by name."""
        return self.color.state("background")

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take back what ``state`` returned. Raises as ``Few.restore``."""
        self.color.restore("background", state)
