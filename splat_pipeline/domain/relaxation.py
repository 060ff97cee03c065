"""Frames of reference that are pulled by measured maps between them come to rest: N similarities, E edges.

Letters: N frames, E edges; seven numbers a frame, log scale, rotation vector in rad and shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.rigid import Similarity

Float = NDArray[np.float64]

MOST_STEPS = 100
"""Ten are usual."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """N similarities at once."""

    log_scale: Float
    rotation: Float
    """(N, 3, 3)."""
    shift: Float

    @classmethod
    def of(cls, poses: Sequence[Similarity]) -> Frames:
        return cls(
            log_scale=np.log([pose.scale for pose in poses]),
            rotation=np.stack([pose.rotation for pose in poses]),
            shift=np.stack([pose.translation for pose in poses]),
        )

    def similarities(self) -> list[Similarity]:
        parts = zip(np.exp(self.log_scale), self.rotation, self.shift, strict=True)
        return [Similarity(scale=float(scale), rotation=turn, translation=shift) for scale, turn, shift in parts]

    def at(self, rows: NDArray[np.int64]) -> Frames:
        return Frames(log_scale=self.log_scale[rows], rotation=self.rotation[rows], shift=self.shift[rows])

    def moved(self, x: Float) -> Frames:
        """By (N, 7) log scale, rotation vector and shift, each in the frame's own units."""
        return Frames(
            log_scale=self.log_scale + x[:, 0],
            rotation=self.rotation @ Rotation.from_rotvec(x[:, 1:4]).as_matrix(),
            shift=self.shift + np.exp(self.log_scale)[:, None] * x[:, 4:],
        )

    def between(self, other: Frames) -> Frames:
        """Return self_from_other, row by row."""
        back = self.rotation.transpose(0, 2, 1)
        apart = (back @ (other.shift - self.shift)[:, :, None])[:, :, 0] / np.exp(self.log_scale)[:, None]
        return Frames(log_scale=other.log_scale - self.log_scale, rotation=back @ other.rotation, shift=apart)

    def differences(self, found: Frames) -> Float:
        """Return (N, 7): log of the ratio of scales, rotation vector, shift; ``pose_graph.difference`` row by row."""
        turn = Rotation.from_matrix(self.rotation.transpose(0, 2, 1) @ found.rotation).as_rotvec()
        scale = (found.log_scale - self.log_scale)[:, None]
        return np.concatenate([scale, turn, found.shift - self.shift], axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """E edges between N frames."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    measured: Frames
    weight: Float
    """(E, 7)."""
    free: NDArray[np.bool_]
    """(7 N,) unknowns that may change."""

    def relaxed(self, frames: Frames) -> Frames:
        """Return the frames that fit all edges best (soft-L1), from ``frames`` on.

        Levenberg and Marquardt's method on reweighted least squares: a tenth of a second for 30 frames, where
        ``scipy.optimize.least_squares`` with the same sparse Jacobian and loss took minutes.
        """
        cost, damping = self.cost(frames), 1e-3
        for _ in range(MOST_STEPS):
            trial = frames.moved(self.step(frames, damping))
            lower = self.cost(trial)
            if lower < cost:
                settled = cost - lower <= 1e-9 * cost
                frames, cost, damping = trial, lower, damping / 10
                if settled:
                    break
            else:
                damping *= 10
                if damping > 1e6:
                    break
        return frames

    def residuals(self, first: Frames, second: Frames) -> Float:
        """Return (E, 7), what each edge misses."""
        out: Float = self.measured.differences(first.between(second)) * self.weight
        return out

    def cost(self, frames: Frames) -> float:
        """Return the soft-L1 cost."""
        gaps = self.residuals(frames.at(self.first), frames.at(self.second))
        return float((2 * (np.sqrt(1 + gaps**2) - 1)).sum())

    def step(self, frames: Frames, damping: float) -> Float:
        """Return (N, 7), what to change."""
        a, b = frames.at(self.first), frames.at(self.second)
        gaps = self.residuals(a, b)
        blocks = np.zeros((2, *gaps.shape, 7))
        for k in range(7):
            nudge = np.zeros((len(gaps), 7))
            nudge[:, k] = 1e-6
            blocks[0, :, :, k] = (self.residuals(a.moved(nudge), b) - gaps) / 1e-6
            blocks[1, :, :, k] = (self.residuals(a, b.moved(nudge)) - gaps) / 1e-6
        rows = np.broadcast_to(np.arange(gaps.size).reshape(*gaps.shape, 1), blocks.shape)
        ends = np.stack([self.first, self.second])[:, :, None, None]
        columns = np.broadcast_to(7 * ends + np.arange(7), blocks.shape)
        shape = (gaps.size, len(self.free))
        jacobian = coo_matrix((blocks.ravel(), (rows.ravel(), columns.ravel())), shape=shape).tocsc()[:, self.free]
        robust = 1 / np.sqrt(1 + gaps.ravel() ** 2)
        normal = jacobian.T @ jacobian.multiply(robust[:, None]).tocsc()
        damped = normal + diags(damping * normal.diagonal() + 1e-12)
        change = np.zeros(len(self.free))
        change[self.free] = spsolve(damped.tocsc(), -(jacobian.T @ (robust * gaps.ravel())))
        return change.reshape(-1, 7)
