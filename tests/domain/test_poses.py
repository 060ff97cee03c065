import numpy as np
import pandas as pd
import pycolmap
import pytest

from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.poses import (
    alignment_row,
    cam_from_world,
    cameras_json,
    moved,
    observe,
    path_sketch,
    pose_rows,
    poses_of,
    rms_px,
)
from splat_pipeline.domain.rigid import Similarity, rotation_from_quat
from splat_pipeline.domain.tables import ALIGNMENT, POSES, to_table
from splat_pipeline.domain.uncertainty import pose_sigmas


@pytest.fixture
def noisy(tmp_path):
    """COLMAP's own reconstruction object, with half a pixel of noise, and the model as we read it."""
    options = pycolmap.SyntheticDatasetOptions(num_rigs=1, num_frames_per_rig=8, num_points3D=80)
    theirs = pycolmap.synthesize_dataset(options)
    pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), theirs)
    theirs.update_point_3d_errors()
    theirs.write_binary(tmp_path)
    return theirs, read_model(tmp_path)


def keyframes_of(model, *more):
    files = [f"images/{image.name}" for image in model.images.values()]
    return pd.DataFrame({"keyframe_id": range(len(files) + len(more)), "file": [*files, *more]})


ELSEWHERE = Similarity(scale=2.5, rotation=rotation_from_quat([1, 0.2, -0.4, 0.3]), translation=np.array([4.0, -2, 1]))


def test_reprojection_errors_are_colmaps(noisy):
    theirs, model = noisy
    seen = observe(model)
    mean = np.bincount(seen.point, seen.error_px) / np.bincount(seen.point)
    np.testing.assert_allclose(mean, model.points.error_px, rtol=1e-6)
    assert 0.4 < rms_px(model, seen) < 1.0
    assert rms_px(model) == rms_px(model, seen)
    assert seen.error_px.mean() == pytest.approx(theirs.compute_mean_reprojection_error(), rel=1e-6)


def test_the_triangulation_angle_is_the_widest_between_two_cameras(noisy):
    _, model = noisy
    seen = observe(model)
    for point in range(0, len(model.points), 9):
        mine = seen.point == point
        to = np.array(
            [-cam_from_world(model, i)[:3, :3].T @ cam_from_world(model, i)[:3, 3] for i in seen.image_id[mine]]
        )
        ray = model.points.xyz[point] - to
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        widest = np.degrees(np.arccos(np.clip(ray @ ray.T, -1, 1))).max()
        found = seen.angle_deg[mine][0]
        assert 0.75 * widest <= found <= widest + 1e-6  # two farthest rays, not all pairs


def test_a_row_a_keyframe_with_its_pose_or_without(noisy):
    _, model = noisy
    keyframes = keyframes_of(model, "images/lost.jpg")
    rows = pd.DataFrame(pose_rows(model, keyframes, {0: [0], 1: [0, 1]}, pose_sigmas(model)))
    to_table(POSES, rows)
    assert rows["registered"].tolist() == [True] * 8 + [False]
    assert rows["window_ids"].tolist()[:3] == [[0], [0, 1], []]
    assert rows.iloc[8][["qw", "tx", "observations", "mean_error_px"]].isna().all()
    assert rows.iloc[8]["pose_confidence"] == 0
    found = rows.iloc[:8]
    truth = [noisy[0].find_image_with_name(image.name) for image in model.images.values()]
    assert (found["observations"] == [image.num_points3D for image in truth]).all()
    assert found["pose_confidence"].between(0.5, 1).all()
    assert (found[["rotation_sigma_deg", "position_sigma"]].to_numpy(float) > 0).all()
    assert found["mean_error_px"].between(0.3, 1).all()
    centers = np.array([image.projection_center() for image in truth])
    np.testing.assert_allclose(found[["center_x", "center_y", "center_z"]].to_numpy(float), centers, atol=1e-9)


def test_poses_are_read_back_from_their_rows(noisy):
    _, model = noisy
    rows = pd.DataFrame(pose_rows(model, keyframes_of(model), {}, {}))
    for image_id, pose in zip(model.images, poses_of(rows, range(8)), strict=True):
        np.testing.assert_allclose(pose, cam_from_world(model, image_id), atol=1e-9)


def test_a_moved_model_shows_the_same_pictures(noisy):
    _, model = noisy
    away = moved(model, ELSEWHERE)
    np.testing.assert_allclose(observe(away).error_px, observe(model).error_px, atol=1e-6)
    np.testing.assert_allclose(observe(away).angle_deg, observe(model).angle_deg, atol=1e-5)
    np.testing.assert_allclose(moved(away, ELSEWHERE.inverse()).points.xyz, model.points.xyz, atol=1e-9)


def test_a_point_behind_its_camera_is_not_counted_as_exact(noisy):
    _, model = noisy
    model.points.xyz[0] = [1e3, 1e3, 1e3]
    seen = observe(model)
    assert np.isfinite(rms_px(model, seen))
    assert rms_px(model, seen) > 10 or np.isnan(seen.error_px[seen.point == 0]).any()


def test_cameras_are_written_in_colmaps_order(noisy):
    theirs, model = noisy
    (values,) = cameras_json(model).values()
    camera = theirs.cameras[1]
    assert values == {
        "model": camera.model_name, "width_px": camera.width, "height_px": camera.height, "params": list(camera.params),
    }  # fmt: skip


def test_the_identity_alignment_fits_its_table():
    rows = [alignment_row(0, Similarity.identity()), alignment_row(1, ELSEWHERE, shared_observations=7)]
    table = to_table(ALIGNMENT, rows).to_pandas()
    assert list(table["shared_observations"]) == [0, 7]
    assert table.loc[0, ["scale", "qw", "tx"]].tolist() == [1, 1, 0]


def test_the_sketch_shows_a_circle_from_first_to_last():
    turn = np.linspace(0, 2 * np.pi, 60)
    sketch = path_sketch(np.stack([np.cos(turn), 0 * turn, np.sin(turn)], axis=1))
    lines = sketch.splitlines()
    assert len(sketch) < 900
    assert set("0123456789") <= set(sketch)
    assert len(lines) == 14
    assert 25 <= max(map(len, lines)) <= 28, "a letter is twice as high as wide"
    assert path_sketch(np.zeros((0, 3))) == ""
    assert path_sketch(np.zeros((3, 3))) == "6"
    assert path_sketch(np.ones((1, 3))) == "0"
