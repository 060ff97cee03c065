"""The adapter of COLMAP, held against a rendered scene whose cameras are known."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap as pc
import pytest
from scene import FOCALS, RECIPE, ReplayedSfm
from scipy import sparse

from resources import colmap
from resources.colmap import ColmapBackend
from resources.colmap_attempts import attempt_message
from resources.colmap_database import alias
from resources.colmap_matches import prepare
from resources.colmap_strays import LEAST_SEEN, drop_strays, groups_of
from resources.colmap_worker import mended
from resources.features import read_features
from resources.progress import Progress
from splat_pipeline.domain.errors import MissingArtifact, ToolCrashed
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.poses import cam_from_world, rms_px


def said_to():
    said = []
    return said, said.append


def poses_in_order(model, names):
    by_name = {image.name: image_id for image_id, image in model.images.items()}
    return np.stack([cam_from_world(model, by_name[name]) for name in names])


@pytest.mark.parametrize("backend", [ColmapBackend(), None], ids=["colmap", "replayed"])
def test_a_backend_gives_features_and_the_largest_model_with_a_pose_an_image(backend, capture, tmp_path):
    """The contract of ``SfmBackend``."""
    sfm = backend or ReplayedSfm(capture)
    capture = replace(capture, names=capture.names[::2], camera_ids=capture.camera_ids[::2])
    said, say = said_to()
    sfm.extract_features(capture.feature_request(), tmp_path / "features", say=say)
    assert {row.image for row in read_features(tmp_path / "features", capture.names)} == set(capture.names)
    request = capture.request("incremental", features=tmp_path / "features")
    attempt = sfm.reconstruct(request, tmp_path / "model", say=say)
    model = read_model(tmp_path / "model")
    assert attempt.outcome == "model"
    assert attempt.models >= 1
    assert attempt.seconds > 0
    assert attempt.peak_rss_bytes > 0
    assert attempt.rms_px == pytest.approx(rms_px(model))
    assert attempt.registered == len(model.images) == len(capture.names)
    assert {image.name for image in model.images.values()} == set(capture.names)
    assert set(model.cameras) == set(capture.camera_ids)
    assert said
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".sfm")]


def test_known_cameras_of_two_clips_are_recovered_jointly(capture):
    model = read_model(capture.model)
    error = trajectory_error(poses_in_order(model, capture.names), capture.truth)
    assert 0 < capture.attempt.rms_px < 0.5
    assert 0 < error.ate_rmse < 0.002 * error.extent
    assert error.rotation_deg.max() < 0.3
    for camera_id, focal in enumerate(FOCALS.values()):
        assert model.cameras[camera_id].params[0] == pytest.approx(focal, rel=0.01)


def test_points_have_the_colours_of_the_pictures(capture):
    rgb = read_model(capture.model).points.rgb
    assert rgb.std(axis=0).min() > 10


def test_features_are_stored_as_they_were_found(capture):
    rows = list(read_features(capture.features, capture.names))
    for row in rows:
        assert row.keypoints.dtype == np.float32
        assert row.keypoints.shape == (len(row.descriptors), 6)
        assert (row.width_px, row.height_px) == (400, 300)
        assert ((row.keypoints[:, :2] >= 0) & (row.keypoints[:, :2] <= (400, 300))).all()
        assert row.descriptors.any(axis=1).all()
    assert min(len(row.keypoints) for row in rows) > 200


def test_an_image_without_features_is_named(capture):
    with pytest.raises(MissingArtifact, match=r"a/999\.jpg"):
        list(read_features(capture.features, ["a/000.jpg", "a/999.jpg"]))


def test_an_unreadable_image_is_named(tmp_path, capture):
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / "000.jpg").write_bytes(b"no picture")
    request = replace(capture.feature_request(), folder=tmp_path / "images", images=["a/000.jpg"], camera_ids=[0])
    with pytest.raises(ToolCrashed, match=r"a/000\.jpg could not be read as an image"):
        ColmapBackend().extract_features(request, tmp_path / "features", say=print)


def test_images_that_share_nothing_give_no_model_and_no_error(tmp_path, capture):
    """Black frames: COLMAP itself says nothing at all."""
    for i in range(4):
        path = tmp_path / "images" / "dark" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((120, 160, 3), np.uint8))
    names = [f"dark/{i}.jpg" for i in range(4)]
    request = capture.request(
        folder=tmp_path / "images", images=names, camera_ids=[0] * 4, features=tmp_path / "features"
    )
    asked = replace(capture.feature_request(), folder=tmp_path / "images", images=names, camera_ids=[0] * 4)
    ColmapBackend().extract_features(asked, tmp_path / "features", say=print)
    attempt = ColmapBackend().reconstruct(request, tmp_path / "model", say=print)
    assert (attempt.outcome, attempt.registered, attempt.models) == ("failed", 0, 0)
    assert np.isnan(attempt.rms_px)
    assert not (tmp_path / "model").exists()


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Puts another module in the place of the worker."""

    def replaced(body: str) -> None:
        module = tmp_path / "path" / "stand_in_worker.py"
        module.parent.mkdir()
        module.write_text(body)
        monkeypatch.setenv("PYTHONPATH", str(module.parent))
        monkeypatch.setattr(colmap, "WORKER", "stand_in_worker")

    return replaced


