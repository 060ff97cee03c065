import struct

import numpy as np
import pycolmap
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.colmap import (
    MODELS,
    NO_POINT,
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    ColmapPoints,
    read_model,
    write_model,
)

FILES = ("cameras.bin", "images.bin", "points3D.bin")


def random_model(seed):
    rng = np.random.default_rng(seed)
    cameras = {
        int(i): ColmapCamera(model=name, width_px=640, height_px=480, params=tuple(rng.uniform(1, 500, count)))
        for i, (name, (_, count)) in enumerate(MODELS.items())
    }
    images = {}
    for image_id in range(1, rng.integers(2, 6)):
        k = int(rng.integers(0, 9))
        images[image_id] = ColmapImage(
            name=f"clip ü/{image_id:03d}.jpg",
            camera_id=int(rng.integers(0, len(cameras))),
            quat=rng.normal(size=4),
            translation=rng.normal(size=3),
            xys=rng.uniform(0, 640, (k, 2)),
            point3d_ids=rng.integers(NO_POINT, 50, k),
        )
    count = int(rng.integers(0, 12))
    lengths = rng.integers(0, 5, count)
    points = ColmapPoints(
        ids=rng.permutation(1000)[:count],
        xyz=rng.normal(size=(count, 3)),
        rgb=rng.integers(0, 256, (count, 3)).astype(np.uint8),
        error_px=rng.uniform(0, 4, count),
        track_lengths=lengths,
        track_images=rng.integers(1, 6, lengths.sum()),
        track_keypoints=rng.integers(0, 9, lengths.sum()),
    )
    return ColmapModel(cameras=cameras, images=images, points=points)


def same(a, b):
    assert a.cameras == b.cameras
    assert list(a.images) == list(b.images)
    for image_id, image in a.images.items():
        other = b.images[image_id]
        assert (image.name, image.camera_id) == (other.name, other.camera_id)
        for field in ("quat", "translation", "xys", "point3d_ids"):
            np.testing.assert_array_equal(getattr(image, field), getattr(other, field))
    for field in ("ids", "xyz", "rgb", "error_px", "track_lengths", "track_images", "track_keypoints"):
        np.testing.assert_array_equal(getattr(a.points, field), getattr(b.points, field))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path, seed):
    model = random_model(seed)
    write_model(tmp_path, model)
    same(read_model(tmp_path), model)


def synthetic():
    options = pycolmap.SyntheticDatasetOptions(num_rigs=2, num_frames_per_rig=4, num_points3D=60)
    return pycolmap.synthesize_dataset(options)


def test_colmaps_own_files_are_read_as_colmap_reads_them(tmp_path):
    truth = synthetic()
    truth.write_binary(tmp_path)
    model = read_model(tmp_path)
    assert set(model.cameras) == set(truth.cameras)
    for image_id, image in truth.images.items():
        mine = model.images[image_id]
        assert (mine.name, mine.camera_id) == (image.name, image.camera_id)
        x, y, z, w = image.cam_from_world().rotation.quat
        np.testing.assert_allclose(mine.quat, [w, x, y, z])
        np.testing.assert_allclose(mine.translation, image.cam_from_world().translation)
        np.testing.assert_allclose(mine.xys, [point.xy for point in image.points2D])
        assert (mine.point3d_ids != NO_POINT).sum() == image.num_points3D
    xyz = dict(zip(model.points.ids.tolist(), model.points.xyz, strict=True))
    for point_id, point in truth.points3D.items():
        np.testing.assert_allclose(xyz[point_id], point.xyz)
    assert model.points.track_lengths.sum() == truth.compute_num_observations()


def test_colmap_reads_what_we_write(tmp_path):
    truth = synthetic()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    truth.write_binary(tmp_path / "theirs")
    write_model(tmp_path / "ours", read_model(tmp_path / "theirs"))
    back = pycolmap.Reconstruction(tmp_path / "ours")
    assert back.num_reg_images() == truth.num_reg_images()
    assert back.num_points3D() == truth.num_points3D()
    assert back.compute_num_observations() == truth.compute_num_observations()
    assert back.compute_mean_reprojection_error() == pytest.approx(truth.compute_mean_reprojection_error())


@pytest.mark.parametrize("file", FILES)
def test_every_truncation_is_refused_and_named(tmp_path, file):
    write_model(tmp_path, random_model(3))
    data = (tmp_path / file).read_bytes()
    for size in range(0, len(data), 7):
        (tmp_path / file).write_bytes(data[:size])
        with pytest.raises(CorruptArtifact, match=file):
            read_model(tmp_path)


@pytest.mark.parametrize("file", FILES)
def test_a_forged_count_is_refused_before_memory_is_taken(tmp_path, file):
    write_model(tmp_path, random_model(3))
    (tmp_path / file).write_bytes(struct.pack("<Q", 2**60))
    with pytest.raises(CorruptArtifact, match=f"{file} promises"):
        read_model(tmp_path)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(tmp_path, file):
    write_model(tmp_path, random_model(3))
    (tmp_path / file).unlink()
    with pytest.raises(CorruptArtifact, match=f"{file} is missing"):
        read_model(tmp_path)


def test_an_unknown_camera_model_is_refused(tmp_path):
    write_model(tmp_path, random_model(3))
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<QIiQQ3d", 1, 1, 99, 640, 480, 1, 2, 3))
    with pytest.raises(CorruptArtifact, match="camera model 99"):
        read_model(tmp_path)
    with pytest.raises(ValueError, match="FISHEYE"):
        ColmapCamera(model="FISHEYE", width_px=1, height_px=1, params=())
    with pytest.raises(ValueError, match="4 parameters, got 2"):
        ColmapCamera(model="PINHOLE", width_px=1, height_px=1, params=(1.0, 2.0))
