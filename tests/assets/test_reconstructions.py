"""From keyframes to the upright point cloud, through Dagster and the real store."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from scene import RECIPE, SIZE, ReplayedSfm

from resources.images import KeyframeImages
from resources.json_io import JsonIOManager
from resources.machine import LocalMachine
from resources.media import PyAvReader
from resources.places import place_of
from resources.pose_sources import InstalledSources
from resources.stores import FileStore
from resources.strategies import STRATEGIES
from splat_pipeline.assets import linking, poses, reconstructions
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain.evaluation import centers, trajectory_error
from splat_pipeline.domain.formats.colmap import read_model, write_model
from splat_pipeline.domain.formats.points_ply import read_points
from splat_pipeline.domain.geodesy import Place, place_at
from splat_pipeline.domain.quality import read_verdicts
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.rigid import fit_similarity
from splat_pipeline.domain.tables import (
    ATTEMPTS,
    KEYFRAMES,
    POINTS,
    POSES,
    POSITIONS,
    VIDEOS,
    WINDOWS,
    read_table,
    write_table,
)
from splat_pipeline.domain.uploads import Upload

JOB = "corner-0a1b2c3d"


@dg.asset(partitions_def=jobs)
def source_videos() -> None: ...


@dg.asset(partitions_def=jobs)
def keyframes() -> None: ...


def keyframe_rows(capture):
    return [
        {
            "keyframe_id": i,
            "video_id": name.split("/")[0],
            "frame_index": i,
            "pts_s": i / 3,
            "segment_id": name.split("/")[0],
            "file": f"images/{name}",
            "width_px": SIZE[0],
            "height_px": SIZE[1],
            "camera_id": camera_id,
            "holdout": i % 4 == 3,
        }
        for i, (name, camera_id) in enumerate(zip(capture.names, capture.camera_ids, strict=True))
    ]


@pytest.fixture
def store(tmp_path, capture) -> FileStore:
    """A store in which everything up to the keyframes is done."""
    made = FileStore(tmp_path / "store", tmp_path / "delivered")
    made.register(Upload(job=JOB, title="corner", location="/nowhere", files=()))
    with made.scratch(JOB, "source_videos") as folder:
        (folder / "manifest.json").write_text(json.dumps({"recipe": Recipe(poses=RECIPE).model_dump(), "images": {}}))
        write_table(folder / "videos.parquet", VIDEOS, [])
        made.publish(JOB, "source_videos", folder, provenance={})
    with made.scratch(JOB, "keyframes") as folder:
        shutil.copytree(capture.images, folder / "images")
        write_table(folder / "keyframes.parquet", KEYFRAMES, keyframe_rows(capture))
        made.publish(JOB, "keyframes", folder, provenance={})
    return made


def run(
    instance: dg.DagsterInstance, store: FileStore, sfm: Any, *assets: str, tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    made = [
        poses.camera_poses,
        poses.point_cloud,
        reconstructions.features,
        reconstructions.match_graph,
        linking.linking_frames,
        reconstructions.local_reconstructions,
    ]
    definitions = dg.Definitions(
        assets=[source_videos, keyframes, *made],
        jobs=[dg.define_asset_job("some", selection=dg.AssetSelection.assets(*assets))],
        resources={
            "store": store,
            "machine": LocalMachine(),
            "sfm": sfm,
            "reader": PyAvReader(),
            "sources": InstalledSources(),
            "json_io": JsonIOManager(place_of(store.local / "ops")),
        },
    )
    instance.add_dynamic_partitions("jobs", [JOB])
    job = definitions.resolve_job_def("some")
    return job.execute_in_process(partition_key=JOB, instance=instance, raise_on_error=False, tags=tags)


ALL = ("features", "match_graph", "linking_frames", "local_reconstructions", "camera_poses", "point_cloud")


def folder_of(store, asset):
    return store.fetch(JOB, asset).folder


def failure(result):
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data


def test_keyframes_become_true_poses_and_an_upright_cloud(instance, store, capture):
    result = run(instance, store, ReplayedSfm(capture), *ALL)
    assert result.success

    rows = read_table(folder_of(store, "camera_poses") / "poses.parquet", POSES)
    assert rows["registered"].all()
    assert rows["pose_confidence"].min() > 0.5
    frame = json.loads((folder_of(store, "point_cloud") / "frame_of_reference.json").read_text())
    assert (frame["scale_source"], frame["metres_per_unit"], frame["gps"]) == (None, None, None)

    load = KeyframeImages().load
    folders = [folder_of(store, name) for name in ("keyframes", "camera_poses", "point_cloud")]
    train = load(*folders, longer_side_px=200, holdout=False)
    held = load(*folders, longer_side_px=200, holdout=True)
    assert sorted([*train.keyframe_ids, *held.keyframe_ids]) == list(range(len(capture.names)))
    assert list(held.keyframe_ids) == [3, 7, 11]
    estimate = np.stack([view.cam_from_world for view in train.views])
    error = trajectory_error(estimate, capture.truth[list(train.keyframe_ids)])
    assert error.ate_rmse < 0.002 * error.extent
    down = error.truth_from_estimate.rotation @ [0, 1, 0]
    assert np.degrees(np.arccos(down @ [0, 1, 0])) < 5, "y is down, as it was filmed"

    cloud = read_table(folder_of(store, "point_cloud") / "points.parquet", POINTS)
    xyz, rgb = read_points(folder_of(store, "point_cloud") / "points.ply")
    np.testing.assert_array_equal(xyz, cloud[["x", "y", "z"]])
    np.testing.assert_array_equal(rgb, cloud[["red", "green", "blue"]])
    assert (np.abs(np.median(xyz, axis=0)) < 1e-5 * np.ptp(centers(estimate))).all()


def filmed_by(store, recipe, positions=()):
    """Two clips, one a camera of the capture, with settings and positions."""
    nothing = dict.fromkeys(column.name for column in VIDEOS.columns)
    clips = [
        {**nothing, "video_id": name, "name": f"{name}.mp4", "sha256": "0" * 64, "size_bytes": 7, "usable": True}
        for name in ("a", "b")
    ]
    with store.scratch(JOB, "source_videos") as folder:
        (folder / "manifest.json").write_text(json.dumps({"recipe": recipe.model_dump(), "images": {}}))
        write_table(folder / "videos.parquet", VIDEOS, clips)
        write_table(folder / "positions.parquet", POSITIONS, list(positions))
        store.publish(JOB, "source_videos", folder, provenance={})


def metres(store, capture):
    """Return the frame, and by how many truth's units the cameras are off when nothing but size is believed."""
    frame = json.loads((folder_of(store, "point_cloud") / "frame_of_reference.json").read_text())
    folders = [folder_of(store, name) for name in ("keyframes", "camera_poses", "point_cloud")]
    views = KeyframeImages().load(*folders, longer_side_px=200, holdout=False)
    found = centers(np.stack([view.cam_from_world for view in views.views]))
    true = centers(capture.truth[list(views.keyframe_ids)])
    fit = fit_similarity(true, found)
    return frame, fit.scale, found