def test_a_worker_that_aborts_is_a_crashed_attempt(worker, capture, tmp_path):
    worker("import os; print('splat: about to die', flush=True); os.abort()")
    said, say = said_to()
    attempt = ColmapBackend().reconstruct(capture.request(), tmp_path / "model", say=say)
    assert (attempt.outcome, attempt.registered) == ("crashed", 0)
    assert "about to die" in said
    assert any("signal 6" in line for line in said)


def test_a_worker_that_hangs_is_a_timed_out_attempt(worker, capture, tmp_path):
    worker("import signal; signal.pause()")
    request = capture.request(recipe=RECIPE.model_copy(update={"time_limit_s": 0.5}))
    attempt = ColmapBackend().reconstruct(request, tmp_path / "model", say=print)
    assert attempt.outcome == "timeout"
    assert attempt.seconds < 5


def test_attempts_side_by_side_share_their_matches(capture):
    cached = list(capture.folder.glob("matches-*.db"))
    assert len(cached) == 1
    before = cached[0].stat().st_mtime_ns
    said, say = said_to()
    attempt = ColmapBackend().reconstruct(capture.request("incremental-wide"), capture.folder / "again", say=say)
    assert attempt.registered == len(capture.names)
    assert not [line for line in said if line.startswith("matching")]
    assert cached[0].stat().st_mtime_ns == before


def test_progress_lets_a_tenth_of_a_count_through():
    said, say = said_to()
    progress = Progress(say)
    for i in range(1, 101):
        progress(f"I2026 feature_extraction.cc:270] Processed file [{i}/100]")
    progress("I2026 something.cc:1] of no interest")
    progress("splat: models of [83] images")
    assert said[0] == "features 1/100"
    assert said[-1] == "models of [83] images"
    assert len(said) == 12


def test_pycolmap_is_imported_by_the_worker_and_its_own_modules_only():
    root = Path(colmap.__file__).parent.parent
    texts = {
        path.stem: path.read_text() for tree in ("resources", "splat_pipeline") for path in (root / tree).rglob("*.py")
    }
    importing = {name for name, text in texts.items() if "import pycolmap" in text}
    assert importing == {
        "colmap_worker",
        "colmap_database",
        "colmap_focal",
        "colmap_joined",
        "colmap_known",
        "colmap_matches",
        "colmap_posed",
        "colmap_readjust",
        "colmap_refine",
        "colmap_rescue",
        "colmap_strays",
    }
    for name, text in texts.items():
        found = {other for other in importing if f"from resources.{other} " in text or f"import {other}" in text}
        assert not found or name in importing, f"{name} would import pycolmap by way of {found}"


def test_an_attempt_tells_what_it_saw(capture):
    attempt = capture.attempt
    assert 200 < attempt.features <= 2 * RECIPE.max_features, "a feature may have two orientations"
    assert attempt.linked == 1
    assert 0.3 < attempt.flat < 1, "two of three views show mostly one wall"


def test_images_that_a_model_lacks_are_joined_to_it(capture, tmp_path):
    shutil.copytree(capture.features, tmp_path / "features")
    part = capture.request("incremental", images=capture.names[:7], camera_ids=capture.camera_ids[:7])
    start = tmp_path / "part"
    assert ColmapBackend().reconstruct(part, start, say=print).registered == 7
    said, say = said_to()
    attempt = ColmapBackend().reconstruct(
        capture.request("incremental-join", start=start), tmp_path / "joined", say=say
    )
    assert "7 images are missing from the model" in said
    assert attempt.registered == len(capture.names)
    model = read_model(tmp_path / "joined")
    error = trajectory_error(poses_in_order(model, capture.names), capture.truth)
    assert error.ate_rmse < 0.005 * error.extent


