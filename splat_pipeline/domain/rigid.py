"""Rigid motions and similarities of space.

R (3, 3) rotation, t (3,) translation, s scale. A rigid motion is a (4, 4) float64 matrix [[R, t], [0, 1]]; matrices map
right to left: ``cam_from_world = cam_from_rig @ rig_from_world``. Quaternions are wxyz, unit, Hamilton's convention.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]


def rotation_from_quat(quat: ArrayLike) -> Float:
    """Return (..., 3, 3) rotations of (..., 4) quaternions wxyz, unit or not. Raises ``ValueError`` on zero."""
    q = np.asarray(quat, np.float64)
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    if not np.isfinite(norm).all() or (norm < 1e-12).any():
        raise ValueError(f"a quaternion must be finite and not zero, got {q}")
    w, x, y, z = np.moveaxis(q / norm, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quat_from_rotation(rotation: ArrayLike) -> Float:
    """Return (4,) wxyz with w >= 0 of a (3, 3) rotation: the eigenvector of Bar-Itzhack 2000, stable at every angle."""
    r = np.asarray(rotation, np.float64)
    k = np.array(
        [
            [r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
            [r[0, 2] - r[2, 0], r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1]],
            [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    quat: Float = np.linalg.eigh(k)[1][:, -1]
    return -quat if quat[0] < 0 else quat


def rigid(rotation: ArrayLike, translation: ArrayLike) -> Float:
    """Return the (4, 4) matrix of (3, 3) ``rotation`` and (3,) ``translation``."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, translation
    return out


def inverse(motion: Float) -> Float:
    """Return the inverse of a (4, 4) rigid motion."""
    rotation = motion[:3, :3].T
    return rigid(rotation, -rotation @ motion[:3, 3])


def angle_deg(rotation: ArrayLike) -> float:
    """Return the angle of a (3, 3) rotation, 0 to 180. Exact near both ends (atan2 of the quaternion's halves)."""
    quat = quat_from_rotation(rotation)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(quat[1:]), quat[0])))


@dataclass(frozen=True, kw_only=True, eq=False)
class Similarity:
    """A map ``x -> scale * rotation @ x + translation``, named like ``world_from_sfm``."""

    scale: float
    rotation: Float
    """(3, 3)."""
    translation: Float
    """(3,) units of the target."""

    @classmethod
    def identity(cls) -> Similarity:
        """Return the map that changes nothing."""
        return cls(scale=1.0, rotation=np.eye(3), translation=np.zeros(3))

    def __matmul__(self, other: Similarity) -> Similarity:
        return Similarity(
            scale=self.scale * other.scale,
            rotation=self.rotation @ other.rotation,
            translation=self.points(other.translation),
        )

    def points(self, points: ArrayLike) -> Float:
        """Return (..., 3) points mapped."""
        mapped: Float = self.scale * (np.asarray(points, np.float64) @ self.rotation.T) + self.translation
        return mapped

    def inverse(self) -> Similarity:
        """Return the map back."""
        rotation = self.rotation.T
        return Similarity(
            scale=1 / self.scale, rotation=rotation, translation=-(rotation @ self.translation) / self.scale
        )

    def pose(self, cam_from_source: Float) -> Float:
        """Return (4, 4) cam_from_target: the same camera in the target's frame, distances times ``scale``."""
        rotation = cam_from_source[:3, :3] @ self.rotation.T
        return rigid(rotation, self.scale * cam_from_source[:3, 3] - rotation @ self.translation)

    def to_json(self) -> dict[str, float]:
        """Return ``{scale, qw, qx, qy, qz, tx, ty, tz}``."""
        values = [self.scale, *quat_from_rotation(self.rotation), *self.translation]
        return dict(zip(_KEYS, map(float, values), strict=True))

    @classmethod
    def from_json(cls, data: dict[str, float]) -> Similarity:
        """Invert ``to_json``. Raises ``KeyError`` on a missing key."""
        scale, *rest = (float(data[key]) for key in _KEYS)
        return cls(scale=scale, rotation=rotation_from_quat(rest[:4]), translation=np.array(rest[4:]))


_KEYS = ("scale", "qw", "qx", "qy", "qz", "tx", "ty", "tz")


def fit_similarity(
    source: ArrayLike, target: ArrayLike, *, with_scale: bool = True, weights: ArrayLike | None = None
) -> Similarity:
    """Return target_from_source of least squares over N >= 3 pairs (N, 3) (Umeyama 1991, equations 40 to 42).

    ``weights``: (N,) >= 0 of the squares; None: all alike. Raises ``ValueError`` when the points are fewer than three,
    or on one line.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3 or len(a) < 3:
        raise ValueError(f"need two (N >= 3, 3) arrays of one shape, got {a.shape} and {b.shape}")
    w = np.ones(len(a)) if weights is None else np.asarray(weights, np.float64)
    w = (w / w.sum())[:, None]
    mean_a, mean_b = (w * a).sum(0), (w * b).sum(0)
    variance = float((w * (a - mean_a) ** 2).sum())
    u, d, vt = np.linalg.svd((w * (b - mean_b)).T @ (a - mean_a))
    if variance == 0 or d[1] <= 1e-12 * d[0]:
        raise ValueError("the points lie on one line: a similarity is not determined")
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / variance) if with_scale else 1.0
    return Similarity(scale=scale, rotation=rotation, translation=mean_b - scale * rotation @ mean_a)
