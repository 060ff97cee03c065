"""Points for known poses, held against a rendered scene whose cameras and walls are known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scene import FOCALS, RECIPE, SIZE

from resources.colmap import ColmapBackend
from resources.features import read_features, write_features
from splat_pipeline.domain.errors import FewPoints, MissingArtifact, ToolTimeout, WrongPoses
from splat_pipeline.domain.formats.colmap import ColmapCamera, read_model
from splat_pipeline.domain.lens import distort
from splat_pipeline.domain.poses import cam_from_world, rms_px
from splat_pipeline.ports.sfm import TriangulationRequest

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def cameras(**changes):
    """The true ones: of one focal length each."""
    out = {}
    for camera_id, focal in enumerate(FOCALS.values()):
        params = (focal, focal, SIZE[0] / 2, SIZE[1] / 2)
        out[camera_id] = ColmapCamera(model="PINHOLE", width_px=SIZE[0], height_px=SIZE[1], params=params)
    return {camera_id: replace(camera, **changes) for camera_id, camera in out.items()}


def request(capture, **changes):
    asked = TriangulationRequest(
        folder=capture.images,
        images=capture.names,
        camera_ids=capture.camera_ids,
        cameras=cameras(),
        cams_from_world=capture.truth,
        features=capture.features,
        recipe=RECIPE,
        seed=0,
    )
    return replace(asked, **changes)


def from_walls(points):
    """Distance of (P, 3) points from the nearest of the three walls: y = 1, z = 2, x = -2."""
    return np.abs(points[:, [1, 2, 0]] - [1, 2, -2]).min(axis=1)


@pytest.mark.parametrize("recipe", [RECIPE, RECIPE.model_copy(update={"exhaustive_up_to": 5, "overlap": 3})])
def test_points_of_true_poses_lie_on_the_walls_and_poses_and_cameras_stay(recipe, capture, tmp_path):
    said = []
    found = ColmapBackend().triangulate(request(capture, recipe=recipe), tmp_path / "model", say=said.append)
    model = read_model(tmp_path / "model")
    off = from_walls(model.points.xyz)
    assert found.points == len(model.points) > 1000
    assert found.registered == len(model.images) == len(capture.names)
    assert np.median(off) < 0.01, "of a room 4 wide"
    assert np.quantile(off, 0.9) < 0.03
    assert found.rms_px == pytest.approx(rms_px(model))
    assert 0 < found.rms_px < 0.6
    assert 0 < found.epipolar_px < 0.3
    assert not found.contradicted
    assert found.matches > 5000
    assert found.seconds > 0
    assert found.peak_rss_bytes > 0
    assert dict(model.cameras) == cameras()
    by_name = {image.name: image_id for image_id, image in model.images.items()}
    for name, pose in zip(capture.names, capture.truth, strict=True):
        np.testing.assert_allclose(cam_from_world(model, by_name[name]), pose, atol=1e-9)
    assert model.points.rgb.std(axis=0).min() > 10
    assert any("matches, median epipolar error" in line for line in said)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".sfm")]


def test_a_lens_s_distortion_is_taken_from_the_camera(capture, tmp_path):
    """The features are moved to where the lens would have shown them."""
    bent = {
        camera_id: ColmapCamera(
            model="OPENCV", width_px=SIZE[0], height_px=SIZE[1], params=(*camera.params, -0.2, 0.03, 0.001, -0.002)
        )
        for camera_id, camera in cameras().items()
    }
    camera_ids = dict(zip(capture.names, capture.camera_ids, strict=True))
    (tmp_path / "features").mkdir()
    for segment in FOCALS:
        rows = []
        for row in read_features(capture.features, [name for name in capture.names if name.startswith(segment)]):
            camera = bent[camera_ids[row.image]]
            moved = row.keypoints.copy()
            moved[:, :2] = distort(camera, (moved[:, :2] - camera.params[2:4]) / camera.params[:2])
            rows.append(replace(row, keypoints=moved))
        write_features(tmp_path / "features" / f"{segment}.parquet", rows)
    asked = request(capture, features=tmp_path / "features", cameras=bent)
    found = ColmapBackend().triangulate(asked, tmp_path / "model", say=print)
    straight = request(capture, features=tmp_path / "features")
    without = ColmapBackend().triangulate(straight, tmp_path / "straight", say=print)
    assert found.points > 1000
    assert found.epipolar_px < without.epipolar_px / 2
    off, far_off = (from_walls(read_model(tmp_path / name).points.xyz) for name in ("model", "straight"))
    assert np.median(off) < 0.01
    assert np.median(far_off) > 3 * np.median(off)


@pytest.mark.parametrize("wrong", [lambda pose: FLIP @ pose, np.linalg.inv], ids=["flipped", "inverted"])
def test_poses_of_another_convention_are_refused_with_the_error_that_they_have(wrong, capture, tmp_path):
    asked = request(capture, cams_from_world=np.stack([wrong(pose) for pose in capture.truth]))
    with pytest.raises(
        WrongPoses, match=r"do not agree with the images: median epipolar error of \d+\.\d px"
    ) as caught:
        ColmapBackend().triangulate(asked, tmp_path / "model", say=print)
    assert caught.value.file == str(capture.images)
    assert "axes" in caught.value.remedy
    assert not (tmp_path / "model").exists()


def test_one_wrong_pose_is_named_and_does_no_harm(capture, tmp_path):
    poses = capture.truth.copy()
    poses[3] = FLIP @ poses[3]
    said = []
    found = ColmapBackend().triangulate(request(capture, cams_from_world=poses), tmp_path / "model", say=said.append)
    assert found.contradicted == [capture.names[3]]
    assert any(capture.names[3] in line for line in said)
    assert np.median(from_walls(read_model(tmp_path / "model").points.xyz)) < 0.01


def test_what_cannot_be_right_is_refused_before_matching(capture, tmp_path):
    mirrored = request(capture, cams_from_world=np.diag([1.0, 1, -1, 1]) @ capture.truth)
    half = request(capture, cameras=cameras(width_px=SIZE[0] // 2, height_px=SIZE[1] // 2))
    absent = request(capture, images=[*capture.names[:-1], "a/999.jpg"])
    for asked, kind, said in (
        (mirrored, WrongPoses, "mirrors"),
        (half, WrongPoses, "400x300 px, its intrinsics are of 200x150"),
        (absent, MissingArtifact, r"a/999\.jpg"),
    ):
        lines = []
        with pytest.raises(kind, match=said):
            ColmapBackend().triangulate(asked, tmp_path / "model", say=lines.append)
        assert not lines


def test_images_that_share_nothing_and_cameras_at_one_place_give_too_few_points(capture, tmp_path):
    blank = tmp_path / "images" / "dark"
    blank.mkdir(parents=True)
    names = [f"dark/{i}.jpg" for i in range(3)]
    for name in names:
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    dark = request(
        capture, folder=tmp_path / "images", images=names, camera_ids=[0] * 3, cams_from_world=capture.truth[:3]
    )
    sfm = ColmapBackend()
    searched = replace(capture.feature_request(), folder=dark.folder, images=names, camera_ids=[0] * 3)
    sfm.extract_features(searched, tmp_path / "features", say=print)
    with pytest.raises(FewPoints, match="no two of 3 images"):
        sfm.triangulate(replace(dark, features=tmp_path / "features"), tmp_path / "model", say=print)
    few = request(capture, images=capture.names[:1], camera_ids=[0], cams_from_world=capture.truth[:1])
    with pytest.raises(FewPoints, match="no two of 1 images"):
        sfm.triangulate(few, tmp_path / "model", say=print)


def test_two_images_are_enough(capture, tmp_path):
    pair = request(capture, images=capture.names[:2], camera_ids=[0, 0], cams_from_world=capture.truth[:2])
    found = ColmapBackend().triangulate(pair, tmp_path / "model", say=print)
    assert found.points > 300
    assert np.median(from_walls(read_model(tmp_path / "model").points.xyz)) < 0.02


def test_a_time_limit_is_kept(capture, tmp_path):
    recipe = RECIPE.model_copy(update={"time_limit_s": 0.05})
    with pytest.raises(ToolTimeout):
        ColmapBackend().triangulate(request(capture, recipe=recipe), tmp_path / "model", say=print)
