"""Figures of ``splat evaluate``: right on a trajectory whose error is known, whatever form the truth has."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from resources.evo_metrics import trajectory_metrics
from resources.stores import FileStore
from splat_pipeline import cli
from splat_pipeline.domain.depth_error import Depths, depth_error
from splat_pipeline.domain.errors import BadPoses, InputError, ToolMissing
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.colmap import (
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    ColmapPoints,
    write_model,
)
from splat_pipeline.domain.formats.transforms import OPENCV_FROM_OPENGL
from splat_pipeline.domain.formats.tum import read_tum, write_tum
from splat_pipeline.domain.given_colmap import images_at
from splat_pipeline.domain.poses import _FOUND
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation, rigid
from splat_pipeline.domain.tables import KEYFRAMES, POSES, VIDEOS, write_table
from splat_pipeline.domain.truth import Truth, matched
from splat_pipeline.evaluate import evaluate_job, read_truth

COUNT, LOST, JOB = 20, 4, "orbit-00000000"
TIMES = np.arange(COUNT) / 4
NAMES = [f"photos/{i:02d}.jpg" for i in range(COUNT)]
needs_evo = pytest.mark.skipif(importlib.util.find_spec("evo") is None, reason="evo is not installed: extra evaluation")


def orbit():
    out = []
    for turn in np.linspace(0, 5, COUNT):
        rotation = Rotation.from_euler("y", turn).as_matrix()
        out.append(rigid(rotation, -rotation @ [3 * np.sin(turn), 0.2 * turn, 2 * np.cos(turn)]))
    return np.stack(out)


def disturbed(truth):
    rng = np.random.default_rng(0)
    turns = Rotation.from_rotvec(0.01 * rng.normal(size=(COUNT, 3))).as_matrix()
    return np.stack([rigid(r, 0.02 * rng.normal(size=3)) @ pose for r, pose in zip(turns, truth, strict=True)])


@pytest.fixture
def store(tmp_path):
    """A job whose poses are the truth's, a little off, in a world of their own; the last ``LOST`` were not found."""
    elsewhere = Similarity(scale=0.3, rotation=Rotation.random(rng=1).as_matrix(), translation=np.array([1.0, 2, 3]))
    made = FileStore(tmp_path / "home" / "store", tmp_path / "home" / "delivered")
    blank = dict.fromkeys(column.name for column in VIDEOS.columns)
    video = blank | {"video_id": "photos", "name": "photos", "sha256": "", "size_bytes": 1, "usable": True}
    with made.scratch(JOB, "source_videos") as folder:
        images = {"photos": [name.split("/")[1] for name in NAMES]}
        (folder / "manifest.json").write_text(json.dumps({"images": images}))
        write_table(folder / "videos.parquet", VIDEOS, [video])
        made.publish(JOB, "source_videos", folder, provenance={})
    rows = [
        {"keyframe_id": i, "video_id": "photos", "frame_index": i, "pts_s": TIMES[i], "segment_id": "s"}
        | {"file": f"images/s/{i}.jpg"}
        | {"width_px": 4, "height_px": 4, "camera_id": 0, "holdout": False}
        for i in range(COUNT)
    ]
    with made.scratch(JOB, "keyframes") as folder:
        write_table(folder / "keyframes.parquet", KEYFRAMES, rows)
        made.publish(JOB, "keyframes", folder, provenance={})
    found = []
    for i, pose in enumerate(disturbed(orbit())):
        row = dict.fromkeys(_FOUND) | {"keyframe_id": i, "registered": i < COUNT - LOST, "window_ids": [0]}
        row["pose_confidence"] = 0.5
        if row["registered"]:
            moved = elsewhere.pose(pose)
            row |= dict(zip(("qw", "qx", "qy", "qz"), quat_from_rotation(moved[:3, :3]), strict=True))
            row |= dict(zip(("tx", "ty", "tz"), moved[:3, 3], strict=True))
        found.append(row)
    with made.scratch(JOB, "camera_poses") as folder:
        write_table(folder / "poses.parquet", POSES, pd.DataFrame(found))
        (folder / "sparse").mkdir()
        there = [elsewhere.pose(pose) for pose in disturbed(orbit())]
        files = [f"s/{i}.jpg" for i in range(COUNT)]
        ours = modelled(files[:-LOST], there[:-LOST], elsewhere.points(WALLS), seen_by=orbit()[:-LOST])
        write_model(folder / "sparse", ours)
        made.publish(JOB, "camera_poses", folder, provenance={})
    return made


