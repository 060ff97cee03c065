"""The normal equations of a bundle adjustment, reduced to poses and lenses.

N images, O observations of P points, L lenses. Triggs et al. 2000, "Bundle Adjustment - A Modern Synthesis", sections 6
and 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapModel
from splat_pipeline.domain.lens import project
from splat_pipeline.domain.poses import Observations, cam_from_world

Float = NDArray[np.float64]
Index = NDArray[np.int64]

SHRUNK = 20
"""Observations at which an image's own noise counts as much as that of all."""
PRIOR = {"focal": 0.1, "center": 0.05, "distortion": 0.1}
"""Sigma of lens parameters before anything was seen, the first two in focal lengths."""
DAMPING = 1e-9
PAIRS_AT_ONCE = 40_000
LENS = 8
"""Parameters that a lens may have."""
_FREE = {
    "SIMPLE_PINHOLE": (0,),
    "PINHOLE": (0, 1),
    "SIMPLE_RADIAL": (0, 3),
    "RADIAL": (0, 1, 2, 3, 4),  # what a widened lens becomes
    "OPENCV": tuple(range(8)),
}
"""Parameters that a bundle adjustment moves, as COLMAP orders them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The observations, linearised and divided by their noise; sorted by point."""

    ids: Index
    """(N,) image ids."""
    image: Index
    """(O,) position in ``ids``."""
    point: Index
    """(O,) 0, 1, ... of the points seen here."""
    by_pose: Float
    """(O, 2, 6): rotation in the camera's frame, centre in units of ``scale``."""
    by_point: Float
    """(O, 2, 3)."""
    by_lens: Float
    """(O, 2, 8), zero where a parameter does not exist or move."""
    lens: Index
    """(O,) position in ``lenses``."""
    lenses: Sequence[int]
    scale: float
    """Extent of the path, so that centres and rotations weigh alike."""
    depth: Float
    """(N,) median."""


def linearised(model: ColmapModel, ids: Index, chosen: Index, seen: Observations) -> Rows:
    """Return the observations at positions ``chosen`` of ``seen``, by track, linearised. ``ids``: (N,) their images."""
    image, count = np.searchsorted(ids, seen.image_id[chosen]), len(chosen)
    lenses = sorted({model.images[int(i)].camera_id for i in ids})
    centers = np.array([-p[:3, :3].T @ p[:3, 3] for p in (cam_from_world(model, int(i)) for i in ids)])
    scale = max(float(np.sqrt(((centers - centers.mean(0)) ** 2).sum(1).mean())), 1e-12)
    by_pose, by_point, by_lens = np.zeros((count, 2, 6)), np.zeros((count, 2, 3)), np.zeros((count, 2, 8))
    sigma, lens = _noise_px(model, ids, image, seen.error_px[chosen]), np.zeros(count, np.int64)
    depth = np.zeros(len(ids))
    for k, image_id in enumerate(ids.tolist()):
        mine = np.flatnonzero(image == k)
        pose, camera_id = cam_from_world(model, image_id), model.images[image_id].camera_id
        at = model.points.xyz[seen.point[chosen[mine]]] @ pose[:3, :3].T + pose[:3, 3]
        in_camera = moved_by_pose(model.cameras[camera_id], at) / sigma[k]
        by_point[mine] = -in_camera[:, :, 3:] @ pose[:3, :3]
        by_pose[mine, :, :3], by_pose[mine, :, 3:] = in_camera[:, :, :3], -scale * by_point[mine]
        by_lens[mine] = _by_lens(model.cameras[camera_id], at) / sigma[k]
        depth[k], lens[mine] = np.median(at[:, 2]), lenses.index(camera_id)
    _, point = np.unique(seen.point[chosen], return_inverse=True)
    return Rows(
        ids=ids, image=image, point=point, by_pose=by_pose, by_point=by_point, by_lens=by_lens, lens=lens,
        lenses=lenses, scale=scale, depth=depth,
    )  # fmt: skip


