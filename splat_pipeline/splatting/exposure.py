"""What the camera did to the light of each picture: exposure and white balance, learned beside the Gaussians.

M, b  (3, 3), (3,) of one picture: what the Gaussians show, c, is compared as M c + b with what the camera saw
V     pictures; ``few`` (V, 12) holds M - I and b, by rows of (3, 4)

``gain`` learns the diagonal of M and b, ``affine`` all of both. The scene might as well be brighter and every M darker:
so the mean of M over the pictures is held at I and that of b at 0, and the Gaussians get the mean exposure of the
capture. The loss is L(M c + b) + weight (|M - I|^2 + |b|^2), so that

    dLoss/dc = M^T g        dLoss/dM = sum over pixels of g c^T + 2 weight (M - I)        dLoss/db = sum g + 2 weight b

with g = dL/d(M c + b). An affine change a picture is what Kerbl et al. 2024 (Hierarchical 3DGS, section 5) learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from splat_pipeline.splatting.few import Few
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.layout import FAST, Float32

KINDS = {
    "none": np.zeros((3, 4)),
    "gain": np.eye(3, 4) + np.eye(4)[3],
    "affine": np.ones((3, 4)),
}
"""Which entries of (M, b) are learned."""


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def recolor(image: Float32, change: Float32, out: Float32) -> None:
    """Write M c + b of every pixel of ``image`` (3, H, W) to ``out`` (3, H, W); ``change`` (3, 4): M, b."""
    for j in prange(image.shape[1]):
        red, green, blue = image[0, j], image[1, j], image[2, j]
        for channel in range(3):
            m0, m1, m2, b = change[channel, 0], change[channel, 1], change[channel, 2], change[channel, 3]
            line = out[channel, j]
            for i in range(image.shape[2]):
                line[i] = m0 * red[i] + m1 * green[i] + m2 * blue[i] + b


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def pull_recolor(image: Float32, change: Float32, gradient: Float32, sums: Float32) -> None:
    """Turn ``gradient`` (3, H, W) from dL/d(M c + b) into dL/dc; write dL/d(M, b) of each row to ``sums`` (H, 3, 4)."""
    height, width = image.shape[1], image.shape[2]
    for j in prange(height):
        for channel in range(3):
            g = gradient[channel, j]
            for other in range(3):
                total, line = np.float32(0), image[other, j]
                for i in range(width):
                    total += g[i] * line[i]
                sums[j, channel, other] = total
            total = np.float32(0)
            for i in range(width):
                total += g[i]
            sums[j, channel, 3] = total
        for i in range(width):
            g0, g1, g2 = gradient[0, j, i], gradient[1, j, i], gradient[2, j, i]
            for channel in range(3):
                gradient[channel, j, i] = g0 * change[0, channel] + g1 * change[1, channel] + g2 * change[2, channel]


@dataclass(frozen=True, kw_only=True, eq=False)
class Exposures:
    """What is learned of every picture."""

    few: Few
    learned: NDArray[np.float64]
    """(12,) 1 where an entry is learned, else 0."""
    weight: float

    @staticmethod
    def of(kind: str, views: int, *, weight: float) -> Exposures | None:
        """Return neutral exposures of ``views`` pictures; None for ``none``. Raises ``ValueError`` naming the kinds."""
        if kind not in KINDS:
            raise ValueError(f"exposure must be one of {', '.join(KINDS)}, got {kind!r}")
        if not KINDS[kind].any():
            return None
        return Exposures(few=Few.of(np.zeros((views, 12))), learned=KINDS[kind].ravel(), weight=weight)

    def change(self, picture: int) -> Float32:
        """Return (3, 4), M and b of a picture."""
        change: Float32 = (np.eye(3, 4) + self.few.values[picture].reshape(3, 4)).astype(np.float32)
        return change

    def learn(self, picture: int, image: Float32, gradient: Float32, rate: float) -> None:
        """Turn ``gradient`` (3, H, W) of the changed ``image`` into that of the image itself, and move M and b."""
        sums = np.empty((image.shape[1], 3, 4), np.float32)
        pull_recolor(image, self.change(picture), gradient, sums)
        values = self.few.values
        pull = sums.sum(axis=0, dtype=np.float64).ravel() + 2 * self.weight * values[picture]
        self.few.move(picture, pull * self.learned, rate)
        values -= values.mean(axis=0)

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return copies of what changes in training, by name."""
        return self.few.state("exposure")

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take back what ``state`` returned. Raises as ``Few.restore``."""
        self.few.restore("exposure", state)
