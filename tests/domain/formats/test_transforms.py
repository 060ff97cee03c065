"""``transforms.json``: what others export is understood, what cannot be right is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.errors import BadPoses, UnsafeUpload
from splat_pipeline.domain.formats import transforms
from splat_pipeline.domain.formats.transforms import OPENCV_FROM_OPENGL, read_transforms
from splat_pipeline.domain.rigid import rigid

NAMES = [f"images/{i}.jpg" for i in range(4)]
LENS = {"w": 640, "h": 480, "fl_x": 500.0, "fl_y": 510.0, "cx": 321.0, "cy": 239.0}


def poses(count=4, seed=0):
    rng = np.random.default_rng(seed)
    return [rigid(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3)) for _ in range(count)]


def document(cams_from_world, names=NAMES, world_from_source=None, scale=1.0, **lens):
    """As nerfstudio writes it: OpenGL's camera axes, the world moved by ``world_from_source``."""
    frames = []
    for name, pose in zip(names, cams_from_world, strict=True):
        matrix = np.linalg.inv(pose) @ OPENCV_FROM_OPENGL
        if world_from_source is not None:
            matrix = world_from_source @ matrix
        matrix[:3, 3] *= scale
        frames.append({"file_path": name, "transform_matrix": matrix.tolist()})
    return {**LENS, **lens, "frames": frames}


def read(data, file="transforms.json", images=NAMES, size_of=None):
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return read_transforms(text, file=file, images=images, size_of=size_of)


def test_poses_come_back_in_opencv_s_axes_with_their_lens():
    given = read(document(poses()))
    assert [frame.name for frame in given.frames] == NAMES
    for frame, pose in zip(given.frames, poses(), strict=True):
        np.testing.assert_allclose(frame.cam_from_world, pose, atol=1e-12)
    (camera,) = given.cameras.values()
    assert (camera.model, camera.width_px, camera.height_px) == ("PINHOLE", 640, 480)
    assert camera.params == (500, 510, 321, 239)
    assert not given.warnings


def test_what_nerfstudio_did_to_the_world_is_undone():
    """The rows that ``colmap_to_json`` swaps, and the scale of ``auto_scale_poses``."""
    swap = np.eye(4)[[0, 2, 1, 3]]
    swap[2] *= -1
    data = document(poses(), world_from_source=swap, scale=0.25)
    given = read({**data, "applied_transform": swap[:3].tolist(), "applied_scale": 0.25})
    for frame, pose in zip(given.frames, poses(), strict=True):
        np.testing.assert_allclose(frame.cam_from_world, pose, atol=1e-12)


def test_intrinsics_of_a_frame_come_before_those_of_the_file():
    data = document(poses(), k1=0.05, p2=-0.001)
    data["frames"][2] |= {"fl_x": 700, "fl_y": 700, "k1": 0.0, "p2": 0.0}
    given = read(data)
    lenses = [given.cameras[frame.camera_id] for frame in given.frames]
    assert [lens.model for lens in lenses] == ["OPENCV", "OPENCV", "PINHOLE", "OPENCV"]
    assert lenses[0].params == (500, 510, 321, 239, 0.05, 0, 0, -0.001)
    assert lenses[2].params[:2] == (700, 700)
    assert len(given.cameras) == 2


def test_a_field_of_view_and_no_ending_are_enough_as_blender_writes_it():
    data = document(poses(), names=["./images/0", "images/1", "images/2", "images/3"])
    data = {"camera_angle_x": 2 * np.arctan(0.5), "frames": data["frames"]}
    given = read(data, size_of=lambda _: (200, 100))
    (camera,) = given.cameras.values()
    np.testing.assert_allclose(camera.params, (200, 200, 100, 50))
    assert [frame.name for frame in given.frames] == NAMES


def test_names_are_relative_to_the_file_and_frames_without_an_image_are_a_warning():
    given = read(document(poses()), file="scan/transforms.json", images=["scan/images/1.jpg", "images/0.jpg"])
    assert [frame.name for frame in given.frames] == ["scan/images/1.jpg"]
    (warning,) = given.warnings
    assert warning.startswith("scan/transforms.json: 3 of 4 frames have no image in the upload: images/0.jpg, ")
    with pytest.raises(BadPoses, match="none of its 4 frames has an image"):
        read(document(poses()), images=["other.jpg"])


