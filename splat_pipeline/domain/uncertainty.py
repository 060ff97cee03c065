"""How exactly each pose is known: 1 sigma out of the covariances of a bundle adjustment.

A reconstruction has no frame and scale of its own: covariances are those of the frame in which images, weighted by
their observations, move least on average, so that no image is exact only because it defines the frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.confidence import PoseSigma
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel
from splat_pipeline.domain.lens import intrinsics
from splat_pipeline.domain.normals import LENS, Rows, covariance_of, linearised, moved_by_pose
from splat_pipeline.domain.poses import Observations, observe
from splat_pipeline.domain.rigid import rotation_from_quat

Float = NDArray[np.float64]
Index = NDArray[np.int64]

AT_ONCE = 400
"""Images whose poses are solved for together; of more, the drift between such stretches is not in the figures."""


def pose_sigmas(model: ColmapModel, seen: Observations | None = None) -> dict[int, PoseSigma]:
    """Return the 1 sigma of every image that is seen well enough to have one, by image id."""
    seen = seen or observe(model)
    ids = np.array(sorted(model.images))
    found: dict[int, PoseSigma] = {}
    for part in np.array_split(ids, -(-len(ids) // AT_ONCE)) if len(ids) else []:
        found |= _of_stretch(model, part, seen)
    return found


def _of_stretch(model: ColmapModel, ids: Index, seen: Observations) -> dict[int, PoseSigma]:
    chosen = np.flatnonzero(np.isin(seen.image_id, ids) & np.isfinite(seen.error_px))
    count = np.bincount(seen.point[chosen], minlength=len(model.points))
    chosen = chosen[count[seen.point[chosen]] >= 2]
    usable = np.array([i for i in ids if (seen.image_id[chosen] == i).sum() >= 3], np.int64)
    chosen = chosen[np.isin(seen.image_id[chosen], usable)]
    if len(usable) < 3:
        return {}
    rows = linearised(model, usable, chosen, seen)
    covariance = covariance_of(model, rows)
    return {image_id: _sigma(model, rows, covariance, k) for k, image_id in enumerate(usable.tolist())}


def _sigma(model: ColmapModel, rows: Rows, covariance: Float, k: int) -> PoseSigma:
    image = model.images[int(rows.ids[k])]
    camera = model.cameras[image.camera_id]
    mine = np.arange(6 * k, 6 * k + 6)
    lens = np.arange(LENS) + 6 * len(rows.ids) + LENS * rows.lenses.index(image.camera_id)
    block, shared = covariance[np.ix_(mine, mine)], covariance[np.ix_(mine, lens)]
    moves = moved_by_pose(camera, _spread(camera) * rows.depth[k])
    moves[:, :, 3:] *= rows.scale
    given_lens = block - shared @ np.linalg.solve(covariance[np.ix_(lens, lens)], shared.T)
    moved = np.einsum("oai,ij,oaj->o", moves, _in_camera(image, given_lens), moves).mean()
    return PoseSigma(
        rotation_deg=float(np.degrees(np.sqrt(np.trace(block[:3, :3])))),
        position=float(rows.scale * np.sqrt(np.trace(block[3:, 3:]))),
        displacement_px=float(1000 * np.sqrt(max(moved, 0.0)) / max(camera.width_px, camera.height_px)),
    )


def _spread(camera: ColmapCamera) -> Float:
    """(9, 3) rays with z = 1 to the middle and the thirds of the image, distortion left out."""
    fx, fy, cx, cy = intrinsics(camera)
    x, y = (np.array([1, 3, 5]) / 6 * size for size in (camera.width_px, camera.height_px))
    return np.array([[(u - cx) / fx, (v - cy) / fy, 1.0] for u in x for v in y])


def _in_camera(image: ColmapImage, covariance: Float) -> Float:
    """Turn the centre's half of a (6, 6) covariance from the world's axes into the camera's."""
    turn = np.eye(6)
    turn[3:, 3:] = rotation_from_quat(image.quat)
    turned: Float = turn @ covariance @ turn.T
    return turned
