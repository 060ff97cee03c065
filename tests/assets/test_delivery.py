"""A job from Gaussians to the package, through the real store, encoder and renderer."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import dagster as dg
import numpy as np
import pytest
from browser import CHROMIUM, WHY_NOT, chromium
from PIL import Image
from receiver import receiving

from resources.drawers import InstalledDrawers
from resources.machine import LocalMachine
from resources.movies import FfmpegWriter
from resources.outlet import Outlet
from resources.stores import FileStore
from resources.webhooks import Webhook
from splat_pipeline.assets import cleaning, delivery
from splat_pipeline.assets import preview as previews
from splat_pipeline.assets import viewer as viewers
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.pictures import Poster, captioned, drawn
from splat_pipeline.assets.stages import GATES_FILE
from splat_pipeline.domain import tables
from splat_pipeline.domain.backoff import Backoff
from splat_pipeline.domain.camera_paths import Z_UP, CameraPath
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.errors import Blurred, PoseError, ToolCrashed
from splat_pipeline.domain.formats.colmap import (
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    ColmapPoints,
    read_posed,
    write_model,
)
from splat_pipeline.domain.formats.ply import read_ply, write_ply
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.quality import judge, write_verdicts
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation, rigid, rotation_from_quat
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.ports.training import TrainingViews

JOB = "garden-1a2b3c4d"
ADDRESS = "http://127.0.0.1:3001"
HOSTILE = '<script>alert("1")</script> & "garden" {{ 7 * 7 }}'
UPSTREAM = ("source_videos", "frame_quality", "keyframes", "camera_poses", "point_cloud", "splat")
ASSETS = [
    cleaning.cleaned, delivery.exports, previews.preview, viewers.viewer, delivery.report, delivery.package
]  # fmt: skip
NOWHERE, DRAWERS = Outlet(), InstalledDrawers()
FILM = {"width_px": 160, "height_px": 90, "fps": 10, "seconds": 1.2}
ELSEWHERE = {
    "preview": {**FILM, "drawn_by": "nerfstudio"},
    "viewer": {"enabled": False},
    "exports": {"formats": ["splat"]},
}
CAMERA = Camera(width_px=160, height_px=90, fx_px=130, fy_px=130, cx_px=80, cy_px=45)


WORLD_FROM_SFM = Similarity(scale=2.0, rotation=np.eye(3), translation=np.array([1.0, 2.0, 3.0]))
FRAME = {
    "world_from_sfm": WORLD_FROM_SFM.to_json(),
    "up_source": "plane of the camera path",
    "metres_per_unit": 1.0,
    "scale_source": "gps track",
    "origin": {"lat_deg": 47.1234567, "lon_deg": -8.5, "alt_m": None},
    "gps": {
        "source": "gps track",
        "accepted": True,
        "positions": 16,
        "used": 15,
        "residual_m": 0.41,
        "scale_error": 0.034,
    },
    "warnings": ["positions make the world 0.50 times as large as the known length does"],
}


class RingLoader:
    """Poses on a ring and grey pictures, as a loader would give them for the artifacts below."""

    def load(self, *folders: Path, longer_side_px: int, holdout: bool) -> TrainingViews:
        ids = [i for i in range(16) if (i % 8 == 4) == holdout]
        size = (longer_side_px, longer_side_px * 9 // 16)
        views = [View(name=str(i), camera=CAMERA.resized(*size), cam_from_world=ring_pose(i)) for i in ids]
        pictures = [np.full((size[1], size[0], 3), 90, np.uint8) for _ in ids]
        return TrainingViews(images=pictures, views=views, keyframe_ids=ids)


class BrokenMovies:
    """An encoder that is not there."""

    def write(self, path: Path, frames: Iterator[Any], *, fps: int, title: str) -> None:
        path.write_bytes(b"half a film")
        raise ToolCrashed("ffmpeg ended with 1")


class Negative:
    """Another renderer: it draws what ours does, in negative."""

    name = "nerfstudio"

    def unavailable(self) -> str | None:
        return None

    def frames(self, gaussians: Gaussians, path: CameraPath, *, fps: int, folder: Path, say: Any) -> Iterator[Any]:
        say(f"drawing at {fps} frames a second")
        for number, picture in enumerate(drawn(gaussians, path.views)):
            (folder / f"{number}.raw").write_bytes(picture.tobytes())
            assert folder.parent.parts[-3:] == ("ongoing", JOB, "preview"), "where there is room for it"
            yield 255 - picture


def ring_pose(i: int) -> np.ndarray:
    angle = i / 16 * 2 * np.pi
    return look_at(np.array([3 * np.sin(angle), -1.2, -3 * np.cos(angle)]), np.zeros(3))


def blob(n: int = 600) -> Gaussians:
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(n, 4)).astype(np.float32)
    return Gaussians(
        means=rng.normal(size=(n, 3), scale=0.4).astype(np.float32),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        log_scales=rng.normal(-2.6, 0.2, size=(n, 3)).astype(np.float32),
        logit_opacities=np.full(n, 2.0, np.float32),
        sh=rng.normal(size=(n, 4, 3), scale=0.8).astype(np.float32),
    )


def write_sparse(folder: Path) -> None:
    """Write the ring as SfM would have found it, in a world of its own."""
    folder.mkdir()
    poses = [WORLD_FROM_SFM.inverse().pose(ring_pose(i)) for i in range(16)]
    nothing = {"xys": np.zeros((0, 2)), "point3d_ids": np.zeros(0, np.int64), "camera_id": 1}
    images = {
        i + 1: ColmapImage(
            name=f"a/{i:02}.jpg", quat=quat_from_rotation(pose[:3, :3]), translation=pose[:3, 3], **nothing
        )
        for i, pose in enumerate(poses)
    }
    lens = ColmapCamera(model="PINHOLE", width_px=160, height_px=90, params=(130, 130, 80, 45))
    columns = {name: np.zeros(0, np.int64) for name in ("ids", "track_lengths", "track_images", "track_keypoints")}
    cloud = ColmapPoints(xyz=np.zeros((0, 3)), rgb=np.zeros((0, 3), np.uint8), error_px=np.zeros(0), **columns)
    write_model(folder, ColmapModel(cameras={1: lens}, images=images, points=cloud))


def write_inputs(folders: dict[str, Path], wanted: Mapping[str, Any]) -> None:
    recipe = Recipe().overridden({"preview": FILM, **wanted}, source="test")
    (folders["source_videos"] / "manifest.json").write_text(json.dumps({"recipe": recipe.model_dump(mode="json")}))
    nothing = dict.fromkeys(column.name for column in tables.VIDEOS.columns)
    video = {**nothing, "video_id": "a", "name": "<b>a.mp4", "sha256": "0" * 64, "size_bytes": 7, "usable": False}
    video["reject_reason"] = "UnreadableMedia: <i>cut off</i>"
    tables.write_table(folders["source_videos"] / "videos.parquet", tables.VIDEOS, [video])
    Image.new("RGB", (200, 100), (40, 80, 120)).save(folders["keyframes"] / "contact_sheet.jpg")
    size = {"file": "images/a/x.jpg", "width_px": 160, "height_px": 90, "camera_id": 0, "segment_id": "a-0"}
    kept = [
        {**size, "keyframe_id": i, "video_id": "a", "frame_index": 5 * i, "pts_s": i / 2, "holdout": i % 8 == 4}
        for i in range(16)
    ]
    tables.write_table(folders["keyframes"] / "keyframes.parquet", tables.KEYFRAMES, kept)
    bare = {column.name: None if column.nullable else 0 for column in tables.FRAMES.columns}
    looked = [
        {**bare, "video_id": "a", "frame_index": i, "pts_s": i / 10, "segment_id": "a-0", "reject_reason": why}
        for i in range(80)
        for why in ["blurred" if i % 4 == 3 else None]
    ]
    tables.write_table(folders["frame_quality"] / "frames.parquet", tables.FRAMES, looked)
    write_verdicts(folders["keyframes"] / GATES_FILE, [judge("enough_keyframes", 16), judge("sharp_enough", 0.9)])
    write_verdicts(folders["camera_poses"] / GATES_FILE, [judge("registered", 1.0), judge("reprojection_well", 2.1)])
    write_sparse(folders["camera_poses"] / "sparse")
    none = dict.fromkeys(column.name for column in tables.POSES.columns)
    poses = [
        {**none, "keyframe_id": i, "registered": True, "window_ids": [0], "pose_confidence": i / 15} for i in range(16)
    ]
    tables.write_table(folders["camera_poses"] / "poses.parquet", tables.POSES, poses)
    loop = {"inliers": 40, "rotation_after_deg": 0.2, "translation_after": 0.001}
    loops = [
        {**loop, "first": 0, "second": 9 + i, "rotation_before_deg": 4.0, "translation_before": 0.01 * i}
        for i in range(3)
    ]
    tables.write_table(folders["camera_poses"] / "loops.parquet", tables.LOOPS, loops)
    point = {"red": 1, "green": 2, "blue": 3, "error_px": 0.5, "track_length": 3}
    trained = blob(620)
    trained.logit_opacities[600:] = -8  # nobody sees them
    points = [{**dict(zip("xyz", map(float, mean), strict=True)), **point} for mean in trained.means]
    tables.write_table(folders["point_cloud"] / "points.parquet", tables.POINTS, points)
    (folders["point_cloud"] / "frame_of_reference.json").write_text(json.dumps(FRAME))
    (folders["point_cloud"] / "points.ply").write_bytes(b"ply\n")
    write_ply(folders["splat"] / "gaussians.ply", trained)
    step = {"rung": "reduced", "psnr_db": 20.0, "gaussians": 600, "factor": 1, "seconds": 1.0}
    history = [{**step, "iteration": i, "loss": 1 / (i + 2)} for i in range(9)]
    tables.write_table(folders["splat"] / "training.parquet", tables.TRAINING, history)
    heldout = [{"keyframe_id": i, "psnr_db": 20.0 + i, "ssim": 0.8, "psnr_corrected_db": None} for i in (4, 12)]
    tables.write_table(folders["splat"] / "heldout.parquet", tables.HELDOUT, heldout)
    plan = {
        "detail": "reduced",
        "reasons": ["reprojection_well: 2.1 px <script>"],
        "attempts": [],
        "iterations": 9,
        "longer_side_px": 160,
    }
    (folders["splat"] / "plan.json").write_text(json.dumps(plan))
    write_verdicts(folders["splat"] / GATES_FILE, [judge("learned", 28.0), judge("learned_well", 28.0)])


def deliver(
    folder: Path,
    movies: Any,
    wanted: Mapping[str, Any] = MappingProxyType({}),
    config: dict[str, Any] | None = None,
    *,
    outlet: Outlet = NOWHERE,
    drawers: Any = DRAWERS,
) -> tuple[FileStore, dg.ExecuteInProcessResult]:
    store = FileStore(folder / "store", folder / "delivered", address=ADDRESS)
    store.register(Upload(job=JOB, title=HOSTILE, location="/nowhere", files=()))
    scratch = {name: folder / "made" / name for name in UPSTREAM}
    for path in scratch.values():
        path.mkdir(parents=True)
    write_inputs(scratch, wanted)
    for name, path in scratch.items():
        store.publish(JOB, name, path, provenance={"run_id": "r", "seconds": 2.5})
    resources = {"store": store, "machine": LocalMachine(), "loader": RingLoader(), "outlet": outlet}
    resources |= {"movies": movies, "drawers": drawers}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(jobs.name, [JOB])
        result = dg.materialize(ASSETS, instance=instance, resources=resources, partition_key=JOB, run_config=config)
    return store, result


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[FileStore, dg.ExecuteInProcessResult]:
    return deliver(tmp_path_factory.mktemp("job"), FfmpegWriter())


def folder_of(delivered: tuple[FileStore, dg.ExecuteInProcessResult], asset: str) -> Path:
    return delivered[0].fetch(JOB, asset).folder


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_every_file_of_a_package_has_the_checksum_that_its_manifest_says(delivered) -> None:
    folder = Path(metadata_of(delivered[1], "package")["delivered_to"])
    told = json.loads((folder / "delivery.json").read_text())
    assert folder.is_relative_to(delivered[0].fetch(JOB, "package").folder.parents[4] / "delivered")
    for file in told["files"]:
        content = (folder / file["name"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["size_bytes"])
    kinds = [file["data_type"] for file in told["files"]]
    assert kinds.count("splat_data") == 4
    assert {"splat_preview_video", "splat_viewer", "splat_report", "splat_point_cloud", "splat_camera_poses"} <= set(
        kinds
    )
    assert "splat_other" not in kinds


def test_a_package_says_detail_reasons_warnings_figures_and_times(delivered) -> None:
    told = json.loads((folder_of(delivered, "package") / "delivery.json").read_text())
    assert (told["detail"], told["status"], told["title"]) == ("reduced", "delivered_with_warnings", HOSTILE)
    assert told["reasons"] == ["reprojection_well: 2.1 px <script>"]
    assert told["warnings"][0] == "reprojection_well: rms_px 2.1, must be at most 1.5"
    assert told["metrics"]["psnr_heldout"] == 28.0
    assert (told["metrics"]["registered"], told["metrics"]["keyframes"]) == (16, 16)
    assert told["metrics"]["rms_px"] == pytest.approx(2.1)
    assert list(told["timings"])[-3:] == ["preview", "viewer", "report"]
    assert told["timings"]["splat"] == 2.5
    assert told["frame_of_reference"] == FRAME
    assert told["warnings"][-1:] == FRAME["warnings"]


def test_a_snapshot_names_settings_versions_and_every_input(delivered) -> None:
    snapshot = json.loads((folder_of(delivered, "package") / "snapshot.json").read_text())
    assert Recipe.model_validate(snapshot["recipe"]).preview.width_px == 160
    assert set(snapshot["artifacts"]) == {*UPSTREAM, "cleaned", "exports", "preview", "viewer", "report"}
    assert snapshot["uploaded"] == {"<b>a.mp4": "0" * 64}
    assert snapshot["versions"]["numba"]


def test_exports_carry_the_time_and_the_count_that_was_read_back(delivered) -> None:
    rows = tables.read_table(folder_of(delivered, "exports") / "formats.parquet", tables.FORMATS)
    assert list(rows["format"]) == ["ply", "splat", "spz", "compressed_ply"]
    assert rows["file"].str.fullmatch(r"model-\d{14}\.(ply|splat|spz|compressed\.ply)").all()
    assert (rows["gaussians"] == 600).all()
    assert rows["max_error"].tolist() == pytest.approx([0, 0, 0, 0], abs=0.01)
    seen = rows.set_index("format")["psnr_db"]
    assert seen["ply"] == 100  # the same pictures
    assert seen["compressed_ply"] > 45
    assert 45 > seen["spz"] > 25 > seen["splat"] > 10  # the last has lost these Gaussians' strong harmonics


def test_a_package_lies_as_splatter_server_leaves_it_where_that_is_asked_for(tmp_path: Path) -> None:
    store, _ = deliver(tmp_path, FfmpegWriter(), {"delivery": {"layout": "splatter-server"}})
    folder = store.fetch(JOB, "package").folder
    home = folder / "refined" / "splatter"
    assert sorted(p.name for p in home.iterdir()) == ["preview.mp4", "splat.ply", "splat_rot.ply", "splat_rot.splat"]
    assert not list(folder.glob("model-*"))
    plain, turned = read_ply(home / "splat.ply"), read_ply(home / "splat_rot.ply")
    np.testing.assert_array_equal(turned.means, plain.means * [1, -1, -1])
    assert (home / "splat_rot.splat").stat().st_size == 32 * len(plain) == 32 * 600
    told = json.loads((folder / "delivery.json").read_text())
    assert told["layout"] == "splatter-server"
    kinds = {file["name"]: file["data_type"] for file in told["files"]}
    assert [name for name, kind in kinds.items() if kind == "splat_data"] == ["refined/splatter/splat_rot.splat"]
    assert kinds["refined/splatter/preview.mp4"] == "splat_preview_video"
    for file in told["files"]:
        assert hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest() == file["sha256"]


def test_a_preview_is_drawn_by_another_renderer_where_that_is_asked_for(tmp_path: Path, delivered) -> None:
    store, result = deliver(tmp_path, FfmpegWriter(), ELSEWHERE, drawers=InstalledDrawers(asked=[Negative()]))
    folder = store.fetch(JOB, "preview").folder
    assert not list((tmp_path / "store").rglob("*.raw")), "what it wrote on its way neither stays nor is published"
    assert json.loads((folder / "preview.json").read_text())["drawn_by"] == "nerfstudio"
    assert json.loads((folder_of(delivered, "preview") / "preview.json").read_text())["drawn_by"] == "own"
    other, ours = (
        np.asarray(Image.open(f / "turntable.jpg"), float) for f in (folder, folder_of(delivered, "preview"))
    )
    assert np.abs(255 - ours - other).mean() < 8, "up to what JPEG does to them"
    assert all(check.passed for check in result.get_asset_check_evaluations() if check.asset_key.path == ["preview"])


def test_a_renderer_that_is_not_there_costs_the_preview_and_nothing_takes_its_place(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SPLAT_NERFSTUDIO_ENV", raising=False)
    store, _ = deliver(tmp_path, FfmpegWriter(), ELSEWHERE)
    folder = store.fetch(JOB, "preview").folder
    told = json.loads((folder / "preview.json").read_text())
    assert told["reason"].startswith("ToolMissing: the preview cannot be drawn by nerfstudio: SPLAT_NERFSTUDIO_ENV")
    assert not (folder / "preview.mp4").exists()
    assert store.fetch(JOB, "package").version


def test_a_webhook_is_told_of_a_package_and_a_deaf_one_is_a_warning(tmp_path: Path) -> None:
    quick = Backoff(first_s=0.001, longest_s=0.001, budget_s=0.01)
    small = {"viewer": {"enabled": False}, "exports": {"formats": ["splat"]}}
    with receiving() as receiver:
        hook = Webhook(url=receiver.url, secret=b"0123456789abcdef", backoff=quick)
        store, result = deliver(tmp_path / "a", BrokenMovies(), small, outlet=Outlet(webhook=hook))
        shown = metadata_of(result, "package")
        assert shown["webhook"] == "taken by 127.0.0.1 at attempt 1"
        [(headers, body)] = receiver.taken
        receiver.answers = [(500, {})] * 50
        _, deaf = deliver(tmp_path / "b", BrokenMovies(), small, outlet=Outlet(webhook=hook))
    assert headers["Splat-Event"] == "delivered"
    assert headers["Splat-Signature"].startswith("v1=")
    told = json.loads(body)
    version = store.fetch(JOB, "package").version
    assert (told["uuid"], told["name"], told["status"], told["progress"]) == (JOB, HOSTILE, {"code": 40}, 100)
    assert told["delivered_to"] == str(tmp_path / "a" / "delivered" / JOB / version)
    assert told["outputs"]["report.html"] == "splat_report"
    assert metadata_of(deaf, "package")["webhook"].startswith("WebhookFailed: 127.0.0.1 was sent delivered")


def test_what_nobody_sees_is_not_delivered_and_it_is_told_by_which_rule_it_went(delivered) -> None:
    assert len(read_ply(folder_of(delivered, "splat") / "gaussians.ply")) == 620
    kept = folder_of(delivered, "cleaned")
    assert len(read_ply(kept / "gaussians.ply")) == 600
    weights = tables.read_table(kept / "contributions.parquet", tables.CONTRIBUTIONS)["weight_px"]
    assert len(weights) == 600
    assert (weights > 0).all()
    told = json.loads((folder_of(delivered, "package") / "delivery.json").read_text())["cleaning"]
    assert told["removed"] == 20
    rules = {rule["rule"]: rule for rule in told["rules"]}
    assert (rules["transparent"]["found"], rules["transparent"]["removed"]) == (20, 20)
    assert rules["transparent"]["psnr_before_db"] - rules["transparent"]["psnr_after_db"] < 0.05
    shown = metadata_of(delivered[1], "cleaned")
    assert (shown["gaussians"], shown["removed"], shown["removed_transparent"]) == (600, 20, 20)
    assert "| transparent | 20 | 20 |" in shown["rules"]
    page = (folder_of(delivered, "report") / "report.html").read_text()
    assert "20 Gaussians that only disturb were removed before: transparent 20." in page


def test_files_keep_to_a_budget_and_the_package_says_what_that_costs(tmp_path: Path) -> None:
    wanted = {"exports": {"max_bytes": 20_000, "formats": ["ply", "spz"]}, "viewer": {"enabled": False}}
    store, _ = deliver(tmp_path, BrokenMovies(), wanted)
    told = json.loads((store.fetch(JOB, "package").folder / "delivery.json").read_text())
    rows = {row["format"]: row for row in told["formats"]}
    assert all(row["size_bytes"] <= 20_000 for row in rows.values())
    assert rows["ply"]["left_out"]
    assert rows["ply"]["psnr_db"] < rows["spz"]["psnr_db"]
    assert rows["spz"]["left_out"] is None
    assert (
        f"to fit, without {rows['ply']['left_out']}" in (store.fetch(JOB, "report").folder / "report.html").read_text()
    )


def test_cameras_are_delivered_in_the_world_of_the_splat(delivered) -> None:
    folder = folder_of(delivered, "package")
    _, images = read_posed(folder / "colmap")
    assert len(images) == 16
    for i in range(16):
        pose = rigid(rotation_from_quat(images[i + 1].quat), images[i + 1].translation)
        np.testing.assert_allclose(pose, ring_pose(i), atol=1e-9)
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    np.testing.assert_allclose(
        np.array(frames[3]["transform_matrix"])[:3, 3], np.linalg.inv(ring_pose(3))[:3, 3], atol=1e-9
    )
    kinds = {file["name"]: file["data_type"] for file in json.loads((folder / "delivery.json").read_text())["files"]}
    assert (kinds["colmap/images.bin"], kinds["transforms.json"]) == ("splat_colmap_model", "splat_transforms")


def test_all_gaussians_are_delivered_where_that_is_asked_for_and_a_crop_is_told(tmp_path: Path) -> None:
    def rules(name: str, **asked: Any) -> tuple[int, dict[str, Any]]:
        config = {"ops": {"cleaned": {"config": asked}}}
        small = {"viewer": {"enabled": False}, "exports": {"formats": ["splat"], "cameras": []}}
        store, _ = deliver(tmp_path / name, BrokenMovies(), small, config)
        rows = tables.read_rows(store.fetch(JOB, "cleaned").folder / "cleaning.parquet", tables.CLEANING)
        [model] = store.fetch(JOB, "exports").folder.glob("model-*.splat")
        return model.stat().st_size // 32, {row["rule"]: row for row in rows}

    count, told = rules("all", keep_all=True)
    assert count == 620
    assert {(row["removed"], row["because"]) for row in told.values()} == {(0, "exports.keep_all is set")}
    count, told = rules("crop", crop=0.2)
    assert 0 < count < 600
    assert told["crop"]["removed"] == 600 - count


def test_a_ply_and_the_report_say_units_axes_and_place(delivered) -> None:
    [model] = (path for path in folder_of(delivered, "exports").iterdir() if path.suffixes == [".ply"])
    header = model.read_bytes().partition(b"end_header")[0].decode("ascii").splitlines()
    said = [line.removeprefix("comment ") for line in header if line.startswith("comment ")]
    assert said == [
        "Up: -y",
        "Units: metres",
        "Axes: +x east, +y down, +z north",
        "Origin: 47.1234567, -8.5000000 (WGS84)",
        "Detail: reduced",
        "Detail-reason: reprojection_well: 2.1 px <script>",
    ]
    page = (folder_of(delivered, "report") / "report.html").read_text()
    assert "Units: metres, from gps track: 15 of 16 positions fit to 0.41 m, sizes are good to 3 % or so." in page
    assert "Place of the origin: 47.1234567, -8.5000000 (WGS84)." in page
    assert FRAME["warnings"][0] in page


def test_a_lower_detail_is_on_every_file_that_can_say_it(delivered) -> None:
    files = list(folder_of(delivered, "exports").glob("model-*.ply"))
    assert len(files) == 2
    for path in files:
        assert b"\ncomment Detail: reduced\n" in path.read_bytes()
    with av.open(str(folder_of(delivered, "preview") / "preview.mp4")) as film:
        assert film.metadata["title"] == f"{HOSTILE} (reduced detail)"
    for asset in ("exports", "preview", "report", "package"):
        assert metadata_of(delivered[1], asset)["detail"] == "reduced"
    told = json.loads((folder_of(delivered, "package") / "delivery.json").read_text())
    assert told["detail"] == "reduced"
    assert "reduced detail" in (folder_of(delivered, "report") / "report.html").read_text()


def test_a_caption_changes_a_corner_only() -> None:
    grey = np.full((540, 960, 3), 90, np.uint8)
    [seen] = captioned([grey], "preview detail")
    assert {0, 255} <= set(np.unique(seen[480:, :400]).tolist())
    assert (seen[:450] == 90).all()


def test_the_preview_plays_and_its_poster_is_its_first_frame(delivered) -> None:
    folder = folder_of(delivered, "preview")
    with av.open(str(folder / "preview.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    poster = np.asarray(Image.open(folder / "poster.jpg"))
    assert len(pictures) == 12
    assert np.abs(pictures[0].astype(int) - poster).mean() < 6
    assert np.std(poster) > 10
    assert len(json.loads((folder / "camera_path.json").read_text())["camera_path"]) == 12
    turntable = np.asarray(Image.open(folder / "turntable.jpg"))
    assert turntable.shape == (90, 480, 3)
    for i in range(3):
        assert np.abs(turntable[:, 160 * i : 160 * (i + 1)].astype(int) - pictures[4 * i]).mean() < 6


def test_the_ui_shows_the_first_view_small_and_links_report_viewer_and_film(delivered) -> None:
    shown = metadata_of(delivered[1], "preview")
    assert shown["poster"].startswith("![first view](data:image/jpeg;base64,")
    assert len(shown["poster"]) < 50_100
    version = delivered[0].fetch(JOB, "preview").version
    assert shown["open_preview_mp4"] == f"{ADDRESS}/{JOB}/preview/{version}/preview.mp4"
    assert metadata_of(delivered[1], "report")["open_report_html"].endswith("/report.html")
    assert metadata_of(delivered[1], "viewer")["open_viewer_html"].endswith("/viewer.html")
    opened = {name for name in metadata_of(delivered[1], "package") if name.startswith("open_")}
    assert opened == {"open_report_html", "open_viewer_html", "open_preview_mp4"}


def test_a_hostile_title_is_text_in_the_report_and_the_page_loads_nothing(delivered) -> None:
    page = (folder_of(delivered, "report") / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page
    assert "{{ 7 * 7 }}" in page
    assert "&lt;i&gt;cut off" in page
    for attribute in ("src=", "href=", "url("):
        for part in page.split(attribute)[1:]:
            assert part.startswith(('"data:image/jpeg;base64,', '"preview.mp4"', '"viewer.html"'))


def test_the_report_says_what_each_clip_gave_how_loops_closed_and_how_to_film_better(delivered) -> None:
    path = folder_of(delivered, "report") / "report.html"
    page = html.unescape(path.read_text())
    assert path.stat().st_size < 5e6
    assert "<b><b>a.mp4</b> 16 of 16 chosen frames placed; 80 looked at, 20 not usable" in page
    assert f"<b>a.mp4: 25% of the frames are blurred. {Blurred.remedy}" in page
    assert f"reprojection well: {PoseError.remedy}" in page
    assert '0 and 11</td><td class="n">40</td><td class="n">4° → 0.2°</td><td class="n">2 % → 0.1 %' in page
    assert "3 loops; before → after they were closed" in page
    assert page.index("0 and 11") < page.index("0 and 10")
    for heading in ("How far off things are", "How the training went", "Time and space", "Made with"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("Distribution") == 2  # no frame of these poses has an error
    assert f"numba {importlib.metadata.version('numba')}" in page


@pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)
def test_the_report_fits_a_telephone_and_paper_and_asks_for_nothing_but_the_film(delivered) -> None:
    path = folder_of(delivered, "report") / "report.html"
    with chromium() as browser:
        page = browser.page()
        for width in (380, 1200):
            page.open(path.as_uri(), width=width, height=800)
            assert page.run("document.documentElement.scrollWidth") <= width
        sheets = page.call("Page.printToPDF", preferCSSPageSize=True)["data"]
        asked = {address.rpartition("/")[2] for address in page.requests if not address.startswith("data:image/")}
        assert asked == {"report.html", "preview.mp4"}
        seen = "document.querySelector('details table').checkVisibility()"
        assert page.run(seen) is False  # what passed is folded away
        page.call("Emulation.setEmulatedMedia", media="print")
        assert page.run(seen) is True  # but not on paper
    assert base64.b64decode(sheets).startswith(b"%PDF")


def test_the_report_tells_what_each_stage_took_and_puts_gates_in_words_the_failed_first(delivered) -> None:
    store = delivered[0]
    page = (store.fetch(JOB, "report").folder / "report.html").read_text()
    taken = store.fetch(JOB, "preview").manifest["peak_rss_bytes"]
    assert taken > 1e7
    assert f'<td class="n">{taken / 1e6:.0f} MB</td>' in page
    assert "MB of memory at the most" in page
    gates = page.partition("<h2>Gates</h2>")[2].partition("</section>")[0]
    first, _, folded = gates.partition("<details>")
    assert "reprojection well" in first
    assert "passed</span>" not in first
    assert "passed</span>" in folded
    assert "rms_px" not in gates


def test_the_viewer_opens_where_the_film_begins_and_names_where_photographs_were_taken(delivered) -> None:
    page = (folder_of(delivered, "viewer") / "viewer.html").read_text()
    scene = json.loads(page.partition('id="scene">')[2].partition("</script>")[0])
    [first, *_] = json.loads((folder_of(delivered, "preview") / "camera_path.json").read_text())["camera_path"]
    half_turn = np.diag([1.0, -1.0, -1.0, 1.0])
    upright = np.linalg.inv(Z_UP) @ np.array(first["camera_to_world"]).reshape(4, 4)
    world = half_turn @ upright
    assert np.array(scene["start"]["pose"]).reshape(4, 4) == pytest.approx(world, abs=1e-5)
    assert scene["start"]["fov_deg"] == pytest.approx(first["fov"], abs=1e-3)
    assert [shot["name"] for shot in scene["poses"]][:2] == ["<b>a.mp4 at 0.0 s", "<b>a.mp4 at 0.5 s"]
    assert len(scene["poses"]) == 14
    assert "reprojection_well: 2.1 px &lt;script&gt;" in page


def test_no_viewer_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    store, result = deliver(tmp_path, BrokenMovies(), {"viewer": {"enabled": False}})
    assert sorted(path.name for path in store.fetch(JOB, "viewer").folder.iterdir()) == ["artifact.json", "viewer.json"]
    told = json.loads((store.fetch(JOB, "package").folder / "delivery.json").read_text())
    assert "splat_viewer" not in [file["data_type"] for file in told["files"]]
    assert not any("viewer" in warning for warning in told["warnings"])
    assert metadata_of(result, "viewer")["ok"] is False


def test_without_an_encoder_the_splat_is_delivered_with_the_reason(tmp_path: Path) -> None:
    store, result = deliver(tmp_path, BrokenMovies())
    preview = store.fetch(JOB, "preview").folder
    assert sorted(path.name for path in preview.iterdir()) == ["artifact.json", "gates.json", "preview.json"]
    assert json.loads((preview / "preview.json").read_text())["reason"] == "ToolCrashed: ffmpeg ended with 1"
    assert metadata_of(result, "preview")["ok"] is False
    told = json.loads((store.fetch(JOB, "package").folder / "delivery.json").read_text())
    assert "no preview: ToolCrashed: ffmpeg ended with 1" in told["warnings"]
    assert "No preview" in (store.fetch(JOB, "report").folder / "report.html").read_text()


def test_the_poster_of_a_flight_is_its_frame_of_most_detail_and_of_an_orbit_its_first() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((8, 8, 3), 90, np.uint8)
    rough, fine = (np.clip(90 + rng.normal(0, s, (8, 8, 3)), 0, 255).astype(np.uint8) for s in (5, 50))
    poster = Poster(frames=3)
    assert [
        frame is other for frame, other in zip(poster.watching([flat, fine, rough]), [flat, fine, rough], strict=True)
    ]
    assert poster.chosen(first=True) is flat
    assert poster.chosen(first=False) is fine
    assert [frame is other for frame, other in zip(poster.turns, [flat, fine, rough], strict=True)] == [True] * 3
    there_and_back = Poster(frames=4, returns=True)
    assert len(list(there_and_back.watching([flat, fine, rough, fine]))) == 4
    assert [id(frame) for frame in there_and_back.turns] == [id(flat), id(fine), id(rough)]
