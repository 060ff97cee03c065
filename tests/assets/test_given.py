"""Poses that came with an upload replace structure from motion: the same graph, the same gates, the true cameras."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import dagster as dg
import numpy as np
import pytest
from PIL import Image
from scene import FOCALS, RECIPE, SIZE, pose, render, texture
from scipy.spatial.transform import Rotation

from resources.colmap import ColmapBackend
from resources.external_poses import CommandPoses
from resources.inbox import list_upload
from resources.json_io import JsonIOManager
from resources.machine import LocalMachine
from resources.media import PyAvReader
from resources.places import place_of
from resources.pose_sources import InstalledSources
from resources.sheets import ContactSheets
from resources.stores import FileStore
from splat_pipeline.assets import frames, intake, linking, poses, reconstructions
from splat_pipeline.assets.givens import uploaded_poses
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain import tables
from splat_pipeline.domain.contents import classify
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, read_model, write_model
from splat_pipeline.domain.formats.transforms import OPENCV_FROM_OPENGL
from splat_pipeline.domain.poses import poses_of
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.rigid import quat_from_rotation, rigid

ASSETS = [
    intake.source_videos,
    frames.frame_quality,
    frames.keyframes,
    reconstructions.features,
    reconstructions.match_graph,
    linking.linking_frames,
    reconstructions.local_reconstructions,
    poses.camera_poses,
    poses.point_cloud,
]
RECIPES = {"poses": RECIPE.model_dump(), "frames": {"longer_side_px": 320}}
"""Kept images are smaller than those that the intrinsics are of."""


class Given:
    """A capture with poses beside it."""

    def __init__(self, root: Path, capture: Any) -> None:
        self.root, self.folder, self.truth = root, root / "Scan", capture.truth
        self.names = [name.replace("/", "_") for name in capture.names]
        (self.folder / "images").mkdir(parents=True)
        for source, name in zip(capture.names, self.names, strict=True):
            shutil.copyfile(capture.images / source, self.folder / "images" / name)
        self.focals = [list(FOCALS.values())[camera_id] for camera_id in capture.camera_ids]
        self.camera_ids = capture.camera_ids

    def transforms(self, cams_from_world: Any = None, **changes: Any) -> None:
        rows = [
            {"file_path": f"images/{name}", "transform_matrix": (np.linalg.inv(view) @ OPENCV_FROM_OPENGL).tolist()}
            | {"fl_x": focal, "fl_y": focal}
            for name, focal, view in zip(
                self.names, self.focals, self.truth if cams_from_world is None else cams_from_world, strict=True
            )
        ]
        document = {"w": SIZE[0], "h": SIZE[1], "frames": rows} | changes
        (self.folder / "transforms.json").write_text(json.dumps(document))

    def job_file(self, text: str) -> None:
        (self.folder / "job.yaml").write_text(text)

    def run(self, instance: dg.DagsterInstance, *, until: str = "point_cloud", **overrides: Any) -> Any:
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
                "recipe": Recipe().overridden(RECIPES, source="test"),
                "sfm": ColmapBackend(threads=1),
                "sources": InstalledSources(),
                "json_io": JsonIOManager(place_of(self.root / "ops")),
            }
            | overrides,
        )
        job = definitions.resolve_job_def("some")
        return job.execute_in_process(partition_key=self.upload.job, instance=instance, raise_on_error=False)

    def artifact(self, asset: str) -> Path:
        return self.store.fetch(self.upload.job, asset).folder

    def table(self, asset: str, spec: tables.TableSpec) -> Any:
        return tables.read_table(self.artifact(asset) / f"{spec.name}.parquet", spec)


@pytest.fixture
def scan(tmp_path: Path, capture: Any) -> Given:
    return Given(tmp_path, capture)


def failed(result: Any) -> dict[str, Any]:
    event = next(event for event in result.all_events if event.is_step_failure)
    return {key: value.value for key, value in event.step_failure_data.user_failure_data.metadata.items()}


def error_of(scan: Given) -> Any:
    rows = scan.table("camera_poses", tables.POSES)
    assert rows["registered"].all()
    return trajectory_error(np.stack(poses_of(rows, rows["keyframe_id"])), scan.truth)


def test_transforms_json_replaces_structure_from_motion(instance, scan):
    scan.transforms()
    for smaller in ("images_2", "depth"):
        shutil.copytree(scan.folder / "images", scan.folder / smaller)
    assert scan.run(instance).success
    manifest = json.loads((scan.artifact("source_videos") / "manifest.json").read_text())
    assert manifest["given"] == {
        "source": "nerfstudio",
        "frames": 14,
        "warnings": [],
        "left_out": ["depth", "images_2"],
    }
    attempts = scan.table("local_reconstructions", tables.ATTEMPTS)
    assert attempts[["strategy", "outcome", "registered"]].to_numpy().tolist() == [["given-nerfstudio", "kept", 14]]
    assert scan.table("keyframes", tables.KEYFRAMES)["camera_id"].tolist() == scan.camera_ids
    error = error_of(scan)
    assert error.ate_rmse < 1e-9
    assert error.rotation_deg.max() < 1e-4
    assert error.truth_from_estimate.scale == pytest.approx(1)
    cameras = json.loads((scan.artifact("camera_poses") / "cameras.json").read_text())
    assert [camera["params"][0] for camera in cameras.values()] == [focal * 320 / 400 for focal in FOCALS.values()]
    cloud = read_model(scan.artifact("camera_poses") / "sparse").points.xyz
    assert len(cloud) > 800
    assert np.median(np.abs(cloud[:, [1, 2, 0]] - [1, 2, -2]).min(axis=1)) < 0.01, "on the walls"


def disturbed(truth, degrees, shift, seed=0):
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(np.radians(degrees) * rng.normal(size=(len(truth), 3))).as_matrix()
    return [
        rigid(turn, shift * rng.normal(size=3)) @ pose for turn, pose in zip(turns, truth, strict=True)
    ]  # in the camera's frame


def test_poses_are_refined_when_the_job_asks(instance, scan):
    given = disturbed(scan.truth, 0.3, 0.01)
    scan.transforms(given)
    before = trajectory_error(np.stack(given), scan.truth)
    scan.job_file("poses: {refine: true}")
    assert scan.run(instance).success
    after = error_of(scan)
    assert after.ate_rmse < 0.3 * before.ate_rmse
    assert np.median(after.rotation_deg) < 0.3 * np.median(before.rotation_deg)
    assert after.truth_from_estimate.scale == pytest.approx(1, abs=0.02), "the world stays the one that was given"


def test_poses_of_other_images_give_way_to_structure_from_motion_and_it_is_written_down(instance, scan):
    scan.transforms(scan.truth[::-1])
    assert scan.run(instance).success
    attempts = scan.table("local_reconstructions", tables.ATTEMPTS)
    assert attempts[["strategy", "outcome"]].to_numpy().tolist()[:2] == [
        ["given-nerfstudio", "contradicted"],
        ["global", "kept"],
    ]
    assert error_of(scan).ate_rmse < 0.01


def test_poses_that_were_asked_for_and_contradict_the_images_end_the_job(instance, scan):
    scan.transforms(scan.truth[::-1])
    scan.job_file("poses: {source: nerfstudio}")
    result = scan.run(instance, until="local_reconstructions")
    assert not result.success
    assert failed(result)["class"] == "WrongPoses"


def test_one_wrong_pose_among_many_is_left_out(instance, scan):
    wrong = list(scan.truth)
    wrong[4] = rigid(Rotation.from_euler("y", 25, degrees=True).as_matrix(), [0, 0, 0]) @ wrong[4]
    scan.transforms(wrong)
    assert scan.run(instance).success
    rows = scan.table("camera_poses", tables.POSES)
    assert rows.loc[~rows["registered"], "keyframe_id"].tolist() == [4]
    model = read_model(scan.artifact("camera_poses") / "sparse")
    assert set(model.points.track_images) <= set(model.images)
    assert model.points.track_lengths.sum() == len(model.points.track_images)
    assert model.points.track_lengths.min() >= 2


def test_images_without_a_pose_are_no_keyframes(instance, scan):
    scan.transforms()
    document = json.loads((scan.folder / "transforms.json").read_text())
    document["frames"] = [*document["frames"][1:], {**document["frames"][0], "file_path": "images/gone.jpg"}]
    (scan.folder / "transforms.json").write_text(json.dumps(document))
    assert scan.run(instance, until="keyframes").success
    assert scan.table("keyframes", tables.KEYFRAMES)["frame_index"].tolist() == list(range(1, 14))
    manifest = json.loads((scan.artifact("source_videos") / "manifest.json").read_text())
    assert manifest["given"]["warnings"] == [
        "transforms.json: 1 of 14 frames have no image in the upload: images/gone.jpg"
    ]


@pytest.mark.parametrize(
    ("source", "strategy"), [("sfm", "global"), ("auto", "given-colmap"), ("nerfstudio", "given-nerfstudio")]
)
def test_the_job_file_says_where_poses_come_from(instance, scan, source, strategy):
    scan.transforms()
    colmap(scan, scan.folder / "colmap" / "sparse" / "0")
    scan.job_file(f"poses: {{source: {source}}}")
    assert scan.run(instance, until="local_reconstructions").success
    assert scan.table("local_reconstructions", tables.ATTEMPTS)["strategy"].tolist() == [strategy]


def colmap(scan, folder, *, names=None):
    """Write the truth as COLMAP does, and a point that nobody asks for."""
    folder.mkdir(parents=True)
    cameras = {
        i + 1: ColmapCamera(model="SIMPLE_PINHOLE", width_px=400, height_px=300, params=(focal, 200.0, 150.0))
        for i, focal in enumerate(FOCALS.values())
    }
    images = {
        i + 1: ColmapImage(
            name=name,
            camera_id=camera_id + 1,
            quat=quat_from_rotation(pose[:3, :3]),
            translation=pose[:3, 3],
            xys=np.array([[1.0, 2.0]]),
            point3d_ids=np.array([-1]),
        )
        for i, (name, camera_id, pose) in enumerate(zip(names or scan.names, scan.camera_ids, scan.truth, strict=True))
    }
    none = read_points()
    write_model(folder, ColmapModel(cameras=cameras, images=images, points=none))


def read_points():
    from splat_pipeline.domain.formats.colmap import ColmapPoints

    ids = np.zeros(0, np.int64)
    return ColmapPoints(
        ids=ids,
        xyz=np.zeros((0, 3)),
        rgb=np.zeros((0, 3), np.uint8),
        error_px=np.zeros(0),
        track_lengths=ids,
        track_images=ids,
        track_keypoints=ids,
    )


@pytest.mark.parametrize("place", ["sparse/0", "."])
def test_a_colmap_model_replaces_structure_from_motion(instance, scan, place):
    colmap(scan, scan.folder / "made" / place)
    for path in (scan.folder / "made").iterdir():
        path.rename(scan.folder / path.name)
    (scan.folder / "made").rmdir()
    assert scan.run(instance).success
    attempts = scan.table("local_reconstructions", tables.ATTEMPTS)
    assert attempts[["strategy", "registered"]].to_numpy().tolist() == [["given-colmap", 14]]
    assert error_of(scan).ate_rmse < 1e-9


def test_a_colmap_model_with_a_forged_count_fails_at_the_door(instance, scan):
    colmap(scan, scan.folder / "sparse" / "0")
    path = scan.folder / "sparse" / "0" / "images.bin"
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])
    result = scan.run(instance, until="source_videos")
    shown = failed(result)
    assert shown["class"] == "BadPoses"
    assert "too short" in shown["cause"]


@pytest.mark.parametrize("source", ["nerfstudio", "colmap"])
def test_poses_that_were_asked_for_and_are_not_there_fail_at_the_door(instance, scan, source):
    scan.job_file(f"poses: {{source: {source}}}")
    shown = failed(scan.run(instance, until="source_videos"))
    assert shown["class"] == "BadPoses"
    assert f"poses.source is {source}" in shown["cause"]


def test_a_backend_has_a_name(instance, scan):
    scan.job_file("poses: {source: external}")
    assert failed(scan.run(instance, until="source_videos"))["class"] == "BadJobFile"
    scan.job_file("poses: {source: external, backend: nobody}")
    shown = failed(scan.run(instance, until="local_reconstructions"))
    assert shown["class"] == "ToolMissing"
    assert "known are nerfstudio, colmap" in shown["cause"]


BACKEND = """
import json, sys
request = json.load(open(sys.argv[-1]))
truth = json.load(open(sys.argv[1]))
images = enumerate(request["images"])
frames = [{"name": row["name"], "world_from_camera": truth[i], "confidence": 0.5} for i, row in images]
lens = json.loads(sys.argv[2]) if len(sys.argv) > 3 else None
frames = [frame | {"intrinsics": lens} for frame in frames]
json.dump({"version": 1, "frames": frames}, open(request["answer"], "w"))
print("posed", len(frames))
"""


class Only(InstalledSources):
    def __init__(self, source: Any) -> None:
        self.source = source

    def named(self, name: str) -> Any:
        assert name == self.source.name
        return self.source


def filmed(tmp_path):
    """Ten photos of one camera."""
    truth = np.stack([pose(7 * i - 30, height=-0.7 + 0.1 * (i % 3)) for i in range(10)])
    textures = [texture(seed) for seed in range(3)]
    (tmp_path / "film" / "m").mkdir(parents=True)
    names = [f"m/{i}.jpg" for i in range(10)]
    for name, view in zip(names, truth, strict=True):
        cv2.imwrite(str(tmp_path / "film" / name), render(view, FOCALS["a"], textures))
    made = SimpleNamespace(truth=truth, names=names, images=tmp_path / "film", camera_ids=[0] * 10)
    return Given(tmp_path, made)


def test_a_backend_in_another_process_gives_poses_and_the_focal_length_is_found(instance, tmp_path):
    scan = filmed(tmp_path)
    (tmp_path / "truth.json").write_text(json.dumps(np.linalg.inv(scan.truth).tolist()))
    (tmp_path / "backend.py").write_text(BACKEND)
    argv = [sys.executable, str(tmp_path / "backend.py"), str(tmp_path / "truth.json")]
    scan.job_file("poses: {source: external, backend: mapper}")
    assert scan.run(instance, sources=Only(CommandPoses(name="mapper", argv=argv))).success
    attempts = scan.table("local_reconstructions", tables.ATTEMPTS)
    assert attempts[["strategy", "registered"]].to_numpy().tolist() == [["given-mapper", 10]]
    assert error_of(scan).ate_rmse < 1e-9
    assert scan.table("camera_poses", tables.POSES)["pose_confidence"].between(0.2, 0.5).all(), "half of ours"
    (camera,) = json.loads((scan.artifact("camera_poses") / "cameras.json").read_text()).values()
    assert camera["params"][0] == pytest.approx(FOCALS["a"] * 320 / 400, rel=0.01)


def perturbed(scan, tmp_path, degrees, shift, *, told=True):
    """Write a backend that gives the truth, disturbed, with intrinsics when ``told``, and return its source."""
    poses = disturbed(scan.truth, degrees, shift)
    (tmp_path / "truth.json").write_text(json.dumps(np.linalg.inv(np.stack(poses)).tolist()))
    (tmp_path / "backend.py").write_text(BACKEND)
    lens = {"fx": FOCALS["a"] * 0.8, "fy": FOCALS["a"] * 0.8, "cx": 160, "cy": 120}
    argv = [
        sys.executable,
        str(tmp_path / "backend.py"),
        str(tmp_path / "truth.json"),
        *([json.dumps(lens)] if told else []),
    ]
    return Only(CommandPoses(name="mapper", argv=argv))


@pytest.mark.parametrize("told", [True, False])
def test_poses_of_a_backend_that_errs_a_little_are_refined_and_so_is_a_focal_length_found_by_them(
    instance, tmp_path, told
):
    scan = filmed(tmp_path)
    source = perturbed(scan, tmp_path, 0.3, 0.01, told=told)
    before = trajectory_error(np.stack(disturbed(scan.truth, 0.3, 0.01)), scan.truth)
    scan.job_file("poses: {source: external, backend: mapper, refine: true}")
    assert scan.run(instance, sources=source, until="camera_poses").success
    after = error_of(scan)
    assert after.ate_rmse < 0.3 * before.ate_rmse
    (camera,) = json.loads((scan.artifact("camera_poses") / "cameras.json").read_text()).values()
    assert camera["params"][0] == pytest.approx(FOCALS["a"] * 0.8, rel=0 if told else 0.01)
    assert scan.table("match_graph", tables.PAIRS).empty, "nothing is matched that nobody reads"


def test_poses_of_a_backend_that_errs_much_end_the_job(instance, tmp_path):
    scan = filmed(tmp_path)
    scan.job_file("poses: {source: external, backend: mapper}")
    result = scan.run(instance, sources=perturbed(scan, tmp_path, 15, 0.5), until="local_reconstructions")
    assert failed(result)["class"] == "WrongPoses"


def test_intrinsics_of_another_shape_than_the_images_are_refused(instance, scan):
    scan.transforms(w=300, h=400)
    scan.job_file("poses: {source: nerfstudio}")
    shown = failed(scan.run(instance, until="local_reconstructions"))
    assert shown["class"] == "WrongPoses"
    assert "300x400 px is not the shape of 320x240 px" in shown["cause"]


def test_poses_in_a_zip_belong_to_its_images(scan: Given, instance: dg.DagsterInstance) -> None:
    scan.transforms()
    with zipfile.ZipFile(scan.root / "scan.zip", "w") as archive:
        for path in scan.folder.rglob("*.*"):
            archive.write(path, path.relative_to(scan.folder))
    shutil.rmtree(scan.folder)
    scan.folder.mkdir()
    (scan.root / "scan.zip").rename(scan.folder / "scan.zip")
    assert scan.run(instance, until="keyframes").success
    assert len(scan.table("source_videos", tables.GIVEN)) == len(scan.names)
    assert len(scan.table("keyframes", tables.KEYFRAMES)) == len(scan.names)


def test_an_angle_of_view_is_of_each_image_as_large_as_it_is(scan: Given) -> None:
    """A document without sizes: one angle of view, in pixels of a whole picture and of one three quarters as large."""
    scan.transforms(w=None, h=None, fl_x=None, camera_angle_x=1.0)
    document = json.loads((scan.folder / "transforms.json").read_text())
    document["frames"] = [{k: v for k, v in row.items() if k[:2] != "fl"} for row in document["frames"]]
    (scan.folder / "transforms.json").write_text(json.dumps(document))
    small = scan.folder / "images" / scan.names[0]
    with Image.open(small) as image:
        smaller = image.resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4))
    smaller.save(small)
    upload = list_upload(scan.folder)
    contents = classify(file.name for file in upload.files)
    sets = {"images": ("images", PyAvReader().probe(scan.folder / "images"))}
    given = uploaded_poses(upload, contents, sets, "auto")
    assert given is not None
    widths = [given.cameras[frame.camera_id].width_px for frame in given.frames]
    assert widths == [SIZE[0] * 3 // 4] + [SIZE[0]] * (len(scan.names) - 1)