def moved_by_pose(camera: ColmapCamera, at: Float) -> Float:
    """Return (K, 2, 6) how places (K, 3) in the camera's frame move in the image, px.

    With a turn of the camera (radians) and against a move of its centre (world units), both in the camera's axes.
    """
    by_place = _by_place(camera, at)
    return np.concatenate([np.cross(at[:, None, :], by_place), -by_place], axis=2)


def _noise_px(model: ColmapModel, ids: Index, image: Index, error_px: Float) -> Float:
    """(N,) sigma along one axis: the image's own residuals, drawn to those of all, freed of what was fitted to them."""
    freedom = max(2 * len(image) - 3 * len(model.points) - 6 * len(ids), 0.2 * len(image))
    squares, counts = np.bincount(image, error_px**2, len(ids)), np.bincount(image, minlength=len(ids))
    overall = squares.sum() / (2 * len(image))
    own = (squares / 2 + SHRUNK * overall) / (counts + SHRUNK)
    sigma: Float = np.sqrt(own * 2 * len(image) / freedom)
    return np.maximum(sigma, 1e-3)


def _by_place(camera: ColmapCamera, at: Float) -> Float:
    """(K, 2, 3): of the projection by the place in the camera's frame; central differences."""
    step = 1e-5 * np.maximum(np.abs(at[:, 2]), 1e-9)
    columns = []
    for axis in range(3):
        offset = np.zeros_like(at)
        offset[:, axis] = step
        columns.append((project(camera, at + offset) - project(camera, at - offset)) / (2 * step[:, None]))
    return np.stack(columns, axis=-1)


def _by_lens(camera: ColmapCamera, at: Float) -> Float:
    """(K, 2, 8): by the lens's free parameters, each in units of its prior sigma."""
    out = np.zeros((len(at), 2, 8))
    for i in _FREE[camera.model]:
        unit = _prior(camera, i)
        ends = []
        for sign in (1, -1):
            params = list(camera.params)
            params[i] += sign * 1e-3 * unit
            ends.append(project(replace(camera, params=tuple(params)), at))
        out[:, :, i] = (ends[0] - ends[1]) / 2e-3
    return out


def _prior(camera: ColmapCamera, i: int) -> float:
    focals = 2 if camera.model in ("PINHOLE", "OPENCV") else 1
    kind = "focal" if i < focals else "center" if i < focals + 2 else "distortion"
    return PRIOR[kind] * (1.0 if kind == "distortion" else camera.params[0])


def covariance_of(model: ColmapModel, rows: Rows) -> Float:
    """Return (6N + 8L, 6N + 8L) of poses and lenses, points marginalised.

    In the frame in which images, weighted by their observations, move least (inner constraints, section 9.2).
    """
    reduced = _reduced(rows)
    size = 6 * len(rows.ids)
    gauge = np.zeros((len(reduced), 7))
    gauge[:size] = np.linalg.qr(_gauge(model, rows))[0]
    weight = np.trace(reduced[:size, :size]) / size
    held = reduced + weight * gauge @ gauge.T
    held[np.diag_indices_from(held)] += DAMPING * weight
    weights = np.zeros((len(held), 1))
    weights[:size, 0] = np.repeat(np.bincount(rows.image), 6)
    project_out = np.eye(len(held)) - gauge @ np.linalg.solve(gauge.T @ (weights * gauge), (weights * gauge).T)
    covariance: Float = project_out @ np.linalg.inv(held) @ project_out.T
    return covariance


def _gauge(model: ColmapModel, rows: Rows) -> Float:
    """(6N, 7): how poses move with a rotation, translation and scaling of the world, which no image sees."""
    out = np.zeros((len(rows.ids), 6, 7))
    poses = np.stack([cam_from_world(model, int(i)) for i in rows.ids])
    centers = -np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3])
    centers = (centers - centers.mean(0)) / rows.scale
    out[:, :3, :3] = -poses[:, :3, :3]
    out[:, 3:, :3] = np.stack([np.cross(axis, centers) for axis in np.eye(3)], axis=-1)
    out[:, 3:, 3:6] = np.eye(3)
    out[:, 3:, 6] = centers
    return out.reshape(-1, 7)


