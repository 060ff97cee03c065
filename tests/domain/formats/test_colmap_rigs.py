"""Frames of rigs: where COLMAP has its images from; held against files of COLMAP's own form."""

from __future__ import annotations

import struct

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.errors import BadPoses, CorruptArtifact
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints, write_model
from splat_pipeline.domain.formats.colmap_rigs import poses_of_frames
from splat_pipeline.domain.given_colmap import read_colmap_poses
from splat_pipeline.domain.rigid import quat_from_rotation, rigid

LENS = ColmapCamera(model="PINHOLE", width_px=640, height_px=480, params=(500.0, 500.0, 320.0, 240.0))
SIDE = (np.float64(0.8), np.float64(0.6), 0.0, 0.0, 0.1, 0.2, 0.3)
"""Of the second camera in the rig."""


def pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rigid(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3))


def numbers(matrix: np.ndarray) -> tuple[float, ...]:
    return (*map(float, quat_from_rotation(matrix[:3, :3])), *map(float, matrix[:3, 3]))


def binary(folder) -> None:
    """Two cameras and a gyroscope in one rig, two instants; the second camera's place is known, the third's is not."""
    rigs = struct.pack("<QII", 1, 4, 3) + struct.pack("<iI", 0, 1)
    rigs += struct.pack("<iIB7d", 0, 2, 1, *SIDE) + struct.pack("<iIB", 1, 1, 0)
    (folder / "rigs.bin").write_bytes(rigs)
    frames = struct.pack("<Q", 2)
    for i in range(2):
        frames += struct.pack("<II7dI", i + 1, 4, *numbers(pose(i)), 3)
        frames += struct.pack("<iIQ", 0, 1, 2 * i + 1) + struct.pack("<iIQ", 0, 2, 2 * i + 2)
        frames += struct.pack("<iIQ", 1, 1, 99)
    (folder / "frames.bin").write_bytes(frames)


def text(folder) -> None:
    side = " ".join(map(repr, map(float, SIDE)))
    (folder / "rigs.txt").write_text(f"# rigs\n4 3 CAMERA 1 CAMERA 2 1 {side} IMU 1 0\n")
    lines = [
        f"{i + 1} 4 {' '.join(map(repr, numbers(pose(i))))} 3 CAMERA 1 {2 * i + 1} CAMERA 2 {2 * i + 2} IMU 1 99"
        for i in range(2)
    ]
    (folder / "frames.txt").write_text("# frames\n" + "\n".join(lines) + "\n")


def model() -> ColmapModel:
    """Four images, all where the first frame's rig is."""
    at = {"quat": quat_from_rotation(pose(0)[:3, :3]), "translation": pose(0)[:3, 3]}
    images = {
        i: ColmapImage(name=f"{i}.jpg", camera_id=1, **at, xys=np.ones((1, 2)), point3d_ids=np.array([-1]))
        for i in range(1, 5)
    }
    nothing = np.zeros(0, np.int64)
    points = ColmapPoints(
        ids=nothing, xyz=np.zeros((0, 3)), rgb=np.zeros((0, 3), np.uint8), error_px=np.zeros(0), track_lengths=nothing,
        track_images=nothing, track_keypoints=nothing,
    )  # fmt: skip
    return ColmapModel(cameras={1: LENS}, images=images, points=points)


@pytest.mark.parametrize("write", [binary, text])
def test_an_image_is_where_its_rig_was_and_its_camera_sits_in_it(write, tmp_path) -> None:
    write(tmp_path)
    found = poses_of_frames(tmp_path)
    side = rigid(Rotation.from_quat([0.6, 0, 0, 0.8]).as_matrix(), np.array(SIDE[4:]))
    wanted = {1: pose(0), 2: side @ pose(0), 3: pose(1), 4: side @ pose(1)}
    assert found.keys() == wanted.keys()
    for image, matrix in wanted.items():
        np.testing.assert_allclose(found[image], matrix, atol=1e-12)


def test_frames_have_the_last_word_and_what_they_moved_is_told(tmp_path) -> None:
    write_model(tmp_path, model())
    sizes = {f"{i}.jpg": 1 for i in range(1, 5)}
    assert list(read_colmap_poses(tmp_path, "sparse/0", sizes).warnings) == []
    binary(tmp_path)
    found = read_colmap_poses(tmp_path, "sparse/0", sizes)
    np.testing.assert_allclose(found.frames[2].cam_from_world, pose(1), atol=1e-9)
    assert [warning.split(": ", 1)[1] for warning in found.warnings] == [
        "the poses of 3 images are those of its frames, which images.* tells otherwise"
    ]


def test_one_of_the_two_files_alone_tells_nothing(tmp_path) -> None:
    binary(tmp_path)
    (tmp_path / "rigs.bin").unlink()
    assert poses_of_frames(tmp_path) == {}


def test_a_sensor_that_no_rig_has_is_named(tmp_path) -> None:
    text(tmp_path)
    (tmp_path / "rigs.txt").write_text("4 1 CAMERA 1\n")
    with pytest.raises(CorruptArtifact, match=r"frames.txt names sensor 2 of rig 4, which is not there"):
        poses_of_frames(tmp_path)


@pytest.mark.parametrize("file", ["rigs", "frames"])
def test_a_forged_count_is_refused_before_anything_is_made_of_it(file: str, tmp_path) -> None:
    write_model(tmp_path, model())
    binary(tmp_path)
    data = (tmp_path / f"{file}.bin").read_bytes()
    (tmp_path / f"{file}.bin").write_bytes(struct.pack("<Q", 1 << 60) + data[8:])
    with pytest.raises(BadPoses, match=rf"{file}.bin promises \d+ records and is too short"):
        read_colmap_poses(tmp_path, ".", {"1.jpg": 1})


@settings(max_examples=150)
@given(
    st.sampled_from(["rigs", "frames"]),
    st.integers(0, 300),
    st.lists(st.tuples(st.integers(0, 299), st.integers(0, 255))),
)
def test_damaged_files_are_refused_or_read_but_never_anything_else(tmp_path_factory, file, cut, changes) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    binary(folder)
    data = bytearray((folder / f"{file}.bin").read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    (folder / f"{file}.bin").write_bytes(data[: cut + 1])
    try:
        found = poses_of_frames(folder)
    except CorruptArtifact as error:
        assert error.file in {"rigs.bin", "frames.bin"}  # noqa: PT017
    else:
        assert all(np.isfinite(matrix).all() for matrix in found.values())
