"""Posed images as other programs read them: a folder in COLMAP's layout.

images/00000.png ...        without lens distortion, numbered in the order of the views
sparse/0/*.bin              PINHOLE cameras, poses as cam_from_world, points without tracks
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.domain.errors import DiskFull
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints, write_model
from splat_pipeline.domain.rigid import quat_from_rotation
from splat_pipeline.ports.training import TrainingViews

IMAGES, SPARSE = "images", "sparse/0"


def image_name(number: int) -> str:
    """Return the name of the image of a view."""
    return f"{number:05d}.png"


def write_images(folder: Path, views: TrainingViews) -> None:
    """Write the images, without loss, into the new ``folder``. Raises ``DiskFull``."""
    import cv2

    folder.mkdir(parents=True)
    for number, image in enumerate(views.images):
        path = folder / image_name(number)
        if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
            raise DiskFull(f"{path} could not be written")


def write_capture(folder: Path, views: TrainingViews, points: NDArray[np.float32], colors: NDArray[np.uint8]) -> None:
    """Write images, cameras, poses and points (P, 3) of ``colors`` (P, 3) into ``folder``. Raises ``DiskFull``."""
    write_images(folder / IMAGES, views)
    sparse = folder / SPARSE
    sparse.mkdir(parents=True)
    write_model(sparse, model_of(views, points, colors))


def model_of(views: TrainingViews, points: NDArray[np.float32], colors: NDArray[np.uint8]) -> ColmapModel:
    """Return the model: views of the same camera share one."""
    numbers: dict[Camera, int] = {}
    images = {}
    for number, view in enumerate(views.views):
        camera_id = numbers.setdefault(view.camera, len(numbers) + 1)
        images[number + 1] = ColmapImage(
            name=image_name(number),
            camera_id=camera_id,
            quat=quat_from_rotation(view.cam_from_world[:3, :3]),
            translation=view.cam_from_world[:3, 3],
            xys=np.zeros((0, 2)),
            point3d_ids=np.zeros(0, np.int64),
        )
    cameras = {number: _pinhole(camera) for camera, number in numbers.items()}
    return ColmapModel(cameras=cameras, images=images, points=_points(points, colors))


def _pinhole(camera: Camera) -> ColmapCamera:
    params = (camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px)
    return ColmapCamera(model="PINHOLE", width_px=camera.width_px, height_px=camera.height_px, params=params)


def _points(points: NDArray[np.float32], colors: NDArray[np.uint8]) -> ColmapPoints:
    none = np.zeros(0, np.int64)
    return ColmapPoints(
        ids=np.arange(1, len(points) + 1),
        xyz=points.astype(np.float64),
        rgb=colors,
        error_px=np.zeros(len(points)),
        track_lengths=np.zeros(len(points), np.int64),
        track_images=none,
        track_keypoints=none,
    )
