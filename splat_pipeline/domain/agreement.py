"""The similarity on which most of N positions agree, though some are far off.

Least median of squares (Rousseeuw and Leroy 1987, chapter 5): of many similarities through few positions, the one whose
median error is least; then least squares on all that agree with it. Up to half of the positions may be wrong.
``alignment.align`` does the same for points along rays, where it is the angle that must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.rigid import Similarity, fit_similarity

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
Fit = Callable[[Float, Float], Similarity]

TRIALS = 400
WITHIN = 3.5
"""Standard deviations of an axis: keeps 99.8 % of two, 99.3 % of three axes' normal errors."""
FLOOR_M = 0.02
"""EXIF and SRT round to a hundredth of a metre at the best."""
_MEDIAN = {2: 1.1774, 3: 1.5382}
"""Median length of a vector of so many standard normal numbers (Rayleigh and Maxwell distributions)."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is fitted."""

    axes: int
    """On which positions are compared: 2 are the level ones."""
    least: int
    fit: Fit


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreed:
    """A similarity, and who agrees with it."""

    similarity: Similarity
    """Metres from local axes."""
    inliers: Mask
    """(N,)."""
    residual: Float
    """(N, 3) metres; up is NaN where unknown."""
    sigma_m: float
    """Of one axis of one position."""


def agreed(local: Float, enu: Float, kind: Kind, rng: np.random.Generator) -> Agreed | None:
    """Return the similarity of the half of the positions that agree best, fitted to all that agree with it."""
    best, least = None, np.inf
    for similarity in _trials(local, enu, kind, rng):
        middle = float(np.median(_lengths(similarity, local, enu, kind)))
        if middle < least:
            best, least = similarity, middle
    if best is None:
        return None
    sigma = max(FLOOR_M, least / _MEDIAN[kind.axes] * (1 + 5 / (len(local) - kind.least)))
    inliers = np.ones(len(local), bool)
    for _ in range(10):
        inliers = _lengths(best, local, enu, kind) <= WITHIN * sigma
        try:
            best = kind.fit(local[inliers], enu[inliers])
        except ValueError:
            return None
        squares = float((_lengths(best, local[inliers], enu[inliers], kind) ** 2).sum())
        freedom = kind.axes * int(inliers.sum()) - (7 if kind.axes == 3 else 4)
        sigma = max(FLOOR_M, float(np.sqrt(squares / max(1, freedom))))
    return Agreed(similarity=best, inliers=inliers, residual=best.points(local) - enu, sigma_m=sigma)


def _trials(local: Float, enu: Float, kind: Kind, rng: np.random.Generator) -> Iterator[Similarity]:
    for _ in range(TRIALS):
        few = rng.choice(len(local), kind.least, replace=False)
        try:
            similarity = kind.fit(local[few], enu[few])
        except ValueError:  # at one place, or on one line
            continue
        if np.isfinite(similarity.scale) and similarity.scale > 1e-9:
            yield similarity


def _lengths(similarity: Similarity, local: Float, enu: Float, kind: Kind) -> Float:
    lengths: Float = np.linalg.norm((similarity.points(local) - enu)[:, : kind.axes], axis=1)
    return lengths


def _level(local: Float, enu: Float) -> Similarity:
    """Return the similarity about the vertical of least squares over level positions; heights by their median.

    With places as complex numbers it is one linear equation, z' = a z + b. Raises ``ValueError`` for one place.
    """
    z, w = local[:, 0] + 1j * local[:, 1], enu[:, 0] + 1j * enu[:, 1]
    spread = float((np.abs(z - z.mean()) ** 2).sum())
    if spread <= 1e-18:
        raise ValueError("the positions are at one place")
    a = ((w - w.mean()) * np.conj(z - z.mean())).sum() / spread
    b = w.mean() - a * z.mean()
    scale = float(abs(a))
    if scale <= 0:
        raise ValueError("the positions are at one place")
    c, s = a.real / scale, a.imag / scale
    rises = enu[:, 2] - scale * local[:, 2]
    rise = float(np.median(rises[np.isfinite(rises)])) if np.isfinite(rises).any() else 0.0
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Similarity(scale=scale, rotation=rotation, translation=np.array([b.real, b.imag, rise]))


FREE = Kind(axes=3, least=3, fit=fit_similarity)
"""Every rotation."""
LEVEL = Kind(axes=2, least=2, fit=_level)
"""Rotation about the vertical; heights are not compared."""