def tum(folder):
    (folder / "truth.txt").write_text(write_tum(TIMES + 0.001, orbit()))
    return folder / "truth.txt"


def transforms(folder):
    frames = [
        {"file_path": name.split("/")[1], "transform_matrix": (np.linalg.inv(pose) @ OPENCV_FROM_OPENGL).tolist()}
        for name, pose in zip(NAMES, orbit(), strict=True)
    ]
    (folder / "truth.json").write_text(json.dumps({"fl_x": 500, "frames": frames[::-1]}))
    return folder / "truth.json"


def colmap(folder):
    (folder / "model").mkdir()
    write_model(folder / "model", modelled([name.split("/")[1] for name in NAMES][::-1], orbit()[::-1], WALLS))
    return folder / "model"


WALLS = 10 * np.random.default_rng(2).dirichlet([1, 1, 1], 300) * np.random.default_rng(3).choice([-1, 1], (300, 3))


def modelled(names, poses, points, *, seen_by=None):
    """Return a COLMAP model of cameras that see those of ``points`` that lie before those of ``seen_by``."""
    images = {}
    for i, (name, pose, eye) in enumerate(zip(names, poses, poses if seen_by is None else seen_by, strict=True)):
        local = WALLS @ eye[:3, :3].T + eye[:3, 3]
        ahead = np.flatnonzero(local[:, 2] > 0.5)
        xys = 400 * local[ahead, :2] / local[ahead, 2:] + 200
        turn, shift = quat_from_rotation(pose[:3, :3]), pose[:3, 3]
        images[i + 1] = ColmapImage(
            name=name, camera_id=1, quat=turn, translation=shift, xys=xys, point3d_ids=ahead.astype(np.int64)
        )
    none = np.zeros(0, np.int64)
    count = len(points)
    cloud = ColmapPoints(
        ids=np.arange(count), xyz=points, rgb=np.zeros((count, 3), np.uint8), error_px=np.zeros(count),
        track_lengths=np.zeros(count, np.int64), track_images=none, track_keypoints=none,
    )  # fmt: skip
    camera = ColmapCamera(model="SIMPLE_PINHOLE", width_px=400, height_px=400, params=(400.0, 200.0, 200.0))
    return ColmapModel(cameras={1: camera}, images=images, points=cloud)


@needs_evo
@pytest.mark.parametrize("form", [tum, transforms, colmap])
def test_the_figures_are_those_of_the_known_error(store, tmp_path, form):
    figures, drawing = evaluate_job(store, JOB, form(tmp_path))
    true = orbit()[:-LOST]
    ours = trajectory_error(disturbed(orbit())[:-LOST], true)
    assert figures["ate_rmse"] == pytest.approx(ours.ate_rmse, rel=1e-6)
    assert 0.01 < figures["ate_rmse"] < 0.05
    assert figures["rotation_deg_median"] == pytest.approx(np.median(ours.rotation_deg), rel=1e-4)
    assert figures["ate_share_of_extent"] == pytest.approx(ours.ate_rmse / ours.extent)
    aligned = np.stack([ours.truth_from_estimate.pose(pose) for pose in disturbed(orbit())[:-LOST]])
    steps = [
        np.linalg.inv(np.linalg.inv(b0) @ b1) @ (np.linalg.inv(a0) @ a1)
        for a0, a1, b0, b1 in zip(
            *(np.linalg.inv(p) for p in (aligned[:-1], aligned[1:], true[:-1], true[1:])), strict=True
        )
    ]
    rpe = np.sqrt(np.mean([np.sum(step[:3, 3] ** 2) for step in steps]))
    assert figures["rpe_rmse"] == pytest.approx(rpe, rel=1e-6)
    assert (figures["known"], figures["registered"], figures["registered_share"]) == (20, 16, 0.8)
    assert ("depth_points" in figures) == (form is colmap)
    if form is colmap:
        assert figures["depth_points"] > 1000
        assert 0.0005 < figures["depth_error_median"] < 0.03
    assert drawing.count("<polyline") == 2
    assert "xmlns" in drawing