def test_positions_put_the_world_in_metres_on_earth(instance, store, capture):
    """The truth's unit has 10 m; z is north."""
    here = Place(lat_deg=48.1, lon_deg=11.6, alt_m=520.0)
    places = [place_at(10 * center[[0, 2, 1]] * [1, 1, -1], here) for center in centers(capture.truth)]
    positions = [
        {"video_id": row["video_id"], "pts_s": row["pts_s"], **asdict(place), "accuracy_m": None, "source": "srt"}
        for row, place in zip(keyframe_rows(capture), places, strict=True)
    ]
    filmed_by(store, Recipe(poses=RECIPE), positions)
    assert run(instance, store, ReplayedSfm(capture), *ALL).success
    frame, scale, found = metres(store, capture)
    assert (frame["scale_source"], frame["metres_per_unit"], frame["gps"]["used"]) == ("gps track", 1.0, 14)
    assert scale == pytest.approx(10, rel=0.01)
    origin = Place(**frame["origin"])
    train = [i for i in range(14) if i % 4 != 3]
    for center, place in zip(found, [places[i] for i in train], strict=True):
        at = place_at(center[[0, 2, 1]] * [1, 1, -1], origin)
        assert at.lat_deg == pytest.approx(place.lat_deg, abs=2e-6)
        assert at.lon_deg == pytest.approx(place.lon_deg, abs=2e-6)
        assert at.alt_m == pytest.approx(place.alt_m, abs=0.3)


