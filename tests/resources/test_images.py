import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from resources.images import KeyframeImages
from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.lens import distort
from splat_pipeline.domain.memory import Pictures
from splat_pipeline.domain.rigid import Similarity, rotation_from_quat
from splat_pipeline.domain.tables import KEYFRAMES, POSES, write_table

WIDTH, HEIGHT = 320, 200
BENT = ColmapCamera(model="SIMPLE_RADIAL", width_px=WIDTH, height_px=HEIGHT, params=(250.0, 165.0, 97.0, -0.15))
STRAIGHT = ColmapCamera(model="PINHOLE", width_px=WIDTH, height_px=HEIGHT, params=(250.0, 250.0, 160.0, 100.0))
FRAME = Similarity(scale=2.0, rotation=rotation_from_quat([0.9, 0.1, 0.3, 0.2]), translation=np.array([1.0, 2, 3]))


def picture_through(camera):
    """A smooth pattern of the ray's direction, as a camera with distortion sees it (red: right, green: down)."""
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 900), np.linspace(-0.7, 0.7, 700)), -1)
    at = distort(camera, grid)
    out = np.zeros((camera.height_px, camera.width_px, 3), np.float32)
    cells = np.floor(at).astype(int)
    inside = (cells >= 0).all(-1) & (cells[..., 0] < camera.width_px) & (cells[..., 1] < camera.height_px)
    out[cells[inside][:, 1], cells[inside][:, 0]] = pattern(grid[inside])
    return out.clip(0, 255).astype(np.uint8)


def pattern(rays):
    return np.stack([128 + 120 * rays[..., 0], 128 + 150 * rays[..., 1], np.full(rays.shape[:-1], 200)], -1)


@pytest.fixture
def folders(tmp_path):
    """Three keyframes: one through a bent lens, one held out, one without a pose."""

    def write(camera: ColmapCamera) -> list[Path]:
        keyframes, poses, points = (tmp_path / name for name in ("keyframes", "poses", "points"))
        (keyframes / "images" / "a").mkdir(parents=True)
        poses.mkdir()
        points.mkdir()
        rows, found = [], []
        for i in range(3):
            file = f"images/a/{i}.jpg"
            picture = cv2.cvtColor(picture_through(camera), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(keyframes / file), picture, [cv2.IMWRITE_JPEG_QUALITY, 100])
            rows.append(
                {
                    "keyframe_id": i, "video_id": "a", "frame_index": i, "pts_s": 0.0, "segment_id": "a", "file": file,
                    "width_px": WIDTH, "height_px": HEIGHT, "camera_id": 4, "holdout": i == 1,
                }
            )  # fmt: skip
            pose = dict.fromkeys([column.name for column in POSES.columns])
            pose |= {"keyframe_id": i, "registered": i != 2, "window_ids": [0], "pose_confidence": 0.9}
            if i != 2:
                pose |= {"qw": 1.0, "qx": 0.0, "qy": 0.0, "qz": 0.0, "tx": 0.5 * i, "ty": 0.0, "tz": 1.0}
            found.append(pose)
        write_table(keyframes / "keyframes.parquet", KEYFRAMES, rows)
        write_table(poses / "poses.parquet", POSES, found)
        camera_json = {
            "model": camera.model, "width_px": WIDTH, "height_px": HEIGHT, "params": list(camera.params),
        }  # fmt: skip
        (poses / "cameras.json").write_text(json.dumps({"4": camera_json}))
        (points / "frame_of_reference.json").write_text(json.dumps({"world_from_sfm": FRAME.to_json()}))
        return [keyframes, poses, points]

    return write


@pytest.mark.parametrize("longer_side_px", [WIDTH, 160, 100])
def test_each_pixel_shows_the_ray_that_the_pinhole_camera_gives_it(folders, longer_side_px):
    """Colours say directions: undistortion, resampling and intrinsics are right together, to a fraction of a pixel."""
    loaded = KeyframeImages().load(*folders(BENT), longer_side_px=longer_side_px, holdout=False)
    (image,), (view,) = loaded.images, loaded.views
    camera = view.camera
    assert image.shape == (camera.height_px, camera.width_px, 3)
    assert max(image.shape) == longer_side_px
    u, v = np.meshgrid(np.arange(camera.width_px) + 0.5, np.arange(camera.height_px) + 0.5)
    rays = np.stack([(u - camera.cx_px) / camera.fx_px, (v - camera.cy_px) / camera.fy_px], -1)
    difference = image[5:-5, 5:-5].astype(float) - pattern(rays)[5:-5, 5:-5]
    pixel = 120 / camera.fx_px
    assert abs(difference[..., 0].mean()) < 0.3 * pixel + 0.3
    assert abs(difference[..., 1].mean()) < 0.3 * pixel + 0.3
    assert np.abs(difference).mean() < 2


def test_no_black_border_is_left(folders):
    (image,) = KeyframeImages().load(*folders(BENT), longer_side_px=WIDTH, holdout=False).images
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert (edges[:, 2] > 150).all()


def test_a_straight_lens_leaves_the_picture_as_it_is(folders):
    keyframes, *others = folders(STRAIGHT)
    (image,) = KeyframeImages().load(keyframes, *others, longer_side_px=4000, holdout=False).images
    stored = cv2.cvtColor(cv2.imread(str(keyframes / "images/a/0.jpg")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(image, stored)


def test_splits_leave_out_what_has_no_pose(folders):
    where = folders(BENT)
    assert KeyframeImages().load(*where, longer_side_px=100, holdout=False).keyframe_ids == [0]
    assert KeyframeImages().load(*where, longer_side_px=100, holdout=True).keyframe_ids == [1]


def test_sizes_are_told_without_reading_an_image(folders):
    keyframes, poses, _ = folders(BENT)
    for file in keyframes.rglob("*.jpg"):
        file.unlink()
    assert KeyframeImages().sizes(keyframes, poses) == Pictures(count=1, width_px=WIDTH, height_px=HEIGHT)


def test_views_are_posed_in_the_upright_world(folders):
    """A point is seen in the same direction, whichever frame it is given in."""
    (view,) = KeyframeImages().load(*folders(BENT), longer_side_px=100, holdout=True).views
    in_sfm = np.array([0.3, -0.2, 4.0])
    seen = in_sfm + np.array([0.5, 0, 1])
    in_world = view.cam_from_world[:3, :3] @ FRAME.points(in_sfm) + view.cam_from_world[:3, 3]
    np.testing.assert_allclose(in_world, FRAME.scale * seen, atol=1e-9)


def test_an_image_of_another_size_is_named(folders):
    keyframes, *others = folders(BENT)
    cv2.imwrite(str(keyframes / "images/a/0.jpg"), np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(CorruptArtifact, match=r"0\.jpg is 40x30 px and must be 320x200 px"):
        KeyframeImages().load(keyframes, *others, longer_side_px=100, holdout=False)