@needs_evo
def test_the_command_writes_figures_and_drawing(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPLAT__HOME", str(tmp_path / "home"))
    files = ["--json", str(tmp_path / "f.json"), "--plot", str(tmp_path / "f.svg")]
    monkeypatch.setattr(sys, "argv", ["splat", "evaluate", JOB, "--truth", str(tum(tmp_path)), *files])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads((tmp_path / "f.json").read_text())
    assert (tmp_path / "f.svg").read_text().startswith("<svg")


@needs_evo
def test_a_camera_that_stands_determines_nothing():
    still = np.tile(np.eye(4), (5, 1, 1))
    with pytest.raises(BadPoses, match="no alignment"):
        trajectory_metrics(orbit()[:5], still)


def test_without_evo_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "evo.core.metrics", None)
    monkeypatch.setitem(sys.modules, "evo.core.geometry", None)
    with pytest.raises(ToolMissing) as caught:
        trajectory_metrics(orbit(), orbit())
    assert caught.value.remedy == "pip install 'splat_pipeline[evaluation]'"


def test_a_truth_of_something_else_is_refused(store, tmp_path):
    (tmp_path / "late.txt").write_text(write_tum(TIMES + 1000, orbit()))
    with pytest.raises(BadPoses, match="poses of 0 of 20 keyframes by their times"):
        evaluate_job(store, JOB, tmp_path / "late.txt")
    with pytest.raises(InputError, match="nothing at"):
        evaluate_job(store, JOB, tmp_path / "gone.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadPoses, match="no COLMAP model"):
        read_truth(tmp_path / "empty")


def test_a_tum_trajectory_survives_its_file_and_a_bad_line_is_named():
    times, poses = read_tum(write_tum(TIMES, orbit()), file="t")
    np.testing.assert_allclose(times, TIMES)
    np.testing.assert_allclose(poses, orbit(), atol=1e-6)
    for line in ("1 2 3", "1 0 0 0 0 0 0 nan", "1 0 0 0 0 0 0 0.5", "a b c d e f g h"):
        with pytest.raises(BadPoses, match="line 2"):
            read_tum(f"# head\n{line}\n", file="t")
    with pytest.raises(BadPoses, match="holds no pose"):
        read_tum("\n", file="t")
    assert images_at([], {}) is None


def test_images_in_other_folders_are_known_by_their_own_names_if_these_are_enough():
    names = [f"train/{i}.jpg" for i in range(4)]
    truth = Truth(cam_from_world=orbit()[:4], names=names)
    images = ["2.jpg", None, "0.jpg", "3.jpg"]
    assert matched(truth, np.zeros(4), images, file="t") == ([0, 2, 3], [2, 0, 3])
    twice = Truth(cam_from_world=orbit()[:4], names=["a/0.jpg", "b/0.jpg", "a/2.jpg", "a/3.jpg"])
    with pytest.raises(BadPoses, match="0 of 4 keyframes"):
        matched(twice, np.zeros(4), images, file="t")


def test_depths_are_compared_where_two_models_observe_the_same_places():
    rng = np.random.default_rng(0)
    places, depths = rng.uniform(0, 1, (200, 2)), rng.uniform(1, 5, 200)
    truth = {"a": Depths(places=places, depths=depths)}
    order = rng.permutation(200)
    near = Depths(places=places[order] + 0.0005, depths=depths[order] / 3 * 1.02)
    figures = depth_error({"x": near}, truth, {"x": "a"}, 3.0)
    assert figures["depth_points"] == 200
    assert figures["depth_error_median"] == pytest.approx(0.02, abs=0.004)
    far = Depths(places=places + 5, depths=depths)
    assert depth_error({"x": far}, truth, {"x": "a"}, 3.0) == {
        "depth_error_median": None, "depth_error_p90": None, "depth_points": 0,
    }  # fmt: skip