def test_a_known_length_puts_the_world_in_metres(instance, store, capture):
    true = centers(capture.truth)
    apart = 10 * float(np.linalg.norm(true[6] - true[0]))
    asked = {"scale": {"metres": apart, "between": ["a.mp4@0", "a.mp4@2"]}}
    filmed_by(store, Recipe(poses=RECIPE).overridden(asked, source="test"))
    assert run(instance, store, ReplayedSfm(capture), *ALL).success
    frame, scale, _ = metres(store, capture)
    assert (frame["scale_source"], frame["gps"], frame["origin"]) == ("job.yaml", None, None)
    assert scale == pytest.approx(10, rel=0.01)
    unknown = {"scale": {"metres": apart, "between": ["a.mp4@0", "b.mp4@20"]}}
    filmed_by(store, Recipe(poses=RECIPE).overridden(unknown, source="test"))
    assert run(instance, store, ReplayedSfm(capture), "point_cloud").success
    frame, _, _ = metres(store, capture)
    assert frame["scale_source"] is None
    assert frame["warnings"] == ["the known length is not used: no camera is known at b.mp4@20"]


def test_points_project_to_their_colour_in_the_training_images(instance, store, capture):
    """Poses, intrinsics, undistortion, resampling and the upright frame agree, to the pixel's colour."""
    run(instance, store, ReplayedSfm(capture), *ALL)
    folders = [folder_of(store, name) for name in ("keyframes", "camera_poses", "point_cloud")]
    views = KeyframeImages().load(*folders, longer_side_px=200, holdout=False)
    xyz, rgb = read_points(folders[2] / "points.ply")
    differences = []
    for image, view in zip(views.images, views.views, strict=True):
        in_camera = xyz @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
        camera = view.camera
        u = camera.fx_px * in_camera[:, 0] / in_camera[:, 2] + camera.cx_px
        v = camera.fy_px * in_camera[:, 1] / in_camera[:, 2] + camera.cy_px
        inside = (in_camera[:, 2] > 0) & (u >= 0) & (v >= 0) & (u < camera.width_px) & (v < camera.height_px)
        seen = image[v[inside].astype(int), u[inside].astype(int)].astype(float)
        differences.append(np.abs(seen - rgb[inside]).mean())
        shuffled = np.random.default_rng(0).permutation(rgb[inside])
        assert differences[-1] < 0.5 * np.abs(seen - shuffled).mean()


def test_the_search_ends_with_the_first_good_attempt(instance, store, capture):
    run(instance, store, ReplayedSfm(capture), "features", "match_graph", "linking_frames", "local_reconstructions")
    attempts = read_table(folder_of(store, "local_reconstructions") / "attempts.parquet", ATTEMPTS)
    assert attempts[["strategy", "outcome"]].to_numpy().tolist() == [["global", "kept"]]


def test_the_best_of_weak_attempts_is_kept_and_a_crash_is_not_the_end(instance, store, capture):
    sfm = ReplayedSfm(capture, script={"global": "crashed", "incremental": 9, "incremental-wide": 7})
    assert run(instance, store, sfm, *ALL).success
    source = folder_of(store, "local_reconstructions")
    attempts = read_table(source / "attempts.parquet", ATTEMPTS)
    assert attempts["outcome"].tolist() == ["crashed", "kept", "weaker"]
    window = read_table(source / "windows.parquet", WINDOWS).iloc[0]
    assert (window["registered"], window["strategy"], window["attempts"]) == (9, "incremental", 3)
    rows = read_table(folder_of(store, "camera_poses") / "poses.parquet", POSES)
    assert rows["registered"].sum() == 9
    assert rows.loc[~rows["registered"], "pose_confidence"].tolist() == [0] * 5