@pytest.mark.parametrize("strategy", ["incremental-other", "incremental-rich"])
def test_rescue_strategies_find_the_same_scene(strategy, capture, tmp_path):
    attempt = ColmapBackend().reconstruct(capture.request(strategy), tmp_path / "model", say=print)
    assert attempt.registered >= 12
    model = read_model(tmp_path / "model")
    names = sorted(image.name for image in model.images.values())
    truth = capture.truth[[capture.names.index(name) for name in names]]
    error = trajectory_error(poses_in_order(model, names), truth)
    assert error.ate_rmse < 0.01 * error.extent
    if strategy.endswith("rich"):
        assert attempt.features > capture.attempt.features


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("print('what():  std::bad_alloc', flush=True); import os; os.abort()", "memory"),
        ("raise MemoryError", "memory"),
        ("raise ValueError", "crashed"),
    ],
)
def test_a_worker_without_memory_is_known_from_one_that_crashed(worker, body, outcome, capture, tmp_path):
    worker(body)
    assert ColmapBackend().reconstruct(capture.request(), tmp_path / "model", say=print).outcome == outcome


def test_a_frame_that_hardly_anything_ties_to_the_model_is_left_out(capture, tmp_path):
    model = pc.Reconstruction(str(capture.model))
    images = sorted(model.reg_image_ids())
    stray = model.image(images[3])
    seen = [i for i, point in enumerate(stray.points2D) if point.has_point3D()]
    manager = pc.ObservationManager(model)
    for keypoint in seen[LEAST_SEEN:]:
        manager.delete_observation(stray.image_id, keypoint)
    assert drop_strays(model) == [], "as many as it takes"
    manager.delete_observation(stray.image_id, seen[0])
    assert drop_strays(model) == [stray.image_id]
    model.write_binary(str(tmp_path))
    left = read_model(tmp_path)
    assert set(left.images) == set(images) - {stray.image_id}
    assert drop_strays(model) == []


def test_frames_that_are_tied_to_each_other_and_not_to_the_model_are_left_out(capture):
    model = pc.Reconstruction(str(capture.model))
    images = sorted(model.reg_image_ids())
    apart = set(images[:3])
    manager = pc.ObservationManager(model)
    seers = {i: {each.image_id for each in point.track.elements} for i, point in model.points3D.items()}
    for image_id in apart:
        for keypoint, point in enumerate(model.image(image_id).points2D):
            if point.has_point3D() and seers[point.point3D_id] - apart:
                manager.delete_observation(image_id, keypoint)
    assert min(model.image(image_id).num_points3D for image_id in apart) > LEAST_SEEN
    assert drop_strays(model) == sorted(apart)


def seen_by(*points):
    """Return which frames see which of some points: (first, end) pairs of each frame."""
    seen = np.zeros((len(points), max(end for spans in points for _, end in spans)), np.int32)
    for row, spans in enumerate(points):
        for first, end in spans:
            seen[row, first:end] = 1
    return sparse.csr_matrix(seen)


def test_groups_are_one_where_together_they_see_enough_of_the_same():
    two = [[(0, 20)], [(8, 40)], [(50, 70)], [(60, 80), (0, 4)]]
    assert groups_of(seen_by(*two)).tolist() == [0, 0, 1, 2], "12 points, then 10, then 4"
    close = [[(0, 20)], [(8, 40)], [(50, 70)], [(58, 80), (0, 4)]]
    assert groups_of(seen_by(*close)).tolist() == [0, 0, 1, 1]
    third = [*close, [(0, 6), (74, 80)]]
    assert groups_of(seen_by(*third)).tolist() == [0, 0, 1, 1, 2], "6 points of each"
    shared = [*close[:2], [(50, 70), (30, 36)], [(58, 80), (0, 6)]]
    assert groups_of(seen_by(*shared)).tolist() == [0, 0, 0, 0], "12 of the two, 6 of each"


def test_a_stray_is_given_its_place_by_what_is_left_of_the_model(capture, tmp_path):
    message = attempt_message(capture.request("global"), folder=tmp_path / "out", scratch=str(tmp_path), threads=2)
    prepare(tmp_path / "matching.db", message)
    model = pc.Reconstruction(str(capture.model))
    for image in model.images.values():
        image.name = alias(image.image_id)
    stray = model.image(max(model.reg_image_ids()))
    manager = pc.ObservationManager(model)
    for keypoint in [i for i, point in enumerate(stray.points2D) if point.has_point3D()][3:]:
        manager.delete_observation(stray.image_id, keypoint)
    far = pc.Rigid3d(stray.cam_from_world().rotation, np.array([0.0, 0.0, 1e6]))
    model.frame(stray.frame_id).rig_from_world = far
    whole = mended(model, tmp_path / "matching.db", message)
    assert whole.num_reg_images() == len(capture.names)
    assert whole.image(stray.image_id).num_points3D > 10 * LEAST_SEEN
    assert np.linalg.norm(whole.image(stray.image_id).projection_center()) < 1e3