def _reduced(rows: Rows) -> Float:
    """(6N + 8L, 6N + 8L) normal matrix of poses and lenses after the points are eliminated."""
    n, lenses = len(rows.ids), len(rows.lenses)
    of_point = _sums(np.einsum("oai,oaj->oij", rows.by_point, rows.by_point), rows.point)
    trace = np.trace(of_point, axis1=1, axis2=2)
    inverse = np.linalg.inv(of_point + (DAMPING * trace + 1e-300)[:, None, None] * np.eye(3))
    cross = np.einsum("oai,oaj->oij", rows.by_pose, rows.by_point)
    blocks = np.zeros((n, n, 6, 6))
    own = np.einsum("oai,oaj->oij", rows.by_pose, rows.by_pose)
    blocks[np.arange(n), np.arange(n)] = _sums(own, rows.image, n)
    flat = blocks.reshape(n * n, 6, 6)
    for first, second in _pairs(rows.point):
        product = np.einsum("oij,ojk,olk->oil", cross[first], inverse[rows.point[first]], cross[second], optimize=True)
        where, at = np.unique(rows.image[first] * n + rows.image[second], return_inverse=True)
        flat[where] -= _sums(product, at)
    out = np.zeros((6 * n + 8 * lenses,) * 2)
    out[: 6 * n, : 6 * n] = blocks.transpose(0, 2, 1, 3).reshape(6 * n, 6 * n)
    _add_lenses(out, rows, cross, inverse)
    return out


def _add_lenses(out: Float, rows: Rows, cross: Float, inverse: Float) -> None:
    n, points = len(rows.ids), len(inverse)
    by_lens = np.einsum("oai,oaj->oij", rows.by_lens, rows.by_point)
    per_point = [_sums(by_lens * (rows.lens == c)[:, None, None], rows.point, points) for c in range(len(rows.lenses))]
    for c, mine in enumerate(per_point):
        at = slice(6 * n + 8 * c, 6 * n + 8 * c + 8)
        direct = np.einsum("oai,oaj->oij", rows.by_pose, rows.by_lens) * (rows.lens == c)[:, None, None]
        through = np.einsum("oij,ojk,olk->oil", cross, inverse[rows.point], mine[rows.point], optimize=True)
        block = _sums(direct - through, rows.image, n).reshape(6 * n, 8)
        out[: 6 * n, at], out[at, : 6 * n] = block, block.T
        chosen = rows.by_lens[rows.lens == c]
        out[at, at] += np.einsum("oai,oaj->ij", chosen, chosen) + np.eye(8)  # the prior has sigma 1
        for d, other in enumerate(per_point):
            there = slice(6 * n + 8 * d, 6 * n + 8 * d + 8)
            out[at, there] -= np.einsum("pij,pjk,plk->il", mine, inverse, other, optimize=True)


def _sums(values: Float, group: Index, count: int | None = None) -> Float:
    """Add (K, ...) values by group 0, 1, ...; a group may be empty."""
    out = np.zeros((int(group.max()) + 1 if count is None else count, *values.shape[1:]))
    order = np.argsort(group, kind="stable")
    found, starts = np.unique(group[order], return_index=True)
    out[found] = np.add.reduceat(values[order], starts, axis=0)
    return out


def _pairs(point: Index) -> Iterator[tuple[Index, Index]]:
    """Yield every ordered pair of observations of one point, itself included, in blocks; ``point`` ascends."""
    starts, lengths = np.unique(point, return_index=True, return_counts=True)[1:]
    for length in np.unique(lengths).tolist():
        tracks = starts[lengths == length][:, None] + np.arange(length)
        step = max(1, PAIRS_AT_ONCE // length**2)
        for i in range(0, len(tracks), step):
            part = tracks[i : i + step]
            yield np.repeat(part, length, axis=1).ravel(), np.tile(part, (1, length)).ravel()
