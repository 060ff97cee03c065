"""What is done to a reconstruction, in such a way that its reprojection error hardly tells: cameras and points alike.

A warp moves every camera and every point by a motion that changes slowly along the way. s is the place along the way,
0 to 1; of a point, that of the cameras that see it, in the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.gates.world import Array
from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.formats.colmap import ColmapModel
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation

Motion = Callable[[float], Similarity]
"""From a place along the way to the motion there."""


def warped(model: ColmapModel, motion: Motion) -> ColmapModel:
    """Return ``model`` with everything moved by ``motion`` of its place."""
    order = sorted(model.images, key=lambda i: model.images[i].name)
    place = {image_id: i / max(1, len(order) - 1) for i, image_id in enumerate(order)}
    images = {}
    seen: dict[int, list[float]] = {}
    for image_id, image in model.images.items():
        pose = motion(place[image_id]).pose(cam_from_world(model, image_id))
        images[image_id] = replace(image, quat=quat_from_rotation(pose[:3, :3]), translation=pose[:3, 3])
        for point in image.point3d_ids[image.point3d_ids >= 0]:
            seen.setdefault(int(point), []).append(place[image_id])
    xyz = np.array(
        [
            motion(float(np.mean(seen.get(int(i), [0.5])))).points(xyz[None])[0]
            for i, xyz in zip(model.points.ids, model.points.xyz, strict=True)
        ]
    )
    return replace(model, images=images, points=replace(model.points, xyz=xyz))


def bent(model: ColmapModel, degrees: float) -> ColmapModel:
    """Bend the way: its end is turned against its beginning by ``degrees``, about the up axis through its middle."""
    middle = _middle(model)
    return warped(model, lambda s: _turn(np.radians(degrees) * s**2, middle))


def drifting(model: ColmapModel, factor: float) -> ColmapModel:
    """Let the scale grow by ``factor`` along the way."""
    start = _centers(model)[0]
    return warped(model, lambda s: _scaled(factor**s, start))


def falsely_closed(model: ColmapModel, share: float) -> ColmapModel:
    """Pull the end of the way to its beginning, by so much of the distance."""
    found = _centers(model)
    gap = found[0] - found[-1]
    return warped(model, lambda s: _shifted(share * gap * s**3))


def jittered(model: ColmapModel, degrees: float) -> ColmapModel:
    """Turn every camera at random about itself."""
    rng = np.random.default_rng(0)
    images = {}
    for image_id, image in model.images.items():
        angle = np.radians(degrees) * rng.normal(size=3)
        pose = np.eye(4)
        pose[:3, :3] = _rotation(angle)
        pose = pose @ cam_from_world(model, image_id)
        images[image_id] = replace(image, quat=quat_from_rotation(pose[:3, :3]), translation=pose[:3, 3])
    return replace(model, images=images)


def _centers(model: ColmapModel) -> Array:
    order = sorted(model.images, key=lambda i: model.images[i].name)
    return centers(np.stack([cam_from_world(model, i) for i in order]))


def _middle(model: ColmapModel) -> Array:
    middle: Array = np.median(model.points.xyz, axis=0)
    return middle


def _rotation(angle: Array) -> Array:
    size = float(np.linalg.norm(angle))
    if size < 1e-12:
        return np.eye(3)
    x, y, z = angle / size
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    out: Array = np.eye(3) + np.sin(size) * k + (1 - np.cos(size)) * k @ k
    return out


def _turn(angle: float, about: Array) -> Similarity:
    rotation = _rotation(np.array([0, angle, 0]))
    return Similarity(scale=1.0, rotation=rotation, translation=about - rotation @ about)


def _scaled(factor: float, about: Array) -> Similarity:
    return Similarity(scale=factor, rotation=np.eye(3), translation=(1 - factor) * about)


def _shifted(by: Array) -> Similarity:
    return Similarity(scale=1.0, rotation=np.eye(3), translation=by)
