"""The one value that trainers produce, exporters write and renderers draw.

N Gaussians, K = (degree + 1)^2 spherical-harmonic coefficients a colour channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

SH_C0 = 0.28209479177387814
"""Y_0^0: colour = 0.5 + SH_C0 * sh[0] (Kerbl et al. 2023, as in the reference code)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussians:
    """N anisotropic 3D Gaussians in the parametrisation that is optimised and stored in PLY files."""

    means: Float32
    """(N, 3) world units."""
    quats: Float32
    """(N, 4) wxyz, unit: rotation of the Gaussian's axes into the world."""
    log_scales: Float32
    """(N, 3) natural logarithm of the standard deviation along each axis, world units."""
    logit_opacities: Float32
    """(N,) opacity = sigmoid of this."""
    sh: Float32
    """(N, K, 3) coefficients, ordered by degree and order, last axis RGB; colour = max(0, 0.5 + sum)."""
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """sRGB in [0, 1]: what they were trained to be seen against."""
    antialiased: bool = False
    """Trained with, and to be drawn with, the 2D filter of Mip-Splatting (Yu et al. 2024): see splatting/project.py."""

    def __post_init__(self) -> None:
        n = len(self.means)
        want = {"means": (n, 3), "quats": (n, 4), "log_scales": (n, 3), "logit_opacities": (n,)}
        for name, shape in want.items():
            got = getattr(self, name)
            if got.shape != shape or got.dtype != np.float32:
                raise ValueError(f"{name} must be float32 {shape}, got {got.dtype} {got.shape}")
        if self.sh.ndim != 3 or self.sh.shape[0] != n or self.sh.shape[2] != 3 or self.sh.shape[1] not in (1, 4, 9, 16):
            raise ValueError(f"sh must be (N, 1|4|9|16, 3) with N = {n}, got {self.sh.shape}")
        if self.sh.dtype != np.float32:
            raise ValueError(f"sh must be float32, got {self.sh.dtype}")

    def __len__(self) -> int:
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        """0 to 3."""
        return {1: 0, 4: 1, 9: 2, 16: 3}[self.sh.shape[1]]

    @property
    def opacities(self) -> Float32:
        """(N,) in (0, 1)."""
        x = np.clip(self.logit_opacities, -80, 80)
        return (1 / (1 + np.exp(-x))).astype(np.float32)

    def lowered(self, degree: int) -> Gaussians:
        """Return them with harmonics up to ``degree`` only, or as they are."""
        return replace(self, sh=self.sh[:, : (degree + 1) ** 2])

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Gaussians:
        """Return the Gaussians at ``index`` (positions, a mask, or a slice, which copies nothing), in that order."""
        return replace(
            self,
            means=self.means[index],
            quats=self.quats[index],
            log_scales=self.log_scales[index],
            logit_opacities=self.logit_opacities[index],
            sh=self.sh[index],
        )