def with_pose(change):
    data = document(poses())
    matrix = np.array(data["frames"][1]["transform_matrix"])
    data["frames"][1]["transform_matrix"] = change(matrix)
    return data


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda m: (m @ np.diag([1, 1, -1, 1])).tolist(), "no rotation: determinant -1"),
        (lambda m: (m * [[2], [2], [2], [1]]).tolist(), "no rotation: determinant 8"),
        (lambda m: (m + np.eye(4) * 0.01).tolist(), "no rotation|last row"),
        (lambda m: (m + np.array([[0, 0, 0, 1e12]] + 3 * [[0] * 4])).tolist(), "units away"),
        (lambda m: m[:2].tolist(), "not 3x4 or 4x4"),
        (lambda m: [*m[:3].tolist(), [0, 0, 0, 2]], "last row"),
        (lambda _: None, "not 3x4|no matrix"),
        (lambda _: [["a"] * 4] * 4, "no matrix of numbers"),
        (lambda _: [[1, 2], [3]], "no matrix of numbers"),
        (lambda m: [[10**400, 0, 0, 0], *m[1:].tolist()], "no matrix of numbers"),
    ],
)
def test_a_pose_that_is_none_names_its_frame(change, because):
    with pytest.raises(BadPoses, match=because) as caught:
        read(with_pose(change))
    assert caught.value.file == "transforms.json"
    assert "images/1.jpg" in caught.value.cause


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "a/../../b.jpg", "..\\..\\b.jpg", "a\0.jpg", ""])
def test_a_name_outside_the_upload_is_refused(name):
    with pytest.raises(UnsafeUpload, match="frame 0"):
        read(document(poses(), names=[name, *NAMES[1:]]))


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "must hold keys"),
        (b'{"frames": []}', "no list of frames"),
        (b'{"frames": [1, 2]}', "no list of frames"),
        (b'{"frames": [{}]}', "frame 0 has no file_path"),
        (b'{"fl_x": NaN, "frames": []}', "NaN is no finite number"),
        (b'{"fl_x": -Infinity}', "-Infinity is no finite number"),
    ],
)
def test_what_is_no_document_of_poses_is_refused(text, because):
    with pytest.raises(BadPoses, match=because):
        read(text)


@pytest.mark.parametrize(
    ("lens", "because"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "OPENCV_FISHEYE is not understood"),
        ({"k3": 0.1}, "k3 is not understood"),
        ({"is_fisheye": True}, "fisheye is not understood"),
        ({"fl_x": "500"}, "fl_x is '500', not a number"),
        ({"fl_x": 1e300}, "not a number"),
        ({"fl_x": -5.0}, "cannot be right"),
        ({"fl_x": 0, "fl_y": 0}, "cannot be right"),
        ({"w": 0, "h": 0}, "cannot be right"),
        ({"cx": 1e6}, "cannot be right"),
        ({"k1": True}, "not a number"),
        ({"applied_scale": 0}, "applied_scale is 0"),
        ({"applied_transform": [[1, 0, 0, 0]] * 3}, "applied_transform is no rotation"),
    ],
)
def test_a_lens_that_cannot_be_right_is_refused(lens, because):
    with pytest.raises(BadPoses, match=because):
        read(document(poses(), **lens))


def test_size_and_number_of_frames_are_capped_and_an_image_has_one_pose(monkeypatch):
    with pytest.raises(BadPoses, match=r"images/0\.jpg has two poses"):
        read(document(poses(), names=[NAMES[0], NAMES[0], *NAMES[2:]]))
    monkeypatch.setattr(transforms, "MAX_FRAMES", 3)
    with pytest.raises(BadPoses, match="4 frames, 3 at most"):
        read(document(poses()))
    monkeypatch.setattr(transforms, "MAX_BYTES", 100)
    with pytest.raises(BadPoses, match="larger than"):
        read(document(poses()))
