"""Cameras of a package stand in the world of the splat: pycolmap and our readers find the known poses there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.delivered_poses import moved, write_cameras
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints, read_model
from splat_pipeline.domain.formats.transforms import OPENCV_FROM_OPENGL, read_transforms
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation, rigid

LENSES = {
    1: ColmapCamera(model="OPENCV", width_px=640, height_px=480, params=(500, 510, 321, 239, 0.1, -0.05, 1e-3, 2e-3)),
    2: ColmapCamera(model="SIMPLE_RADIAL", width_px=320, height_px=240, params=(250, 160, 120, 0.02)),
}
NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
CAMERA_OF = [1, 1, 2]
"""Its lens."""


def known() -> tuple[ColmapModel, Similarity, list[np.ndarray], np.ndarray]:
    """A model in a world of its own, the way to the delivered one, and cam_from_world and points there."""
    rng = np.random.default_rng(0)
    world_from_sfm = Similarity(
        scale=2.5, rotation=Rotation.random(rng=rng).as_matrix(), translation=rng.normal(size=3)
    )
    poses = [rigid(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3)) for _ in NAMES]
    points = rng.normal(size=(5, 3))
    back = world_from_sfm.inverse()
    images = {}
    for i, (name, pose) in enumerate(zip(NAMES, poses, strict=True)):
        own = back.pose(pose)
        images[i + 1] = ColmapImage(
            name=name,
            camera_id=CAMERA_OF[i],
            quat=quat_from_rotation(own[:3, :3]),
            translation=own[:3, 3],
            xys=rng.uniform(0, 200, size=(5, 2)),
            point3d_ids=np.arange(1, 6),
        )
    track = np.repeat(np.arange(1, 4)[None], 5, axis=0)
    cloud = ColmapPoints(
        ids=np.arange(1, 6),
        xyz=back.points(points),
        rgb=np.full((5, 3), 9, np.uint8),
        error_px=np.full(5, 0.5),
        track_lengths=np.full(5, 3),
        track_images=track.ravel(),
        track_keypoints=np.repeat(np.arange(5), 3),
    )
    return ColmapModel(cameras=LENSES, images=images, points=cloud), world_from_sfm, poses, points


@pytest.fixture
def written(tmp_path: Path) -> Path:
    model, world_from_sfm, *_ = known()
    names = write_cameras(tmp_path, model, world_from_sfm, kinds=("colmap", "transforms"))
    assert names == ["colmap/cameras.bin", "colmap/images.bin", "colmap/points3D.bin", "transforms.json"]
    return tmp_path


def test_pycolmap_reads_the_known_poses_points_and_lenses(written: Path) -> None:
    _, _, poses, points = known()
    model = pycolmap.Reconstruction(str(written / "colmap"))
    seen = {image.name: image for image in model.images.values()}
    for name, pose, lens in zip(NAMES, poses, CAMERA_OF, strict=True):
        np.testing.assert_allclose(seen[name].cam_from_world().matrix(), pose[:3], atol=1e-9)
        np.testing.assert_allclose(model.cameras[seen[name].camera_id].params, LENSES[lens].params)
    got = np.array([model.points3D[i].xyz for i in range(1, 6)])
    np.testing.assert_allclose(got, points, atol=1e-9)


def test_our_reader_of_transforms_finds_the_known_poses_and_lenses(written: Path) -> None:
    _, _, poses, _ = known()
    text = (written / "transforms.json").read_bytes()
    given = read_transforms(text, file="transforms.json", images=None, size_of=lambda _: (1, 1))
    assert [frame.name for frame in given.frames] == NAMES
    for frame, pose, lens in zip(given.frames, poses, CAMERA_OF, strict=True):
        np.testing.assert_allclose(frame.cam_from_world, pose, atol=1e-9)
        camera = given.cameras[frame.camera_id]
        assert (camera.width_px, camera.height_px) == (LENSES[lens].width_px, LENSES[lens].height_px)
    assert given.cameras[given.frames[0].camera_id].params == LENSES[1].params
    assert given.cameras[given.frames[2].camera_id].params == (250, 250, 160, 120, 0.02, 0, 0, 0)


def test_a_camera_that_looks_along_z_has_nerfstudio_s_axes(tmp_path: Path) -> None:
    """At (1, 2, 3) of the delivered world, upright: right is +x, up is -y, it looks along +z."""
    model, _, _, _ = known()
    image = ColmapImage(
        name="a.jpg",
        camera_id=1,
        quat=np.array([1.0, 0, 0, 0]),
        translation=np.array([-1.0, -2, -3]),
        xys=np.zeros((0, 2)),
        point3d_ids=np.zeros(0, np.int64),
    )
    one = ColmapModel(cameras=LENSES, images={1: image}, points=model.points)
    write_cameras(tmp_path, one, Similarity.identity(), kinds=("transforms",))
    matrix = np.array(json.loads((tmp_path / "transforms.json").read_text())["frames"][0]["transform_matrix"])
    np.testing.assert_allclose(matrix[:3, 3], [1, 2, 3])
    np.testing.assert_allclose(matrix[:3, :3] @ [1, 0, 0], [1, 0, 0])
    np.testing.assert_allclose(matrix[:3, :3] @ [0, 1, 0], [0, -1, 0])
    np.testing.assert_allclose(matrix[:3, :3] @ [0, 0, -1], [0, 0, 1])
    np.testing.assert_allclose(matrix, np.linalg.inv(np.linalg.inv(matrix @ OPENCV_FROM_OPENGL)) @ OPENCV_FROM_OPENGL)
    assert not (tmp_path / "colmap").exists()


def test_what_the_images_show_stays_as_it_is(written: Path) -> None:
    model, world_from_sfm, _, _ = known()
    ours, theirs = moved(model, world_from_sfm), read_model(written / "colmap")
    for number, image in model.images.items():
        np.testing.assert_array_equal(theirs.images[number].xys, image.xys)
        np.testing.assert_array_equal(theirs.images[number].point3d_ids, image.point3d_ids)
        np.testing.assert_allclose(theirs.images[number].quat, ours.images[number].quat)
    np.testing.assert_array_equal(theirs.points.track_images, model.points.track_images)
