"""The Gaussians that a training begins with: on the points of the reconstruction, or at random before the cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import SH_C0, Gaussians
from splat_pipeline.splatting.harmonics import coefficients
from splat_pipeline.splatting.recipe import TrainRecipe

Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

NEAREST = 3
"""Neighbours whose distance is averaged."""


def scene_extent(views: Sequence[View]) -> float:
    """Return the scene's size in world units: 1.1 times the cameras' greatest distance from their mean.

    As in Kerbl et al. 2023 (reference code). Cameras that stand in one place have no such size: then 1.
    """
    centers = np.array([view.center for view in views])
    radius = float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).max())
    return 1.1 * radius if radius > 0 else 1.0


def looking_distance(views: Sequence[View]) -> float:
    """Return how far from the cameras, in world units (median), their optical axes come closest to one point.

    The point minimises the sum of squared distances to the axes. Where the axes do not meet in front (parallel views,
    cameras that look outwards), the scene's extent stands in.
    """
    centers = np.array([view.center for view in views])
    axes = np.array([view.cam_from_world[2, :3] for view in views])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    normal = across.sum(axis=0)
    extent = scene_extent(views)
    if np.linalg.cond(normal) > 1e6:
        return extent
    focus = np.linalg.solve(normal, (across @ centers[:, :, None]).sum(axis=0)[:, 0])
    along = float(np.median(((focus - centers) * axes).sum(axis=1)))
    return along if along > 0.05 * extent else extent


def scatter(
    images: Sequence[UInt8], views: Sequence[View], count: int, rng: np.random.Generator
) -> tuple[Float64, UInt8]:
    """Return ``count`` random points (count, 3) in the cameras' view and the colours (count, 3) seen there.

    Each is drawn from a random pixel of a random view, its depth log-uniform from 0.3 to 3 times
    ``looking_distance``.
    """
    which = rng.integers(len(views), size=count)
    depth = looking_distance(views) * np.exp(rng.uniform(np.log(0.3), np.log(3), count))
    place = rng.uniform(size=(count, 2))
    points, colors = np.zeros((count, 3)), np.zeros((count, 3), np.uint8)
    for i, (v, z, at) in enumerate(zip(which, depth, place, strict=True)):
        camera, pose = views[v].camera, views[v].cam_from_world
        x, y = at[0] * camera.width_px, at[1] * camera.height_px
        ray = np.array([(x - camera.cx_px) / camera.fx_px, (y - camera.cy_px) / camera.fy_px, 1.0])
        points[i] = pose[:3, :3].T @ (ray * z - pose[:3, 3])
        colors[i] = images[v][int(y), int(x)]
    return points, colors


def mean_distance(points: Float64) -> NDArray[np.float32]:
    """Return (P,) the mean distance of each of ``points`` (P, 3) to its three nearest others, in their unit.

    As in Kerbl et al. 2023, section 4. Points at the same place are each other's neighbours at distance 0. With fewer
    than four points: to those there are.
    """
    distances, _ = KDTree(points).query(points, k=1 + NEAREST, workers=-1)
    others = distances[:, 1:]  # the first is the point itself, or one in its place
    there = np.isfinite(others)
    mean: NDArray[np.float32] = np.where(there, others, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return mean.astype(np.float32)


def nearest_camera(points: Float64, views: Sequence[View]) -> Float64:
    """Return (P,) the distance of each of ``points`` (P, 3) to the nearest camera, world units."""
    nearest = np.full(len(points), np.inf)
    for view in views:
        np.minimum(nearest, np.linalg.norm(points - view.center, axis=1), out=nearest)
    return nearest


def first_gaussians(points: Float64, colors: UInt8, reach: Float64, *, degree: int, recipe: TrainRecipe) -> Gaussians:
    """Return one round, faint Gaussian on each of ``points`` (P, 3) of the colour ``colors`` (P, 3) sRGB.

    Its sigma is the mean distance to the three nearest points, at least a tenth of the median (duplicates would
    vanish) and at most ``recipe.start_reach`` of ``reach`` (P,), the distance to the nearest camera: a lonely point of
    the background may be large in the world but not in a picture.
    """
    n, k = len(points), coefficients(degree)
    distance = mean_distance(points)
    positive = distance[distance > 0]
    middle = float(np.median(positive)) if len(positive) else 1.0
    sigma = np.minimum(np.maximum(distance, 0.1 * middle), recipe.start_reach * reach)
    sh = np.zeros((n, k, 3), np.float32)
    sh[:, 0] = (colors / 255.0 - 0.5) / SH_C0
    start = np.log(recipe.start_opacity / (1 - recipe.start_opacity))
    return Gaussians(
        means=points.astype(np.float32),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1)),
        log_scales=np.repeat(np.log(sigma)[:, None], 3, axis=1).astype(np.float32),
        logit_opacities=np.full(n, start, np.float32),
        sh=sh,
    )