def test_the_signature_of_an_attempt_chooses_the_next_and_enough_ends_the_search(instance, store, capture):
    starts = []

    class Torn(ReplayedSfm):
        def reconstruct(self, request, folder, *, say):
            starts.append(request.start and request.start.name)
            found = super().reconstruct(request, folder, say=say)
            return replace(found, models=2) if request.strategy == "global" else found

    sfm = Torn(capture, script={"global": 9}, strategies=tuple(STRATEGIES))
    assert run(instance, store, sfm, *ALL).success
    attempts = read_table(folder_of(store, "local_reconstructions") / "attempts.parquet", ATTEMPTS)
    assert attempts[["strategy", "signature", "outcome"]].to_numpy().tolist() == [
        ["global", "components", "weaker"],
        ["incremental-join", "enough", "kept"],
    ]
    assert starts == [None, "0"]
    assert attempts["features"].min() > 200


def test_models_that_came_apart_are_merged_before_anything_else_is_tried(instance, store, capture):
    class Apart(ReplayedSfm):
        """Gives the first nine images as a model, and all but the first five as another."""

        def reconstruct(self, request, folder, *, say):
            found = super().reconstruct(request, folder, say=say)
            self.give(request.images[5:], request.parts / "0")
            return replace(found, models=2)

        def adjust(self, request, folder, *, say):
            self.give(request.images, folder)

        def give(self, images, folder):
            full = read_model(self.capture.model)
            folder.mkdir(parents=True)
            some = {key: image for key, image in full.images.items() if image.name in images}
            write_model(folder, replace(full, images=some))

    assert run(instance, store, Apart(capture, script={"global": 9}), *ALL).success
    attempts = read_table(folder_of(store, "local_reconstructions") / "attempts.parquet", ATTEMPTS)
    assert attempts[["strategy", "registered", "signature", "outcome"]].to_numpy().tolist() == [
        ["global", 9, "components", "weaker"],
        ["merge", len(capture.names), "enough", "kept"],
    ]
    assert read_table(folder_of(store, "camera_poses") / "poses.parquet", POSES)["registered"].all()


def test_the_search_ends_with_its_time(instance, store, capture):
    sfm = ReplayedSfm(capture, script=dict.fromkeys(ReplayedSfm.strategies, 9))
    short = Recipe(poses=RECIPE.model_copy(update={"rescue_limit_s": 1e-3}))
    with store.scratch(JOB, "source_videos") as folder:
        (folder / "manifest.json").write_text(json.dumps({"recipe": short.model_dump(), "images": {}}))
        write_table(folder / "videos.parquet", VIDEOS, [])
        store.publish(JOB, "source_videos", folder, provenance={})
    assert run(instance, store, sfm, *ALL).success
    attempts = read_table(folder_of(store, "local_reconstructions") / "attempts.parquet", ATTEMPTS)
    assert attempts["strategy"].tolist() == ["global"]


def test_a_partial_model_says_which_seconds_are_missing(instance, store, capture):
    result = run(instance, store, ReplayedSfm(capture, script=dict.fromkeys(ReplayedSfm.strategies, 9)), *ALL)
    (shown,) = [
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key.path == ["camera_poses"]
    ]
    assert shown["missing"].value == "missing: b 3.0-4.3 s (5 keyframes)"
    weak = {check.check_name: check for check in result.get_asset_check_evaluations()}["registered_well"]
    assert not weak.passed
    assert weak.description.endswith("; missing: b 3.0-4.3 s (5 keyframes)")
    kept = read_verdicts(folder_of(store, "camera_poses") / "gates.json")
    assert [verdict.because for verdict in kept if verdict.gate == "registered_well"] == [weak.description]


def test_a_window_is_an_artifact_without_leftovers_of_its_attempts(instance, store, capture):
    run(instance, store, ReplayedSfm(capture), "features", "match_graph", "linking_frames", "local_reconstructions")
    names = {path.name for path in folder_of(store, "window_0000").iterdir()}
    assert names == {"model", "attempts.parquet", "windows.parquet", "artifact.json"}


def test_no_model_fails_with_what_was_tried_and_a_remedy(instance, store, capture):
    sfm = ReplayedSfm(capture, script={"global": "failed", "incremental": "timeout", "incremental-wide": "failed"})
    result = run(instance, store, sfm, *ALL)
    assert not result.success
    failed = failure(result)
    described = failed.user_failure_data.description
    assert described.startswith(
        "NoParallax: no model was found: global: failed, no parallax; incremental: timeout, timeout"
    )
    assert "Film again" in described


