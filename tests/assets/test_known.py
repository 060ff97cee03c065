"""What lies beside clips: a calibration, whose lenses and rig stay as they are; poses, by clip and time or by image."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import yaml
from PIL import Image
from scene import FOCALS, RECIPE, SIZE, pose, render, texture
from scipy.spatial.transform import Rotation

from resources.colmap import ColmapBackend
from resources.inbox import list_upload
from resources.json_io import JsonIOManager
from resources.machine import LocalMachine
from resources.media import PyAvReader
from resources.places import place_of
from resources.pose_sources import InstalledSources
from resources.sheets import ContactSheets
from resources.stores import FileStore
from splat_pipeline.assets import frames, intake, linking, poses, reconstructions
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain import tables
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.transforms import OPENCV_FROM_OPENGL
from splat_pipeline.domain.poses import poses_of
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.rigid import inverse, rigid

FPS, COUNT = 10, 26
RIGHT_FROM_LEFT = rigid(Rotation.from_euler("xyz", [2, -7, 1], degrees=True).as_matrix(), [-0.35, 0.02, 0.04])
FOCAL = {"left": FOCALS["a"], "right": FOCALS["b"]}
RECIPES = {
    "poses": RECIPE.model_dump() | {"max_features": 600},
    "frames": {"longer_side_px": 320, "max_keyframes": 16},
}
ASSETS = [
    intake.source_videos, frames.frame_quality, frames.keyframes, reconstructions.features, reconstructions.match_graph,
    linking.linking_frames, reconstructions.local_reconstructions, poses.camera_poses, poses.point_cloud,
]  # fmt: skip


def truth(clip, seconds):
    """cam_from_world of a clip at a time of the rig; it sways, so that another instant is another place."""
    turn = 26 * seconds - 34
    left = pose(turn, height=-0.7 + 0.35 * np.sin(3 * seconds), distance=3.6 + 0.2 * np.cos(4 * seconds))
    return left if clip == "left" else RIGHT_FROM_LEFT @ left


@pytest.fixture(scope="session")
def clips(tmp_path_factory, film):
    """Give the folder of two clips that a rig filmed, and of one whose camera was started half a second late."""
    folder, textures = tmp_path_factory.mktemp("rig"), [texture(seed) for seed in range(3)]
    for name, clip, late in (("left", "left", 0.0), ("right", "right", 0.0), ("late", "right", 0.5)):
        times = [late + i / FPS for i in range(COUNT)]
        film(folder / f"{name}.mp4", [render(truth(clip, t), FOCAL[clip], textures) for t in times], fps=FPS)
    return folder


class Job:
    """An upload of clips with a calibration, run through the graph."""

    def __init__(self, root: Path, clips: Path, *names: str) -> None:
        self.root, self.folder = root, root / "Rig"
        self.folder.mkdir()
        for name in names:
            shutil.copyfile(clips / f"{name}.mp4", self.folder / f"{name.replace('late', 'right')}.mp4")

    def calibration(self, *, cams_from_rig: dict[str, Any] | None = None, name="calibration.json", **changes: Any):
        cameras = {
            clip: {
                "model": "SIMPLE_PINHOLE", "width_px": SIZE[0], "height_px": SIZE[1],
                "params": [focal, SIZE[0] / 2, SIZE[1] / 2],
            }
            | ({} if cams_from_rig is None else {"cam_from_rig": np.asarray(cams_from_rig[clip]).tolist()})
            | changes.get(clip, {})
            for clip, focal in FOCAL.items() if changes.get(clip, {}) is not None
        }  # fmt: skip
        text = {"version": 1, "cameras": cameras}
        (self.folder / name).write_text(json.dumps(text) if name.endswith("json") else yaml.safe_dump(text))

    def run(self, instance: dg.DagsterInstance, *, until: str = "point_cloud", **recipe: Any) -> Any:
        self.store = FileStore(self.root / "store", self.root / "delivered")
        self.upload = list_upload(self.folder)
        self.store.register(self.upload)
        instance.add_dynamic_partitions(str(jobs.name), [self.upload.job])
        definitions = dg.Definitions(
            assets=ASSETS,
            jobs=[dg.define_asset_job("some", selection=dg.AssetSelection.assets(until).upstream())],
            resources={
                "store": self.store,
                "machine": LocalMachine(),
                "reader": PyAvReader(),
                "sheets": ContactSheets(),
                "recipe": Recipe().overridden(RECIPES, source="test").overridden(recipe, source="test"),
                "sfm": ColmapBackend(threads=1),
                "sources": InstalledSources(),
                "json_io": JsonIOManager(place_of(self.root / "ops")),
            },
        )
        job = definitions.resolve_job_def("some")
        return job.execute_in_process(partition_key=self.upload.job, instance=instance, raise_on_error=False)

    def artifact(self, asset: str) -> Path:
        return self.store.fetch(self.upload.job, asset).folder

    def table(self, asset: str, spec: tables.TableSpec) -> Any:
        return tables.read_table(self.artifact(asset) / f"{spec.name}.parquet", spec)

    def lenses(self) -> dict[str, list[float]]:
        """Parameters by clip."""
        cameras = json.loads((self.artifact("camera_poses") / "cameras.json").read_text())
        rows = self.table("keyframes", tables.KEYFRAMES).drop_duplicates("camera_id")
        return {row.video_id: cameras[str(row.camera_id)]["params"] for row in rows.itertuples()}

    def found(self, late_s: float = 0.0) -> tuple[Any, Any, Any]:
        """Keyframes, their poses and the true ones."""
        rows = self.table("camera_poses", tables.POSES)
        assert rows["registered"].all()
        keyframes = self.table("keyframes", tables.KEYFRAMES)
        late = {"right": late_s}
        true = [truth(row.video_id, row.pts_s + late.get(row.video_id, 0.0)) for row in keyframes.itertuples()]
        return keyframes, np.stack(poses_of(rows, rows["keyframe_id"])), np.stack(true)


def failed(result: Any) -> tuple[str, dict[str, Any]]:
    assert not result.success
    event = next(event for event in result.all_events if event.is_step_failure)
    return event.step_key, {k: v.value for k, v in event.step_failure_data.user_failure_data.metadata.items()}


RIG = {"left": np.eye(4), "right": RIGHT_FROM_LEFT}
SMALL = 320 / SIZE[0]


def test_a_rig_stays_as_it_is_and_gives_the_world_its_unit(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left", "right")
    job.calibration(cams_from_rig=RIG)
    assert job.run(instance).success
    keyframes, found, true = job.found()
    error = trajectory_error(found, true)
    assert error.ate_rmse < 0.01
    assert error.rotation_deg.max() < 0.4
    assert error.truth_from_estimate.scale == pytest.approx(1, abs=0.01)
    left, right = (keyframes.index[keyframes["video_id"] == clip] for clip in ("left", "right"))
    assert keyframes["pts_s"][left].tolist() == pytest.approx(keyframes["pts_s"][right].tolist())
    assert 6 <= len(left) == len(right) <= 8
    for i, j in zip(left, right, strict=True):
        np.testing.assert_allclose(found[j] @ inverse(found[i]), RIGHT_FROM_LEFT, atol=1e-6)
    for clip, params in job.lenses().items():
        assert params == pytest.approx([FOCAL[clip] * SMALL] * 2 + [160, 120], abs=1e-9)
    frame = json.loads((job.artifact("point_cloud") / "frame_of_reference.json").read_text())
    assert frame["scale_source"] == "rig of calibration.json"
    manifest = json.loads((job.artifact("source_videos") / "manifest.json").read_text())
    assert manifest["calibration"]["rig"] == ["left", "right"]
    assert job.table("local_reconstructions", tables.ATTEMPTS)["strategy"].tolist() == ["incremental"]


def test_lenses_stay_as_they_were_measured(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left", "right")
    job.calibration(name="calibration.yaml")
    assert job.run(instance, poses={"source": "precalibrated"}).success
    for clip, params in job.lenses().items():
        assert params == pytest.approx([FOCAL[clip] * SMALL] * 2 + [160, 120], abs=1e-9)
    frame = json.loads((job.artifact("point_cloud") / "frame_of_reference.json").read_text())
    assert frame["scale_source"] is None
    _, found, true = job.found()
    assert trajectory_error(found, true).ate_rmse < 0.02


@pytest.mark.parametrize("mapper", ["global", "incremental"])
def test_one_lens_is_known_and_the_other_is_found(instance, tmp_path, clips, mapper):
    job = Job(tmp_path, clips, "left", "right")
    job.calibration(right=None)
    assert job.run(instance, poses={"mapper": mapper}).success
    lenses = job.lenses()
    assert lenses["left"] == pytest.approx([FOCAL["left"] * SMALL] * 2 + [160, 120], abs=1e-9)
    assert lenses["right"][0] == pytest.approx(FOCAL["right"] * SMALL, rel=0.03)
    assert lenses["right"][0] != FOCAL["right"] * SMALL
    _, found, true = job.found()
    assert trajectory_error(found, true).ate_rmse < 0.03


def test_a_camera_that_was_started_late_is_paired_by_its_offset(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left", "late")
    job.calibration(cams_from_rig=RIG, right={"offset_s": 0.5})
    assert job.run(instance, poses={"exhaustive_up_to": 0}).success, "also where not every pair is matched"
    _, found, true = job.found(late_s=0.5)
    error = trajectory_error(found, true)
    assert error.ate_rmse < 0.01
    assert error.truth_from_estimate.scale == pytest.approx(1, abs=0.01)


def test_a_rig_that_contradicts_the_images_is_refused_with_its_error(instance, tmp_path, clips):
    turned = rigid(Rotation.from_euler("y", 12, degrees=True).as_matrix(), [0, 0, 0]) @ RIGHT_FROM_LEFT
    for name, case in {"turned": {"cams_from_rig": RIG | {"right": turned}}, "late": {"cams_from_rig": RIG}}.items():
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name, clips, "left", "late" if name == "late" else "right")
        job.calibration(**case)
        step, shown = failed(job.run(instance))
        assert (step, shown["class"]) == ("match_graph", "BadCalibration")
        assert "median epipolar error" in shown["cause"]
        assert "offset_s" in shown["remedy"]


@pytest.mark.parametrize(
    ("change", "step", "because"),
    [
        ({"right": {"params": [1]}}, "source_videos", "SIMPLE_PINHOLE has 3 parameters"),
        ({"right": {"offset_s": 99}}, "keyframes", "no frame of right within 10 ms"),
        ({"right": {"width_px": 300, "height_px": 400}}, "source_videos", "300x400 px is not the shape of 400x300"),
    ],
)
def test_a_calibration_that_cannot_be_right_names_what_is_wrong(instance, tmp_path, clips, change, step, because):
    job = Job(tmp_path, clips, "left", "right")
    job.calibration(cams_from_rig=RIG, **change)
    at, shown = failed(job.run(instance))
    assert (at, shown["class"]) == (step, "BadCalibration")
    assert because in shown["cause"]


def test_a_calibration_that_was_asked_for_must_be_there(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left")
    at, shown = failed(job.run(instance, poses={"source": "precalibrated"}))
    assert (at, shown["class"]) == ("source_videos", "BadCalibration")


def test_sfm_by_itself_reads_no_calibration(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left")
    (job.folder / "calibration.json").write_text("nothing")
    assert job.run(instance, until="source_videos", poses={"source": "sfm"}).success


def transforms(folder, names, times):
    """Write poses of the left clip's frames."""
    frames = [
        {"file_path": name, "transform_matrix": (inverse(truth("left", t)) @ OPENCV_FROM_OPENGL).tolist()}
        for name, t in zip(names, times, strict=True)
    ]
    text = {"fl_x": FOCAL["left"], "fl_y": FOCAL["left"], "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(text))


TIMES = [i / FPS for i in range(0, COUNT, 2)]


def test_poses_of_frames_that_are_named_by_clip_and_time_replace_structure_from_motion(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left")
    transforms(job.folder, [f"left.mp4#t={t:.3f}" for t in TIMES], TIMES)
    assert job.run(instance).success
    assert job.table("local_reconstructions", tables.ATTEMPTS)["strategy"].tolist() == ["given-nerfstudio"]
    keyframes, found, true = job.found()
    assert keyframes["pts_s"].tolist() == pytest.approx(TIMES)
    np.testing.assert_allclose(found, true, atol=1e-6)
    assert job.lenses()["left"] == pytest.approx([FOCAL["left"] * SMALL] * 2 + [160, 120])


def test_poses_at_times_of_no_frame_are_refused(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left")
    times = [t + 0.04 for t in TIMES]
    transforms(job.folder, [f"left.mp4#t={t:.3f}" for t in times], times)
    step, shown = failed(job.run(instance))
    assert (step, shown["class"]) == ("keyframes", "BadPoses")
    assert "none of 13 poses is at the time of a frame" in shown["cause"]
    assert "analysis_fps" in shown["remedy"]


def test_poses_that_name_no_frame_of_a_clip_are_left_alone_unless_they_were_asked_for(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left")
    transforms(job.folder, [f"images/{i}.jpg" for i in range(len(TIMES))], TIMES)
    assert job.run(instance, until="source_videos").success
    assert json.loads((job.artifact("source_videos") / "manifest.json").read_text())["given"] is None
    step, shown = failed(job.run(instance, until="source_videos", poses={"source": "nerfstudio"}))
    assert (step, shown["class"]) == ("source_videos", "BadPoses")
    assert "CLIP#t=SECONDS" in shown["remedy"]


def test_images_with_poses_beside_their_clip_are_the_job(instance, tmp_path, clips):
    job = Job(tmp_path, clips, "left")
    (job.folder / "images").mkdir()
    names = [f"images/{i}.jpg" for i in range(len(TIMES))]
    for name in names:
        Image.new("RGB", SIZE).save(job.folder / name)
    transforms(job.folder, names, TIMES)
    assert job.run(instance, until="source_videos").success
    manifest = json.loads((job.artifact("source_videos") / "manifest.json").read_text())
    assert manifest["given"]["frames"] == len(names)
    assert manifest["ignored"]["left.mp4"] == "the poses are of images beside it"
    assert job.table("source_videos", tables.VIDEOS)["name"].tolist() == ["images"]
