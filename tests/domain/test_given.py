"""Poses of others: matched to the images of an upload by name, refused where they cannot be right."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.errors import BadPoses
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints, write_model
from splat_pipeline.domain.given import (
    GivenFrame,
    GivenPoses,
    frames_of,
    lens_ids,
    lenses_from_json,
    lenses_json,
    only_posed,
    placed,
    resized,
    without,
)
from splat_pipeline.domain.given_colmap import images_at, read_colmap_poses
from splat_pipeline.domain.lens import project
from splat_pipeline.domain.rigid import quat_from_rotation, rigid
from splat_pipeline.domain.tables import GIVEN, read_table, write_table

CAMERAS = {
    1: ColmapCamera(model="SIMPLE_RADIAL", width_px=640, height_px=480, params=(500.0, 320.0, 240.0, 0.05)),
    7: ColmapCamera(model="OPENCV", width_px=640, height_px=480, params=(510, 511, 322, 238, 0.1, -0.05, 0.001, 0)),
}


def pose(seed):
    rng = np.random.default_rng(seed)
    return rigid(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3))


def model(names=("0.jpg", "1.jpg", "2.jpg")):
    """Three images and two points: all see the first, images 0 and 1 the second."""
    images = {
        i + 1: ColmapImage(
            name=name,
            camera_id=(1, 7)[i % 2],
            quat=quat_from_rotation(pose(i)[:3, :3]),
            translation=pose(i)[:3, 3],
            xys=np.ones((3, 2)),
            point3d_ids=np.array([50, 60 if i < 2 else -1, -1]),
        )
        for i, name in enumerate(names)
    }
    points = ColmapPoints(
        ids=np.array([50, 60]),
        xyz=np.ones((2, 3)),
        rgb=np.zeros((2, 3), np.uint8),
        error_px=np.ones(2),
        track_lengths=np.array([3, 2]),
        track_images=np.array([1, 2, 3, 1, 2]),
        track_keypoints=np.array([0, 0, 0, 1, 1]),
    )
    return ColmapModel(cameras=CAMERAS, images=images, points=points)


def text_model(folder, made):
    cameras = [
        f"{i} {c.model} {c.width_px} {c.height_px} {' '.join(map(str, c.params))}" for i, c in made.cameras.items()
    ]
    (folder / "cameras.txt").write_text("# Camera list\n" + "\n".join(cameras) + "\n")
    rows = ["# Image list"]
    for i, image in made.images.items():
        rows += [
            f"{i} {' '.join(map(repr, map(float, (*image.quat, *image.translation))))} {image.camera_id} {image.name}",
            "",
        ]
    (folder / "images.txt").write_text("\r\n".join(rows) + "\r\n")


@pytest.mark.parametrize("write", [write_model, text_model])
def test_a_model_s_poses_find_their_images_wherever_these_lie(write, tmp_path):
    write(tmp_path, model(("cam/0.jpg", "cam/1.jpg", "cam/gone.jpg")))
    sizes = {
        "photos/cam/0.jpg": 9,
        "photos/cam/1.jpg": 9,
        "photos_2/cam/0.jpg": 3,
        "photos_2/cam/1.jpg": 3,
        "0.jpg": 99,
    }
    found = read_colmap_poses(tmp_path, "sparse/0", sizes)
    assert [(frame.name, frame.camera_id) for frame in found.frames] == [
        ("photos/cam/0.jpg", 1),
        ("photos/cam/1.jpg", 7),
    ]
    for i, frame in enumerate(found.frames):
        np.testing.assert_allclose(frame.cam_from_world, pose(i), atol=1e-9)
    assert found.cameras == CAMERAS
    assert list(found.warnings) == ["sparse/0: 1 of 3 images are not in the upload: cam/gone.jpg"]


def test_of_several_folders_the_one_with_most_of_the_images_is_taken():
    assert images_at(["a.jpg", "b.jpg"], {"x/a.jpg": 1000, "y/a.jpg": 1, "y/b.jpg": 1}) == "y/"
    assert images_at(["a.jpg"], {"a.jpg": 1}) == ""
    assert images_at(["a.jpg"], {"xa.jpg": 1}) is None


@settings(max_examples=150)
@given(
    st.sampled_from(["cameras", "images"]),
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_model_is_refused_or_read_but_never_anything_else(tmp_path_factory, part, cut, changes):
    folder = tmp_path_factory.mktemp("damaged")
    write_model(folder, model())
    data = bytearray((folder / f"{part}.bin").read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    (folder / f"{part}.bin").write_bytes(data[: cut + 1])
    sizes = {f"{i}.jpg": 1 for i in range(3)}
    try:
        found = read_colmap_poses(folder, ".", sizes)
    except BadPoses as error:
        assert error.file == "."  # noqa: PT017
    else:
        assert {frame.name for frame in found.frames} <= set(sizes)
        assert all(np.isfinite(frame.cam_from_world).all() for frame in found.frames)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("1 1 0 0 0 0 0 0 1\n", "no COLMAP model"),
        ("1 nan 0 0 0 0 0 0 1 0.jpg\n", "must be finite"),
        ("1 0 0 0 0 0 0 0 1 0.jpg\n", "must be finite and not zero"),
        ("1 1 0 0 0 inf 0 0 1 0.jpg\n", "not finite"),
        ("1 1 0 0 0 0 0 0 5 0.jpg\n", "camera 5, which is not there"),
        ("1 1 0 0 0 0 0 0 1 0.jpg\n\n2 1 0 0 0 0 0 0 1 0.jpg\n", "two images have one name"),
        ("1 1 0 0 0 0 0 0 1 other.jpg\n", r"none of its 1 images \(such as other.jpg\)"),
    ],
)
def test_a_text_model_that_cannot_be_right_says_why(tmp_path, text, because):
    text_model(tmp_path, model())
    (tmp_path / "images.txt").write_text(text)
    with pytest.raises(BadPoses, match=because):
        read_colmap_poses(tmp_path, ".", {"0.jpg": 1})


@given(st.sampled_from(list(CAMERAS.values())), st.integers(1, 8))
def test_a_resized_lens_sees_the_same_at_the_resized_place(camera, times):
    width, height = camera.width_px * times // 4, camera.height_px * times // 4
    points = np.random.default_rng(0).normal(size=(20, 3)) * 0.3 + [0, 0, 2]
    small = project(resized(camera, width, height), points)
    np.testing.assert_allclose(small, project(camera, points) * times / 4, atol=1e-6)
    with pytest.raises(ValueError, match="is not the shape of"):
        resized(camera, height, width)


def test_leaving_an_image_out_leaves_a_whole_model():
    left = without(model(), ["1.jpg"])
    assert sorted(left.images) == [1, 3]
    assert left.points.ids.tolist() == [50], "the other is seen by one image only"
    assert left.points.track_lengths.tolist() == [2]
    assert left.points.track_images.tolist() == [1, 3]
    assert left.images[1].point3d_ids.tolist() == [50, -1, -1]
    assert without(model(), []).points.ids.tolist() == [50, 60]


def test_given_poses_survive_their_table(tmp_path):
    frames = [
        GivenFrame(name=f"in/{i}.jpg", camera_id=(7, 1)[i % 2], cam_from_world=pose(i), confidence=(None, 0.25)[i % 2])
        for i in range(4)
    ]
    rows = placed(GivenPoses(source="x", cameras=CAMERAS, frames=frames), {"in": ("in", ["2.jpg", "0.jpg", "1.jpg"])})
    write_table(tmp_path / "t.parquet", GIVEN, rows)
    table = read_table(tmp_path / "t.parquet", GIVEN)
    back = frames_of(table)
    assert [(frame.name, frame.camera_id, frame.confidence) for frame in back] == [
        ("in/0.jpg", 7, None),
        ("in/1.jpg", 1, 0.25),
        ("in/2.jpg", 7, None),
    ]
    for i, frame in enumerate(back):
        np.testing.assert_allclose(frame.cam_from_world, pose(i), atol=1e-12)
    assert lens_ids(table) == {("in", 1): 7, ("in", 2): 1, ("in", 0): 7}
    analysed = pd.DataFrame({"video_id": ["in", "in", "other"], "frame_index": [2, 5, 0], "quality": [1, 2, 3]})
    assert only_posed(analysed, table)["quality"].tolist() == [1]
    assert lenses_from_json(lenses_json(CAMERAS)) == CAMERAS