def test_few_images_stop_the_job_by_its_gate(instance, store, capture):
    sfm = ReplayedSfm(capture, script=dict.fromkeys(ReplayedSfm.strategies, 5))
    result = run(instance, store, sfm, *ALL)
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert (checks["registered"], checks["registered_well"]) == (False, False)
    assert (checks["reprojection"], checks["reprojection_well"]) == (True, True)
    materialized = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert "point_cloud" not in materialized


class Counting(ReplayedSfm):
    """Counts its attempts."""

    attempts = 0

    def reconstruct(self, request, folder, *, say):
        self.attempts += 1
        return super().reconstruct(request, folder, say=say)


def test_a_repeated_run_keeps_windows_of_the_same_inputs_and_a_new_one_computes_anew(instance, store, capture):
    sfm = Counting(capture)
    repeats = {"dagster/parent_run_id": "0a1b2c3d-0000-0000-0000-000000000000"}
    assert run(instance, store, sfm, *ALL, tags=repeats).success, "nothing to keep yet"
    before = store.fetch(JOB, "window_0000").digest
    assert sfm.attempts == 1
    assert run(instance, store, sfm, "local_reconstructions", "camera_poses", tags=repeats).success
    assert sfm.attempts == 1
    assert store.fetch(JOB, "window_0000").digest == before
    assert run(instance, store, sfm, "local_reconstructions").success
    assert sfm.attempts == 2


def test_a_repeated_run_computes_a_window_whose_inputs_changed(instance, store, capture):
    sfm = Counting(capture)
    assert run(instance, store, sfm, *ALL).success
    with store.scratch(JOB, "source_videos") as folder:
        recipe = Recipe(poses=RECIPE, seed=7)
        (folder / "manifest.json").write_text(json.dumps({"recipe": recipe.model_dump()}))
        write_table(folder / "videos.parquet", VIDEOS, [])
        store.publish(JOB, "source_videos", folder, provenance={})
    repeats = {"dagster/parent_run_id": "0a1b2c3d-0000-0000-0000-000000000000"}
    assert run(instance, store, sfm, "local_reconstructions", tags=repeats).success
    assert sfm.attempts == 2


class Forgetful(FileStore):
    """Loses a window between its publication and the gathering, as a crash of the run worker does."""

    def fetch(self, job: str, asset: str, version: str | None = None) -> Any:
        found = super().fetch(job, asset, version)
        if asset == "window_0000":
            return type(found)(**{**vars(found), "digest": "of an earlier run"})
        return found


def test_a_window_of_an_earlier_run_is_not_taken_for_this_ones(instance, store, capture):
    forgetful = Forgetful(store.local, store.local.parent / "delivered")
    result = run(
        instance, forgetful, ReplayedSfm(capture), "features", "match_graph", "linking_frames", "local_reconstructions"
    )
    assert not result.success
    assert (
        "MissingWindow: window_0000 is not the one that this run made" in failure(result).user_failure_data.description
    )


def test_the_same_reconstruction_has_the_same_data_version(instance, store, capture):
    versions = []
    for _ in range(2):
        result = run(instance, store, ReplayedSfm(capture), *ALL)
        (event,) = [
            event for event in result.get_asset_materialization_events() if event.asset_key.path == ["camera_poses"]
        ]
        versions.append(event.materialization.tags["dagster/data_version"])
    assert versions[0] == versions[1]


def test_every_asset_shows_seconds_and_counts(instance, store, capture):
    result = run(instance, store, ReplayedSfm(capture), *ALL)
    shown = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert all("seconds" in shown[name] and "bytes_out" in shown[name] for name in ALL)
    assert shown["camera_poses"]["registered"].value == len(capture.names)
    assert shown["local_reconstructions"]["windows"].value == 1
    assert len(shown["camera_poses"]["path"].value) < 1000, "longer ones hide behind a button"


def test_rows_of_stages_are_written_for_ops_too(instance, store, capture):
    from splat_pipeline.domain.tables import STAGES

    run(instance, store, ReplayedSfm(capture), *ALL)
    stages: pd.DataFrame = store.rows(STAGES)
    assert set(stages["stage"]) == {*ALL, "window_0000"}
