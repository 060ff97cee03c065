"""Windows of a synthetic walk, as models in frames of their own."""

from dataclasses import replace

import numpy as np

from splat_pipeline.domain.alignment import Piece
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints
from splat_pipeline.domain.poses import moved
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation, rotation_from_quat
from splat_pipeline.domain.windows import Window

MOVED = Similarity(
    scale=3.0, rotation=rotation_from_quat([0.8, 0.1, -0.5, 0.3]), translation=np.array([4.0, -2.0, 9.0])
)


def window_model(first, stop, *, seed=0, points=200):
    """Images in a row, 0.2 apart, that look at a cloud; keypoint k of every image is point k of one world."""
    xyz = np.random.default_rng(1).uniform([-2, -2, 4], [8, 2, 8], (points, 3))
    camera = ColmapCamera(model="SIMPLE_PINHOLE", width_px=800, height_px=600, params=(500.0, 400.0, 300.0))
    images, track = {}, []
    for image_id, at in enumerate(range(first, stop), start=1):
        shift = np.array([-0.2 * at, 0.0, 0.0])
        local = xyz + shift
        images[image_id] = ColmapImage(
            name=f"a/{at}.jpg",
            camera_id=0,
            quat=quat_from_rotation(np.eye(3)),
            translation=shift,
            xys=500 * local[:, :2] / local[:, 2:] + [400, 300],
            point3d_ids=np.arange(points) + 7,
        )
        track.append(image_id)
    cloud = ColmapPoints(
        ids=np.arange(points) + 7,
        xyz=xyz + np.random.default_rng(seed).normal(0, 0.01, xyz.shape),
        rgb=np.zeros((points, 3), np.uint8),
        error_px=np.zeros(points),
        track_lengths=np.full(points, len(track)),
        track_images=np.tile(track, points),
        track_keypoints=np.repeat(np.arange(points), len(track)),
    )
    return ColmapModel(cameras={0: camera}, images=images, points=cloud)


def piece(window_id, first, stop, *, world=None, **how):
    model = window_model(first, stop, seed=window_id, **how)
    positions = {f"a/{i}.jpg": i for i in range(100)}
    window = Window(window_id=window_id, first=first, stop=stop)
    return Piece(window=window, model=moved(model, world) if world else model, positions=positions)


def bent(window, turn_deg):
    """The window as if its camera and what it sees had turned by so much from its first image to its last, along x."""
    xyz, count = window.model.points.xyz, len(window.model.images)
    reach = np.ptp(xyz[:, 0])

    def along(points, share):
        angle = np.radians(turn_deg) * share
        out = points.copy()
        out[:, 1] += np.sin(angle) * points[:, 2]
        out[:, 2] *= np.exp(-angle)
        return out

    points = replace(window.model.points, xyz=along(xyz, (xyz[:, 0] - xyz[:, 0].min()) / reach))
    images = {
        i: replace(image, translation=along(image.translation[None], np.array([k / count]))[0])
        for k, (i, image) in enumerate(window.model.images.items())
    }
    return replace(window, model=replace(window.model, points=points, images=images))
