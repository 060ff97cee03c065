"""Adam for the few numbers of a training that are not Gaussians': rows of them, of which one moves at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.splatting.optim import BETA1, BETA2

Float64 = NDArray[np.float64]
EPSILON = 1e-15


@dataclass(kw_only=True, eq=False)
class Few:
    """``values`` (R, C) with Adam's moments alike and ``steps`` (R,), how often each row has moved."""

    values: Float64
    first: Float64
    second: Float64
    steps: Float64

    @staticmethod
    def of(values: Float64) -> Few:
        """Return ``values`` (R, C) at rest."""
        still = np.zeros_like(values)
        return Few(values=values.copy(), first=still, second=still.copy(), steps=np.zeros(len(values)))

    def move(self, row: int, gradient: Float64, rate: float) -> None:
        """Move ``row`` against its ``gradient`` (C,) by at most about ``rate`` (Kingma and Ba 2015, algorithm 1)."""
        self.steps[row] += 1
        self.first[row] = BETA1 * self.first[row] + (1 - BETA1) * gradient
        self.second[row] = BETA2 * self.second[row] + (1 - BETA2) * gradient**2
        mean = self.first[row] / (1 - BETA1 ** self.steps[row])
        spread = np.sqrt(self.second[row] / (1 - BETA2 ** self.steps[row]))
        self.values[row] -= rate * mean / (spread + EPSILON)

    def state(self, name: str) -> dict[str, Float64]:
        """Return copies of all arrays by names that begin with ``name``."""
        return {f"{name}.{key}": getattr(self, key).copy() for key in ("values", "first", "second", "steps")}

    def restore(self, name: str, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take back what ``state`` returned. Raises ``KeyError``, and ``ValueError`` for arrays of another shape."""
        for key in ("values", "first", "second", "steps"):
            mine, kept = getattr(self, key), state[f"{name}.{key}"]
            if kept.shape != mine.shape:
                raise ValueError(f"{name}.{key} must be {mine.shape}, got {kept.shape}")
            mine[...] = kept
