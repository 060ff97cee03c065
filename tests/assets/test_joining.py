"""Long captures through Dagster and COLMAP: windows, loops, one model. Features are synthetic, no picture is read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from circuit import SIZE, Circuit
from sfm import Walk, at_once, by_windows

from resources.colmap import ColmapBackend
from resources.json_io import JsonIOManager
from resources.machine import LocalMachine
from resources.media import PyAvReader
from resources.places import place_of
from resources.pose_sources import InstalledSources
from resources.stores import FileStore
from splat_pipeline.assets import linking, poses, reconstructions
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain.evaluation import centers, trajectory_error
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.recipe import PoseRecipe, Recipe
from splat_pipeline.domain.tables import ALIGNMENT, KEYFRAMES, LOOPS, POSES, VIDEOS, WINDOWS, read_table, write_table
from splat_pipeline.domain.uploads import Upload

JOB = "circuit-0a1b2c3d"
RECIPE = PoseRecipe(window_over=20, window_size=45, window_overlap=15, overlap=6, mapper="incremental")
LOOP = Circuit(frames=120, features=150)


@dg.asset(partitions_def=jobs)
def source_videos() -> None: ...


@dg.asset(partitions_def=jobs)
def keyframes() -> None: ...


@dg.asset(partitions_def=jobs, deps=["keyframes"])
def features() -> None: ...


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return Walk(LOOP, tmp_path_factory.mktemp("circuit") / "walk", recipe=RECIPE)


@pytest.fixture(scope="module")
def store(walk, tmp_path_factory):
    """A store in which the capture is reconstructed, from its features on."""
    home = tmp_path_factory.mktemp("store")
    made = FileStore(home / "store", home / "delivered")
    made.register(Upload(job=JOB, title="circuit", location="/nowhere", files=()))
    with made.scratch(JOB, "source_videos") as folder:
        (folder / "manifest.json").write_text(json.dumps({"recipe": Recipe(poses=RECIPE).model_dump(), "images": {}}))
        write_table(folder / "videos.parquet", VIDEOS, [])
        made.publish(JOB, "source_videos", folder, provenance={})
    with made.scratch(JOB, "keyframes") as folder:
        rows = [
            {
                "keyframe_id": i, "video_id": "walk", "frame_index": i, "pts_s": i / 3, "segment_id": "clip0",
                "file": f"images/{name}", "width_px": SIZE[0], "height_px": SIZE[1], "camera_id": 0, "holdout": False,
            }
            for i, name in enumerate(walk.names)
        ]  # fmt: skip
        write_table(folder / "keyframes.parquet", KEYFRAMES, rows)
        (folder / "images").mkdir()
        (folder / "images" / "none.txt").write_text("COLMAP asks for the folder; points stay black without pictures")
        made.publish(JOB, "keyframes", folder, provenance={})
    with made.scratch(JOB, "features") as folder:
        LOOP.write(folder / "features")
        made.publish(JOB, "features", folder, provenance={})
    definitions = dg.Definitions(
        assets=[
            source_videos, keyframes, features, reconstructions.match_graph, linking.linking_frames,
            reconstructions.local_reconstructions,            poses.camera_poses,
        ],
        jobs=[
            dg.define_asset_job(
                "some",
                selection=dg.AssetSelection.assets(
                    "match_graph", "linking_frames", "local_reconstructions", "camera_poses"
                ),
            )
        ],
        resources={
            "store": made,
            "machine": LocalMachine(),
            "sfm": ColmapBackend(),
            "reader": PyAvReader(),
            "sources": InstalledSources(),
            "json_io": JsonIOManager(place_of(home / "ops")),
        },
    )  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("jobs", [JOB])
        assert definitions.resolve_job_def("some").execute_in_process(partition_key=JOB, instance=instance).success
    return made


def folder_of(store, asset):
    return store.fetch(JOB, asset).folder


def test_windows_come_to_one_model_as_good_as_one_reconstruction(store, walk):
    windows = read_table(folder_of(store, "local_reconstructions") / "windows.parquet", WINDOWS)
    assert windows[["first", "stop"]].to_numpy().tolist() == [[0, 45], [25, 70], [50, 95], [75, 120]]
    rows = read_table(folder_of(store, "camera_poses") / "poses.parquet", POSES)
    assert rows["registered"].all()
    assert rows["window_ids"].map(list).tolist()[0:90:30] == [[0], [0, 1], [1, 2]]
    model = read_model(folder_of(store, "camera_poses") / "sparse")
    by_name = {image.name: cam_from_world(model, i) for i, image in model.images.items()}
    error = trajectory_error(np.stack([by_name[name] for name in walk.names]), LOOP.truth())
    whole = at_once(walk, "incremental")
    assert whole["registered"] == len(walk.names)
    assert error.ate_rmse < max(1.2 * whole["ate_m"], 0.001 * error.extent)


def test_loops_and_the_alignment_are_on_record(store):
    folder = folder_of(store, "camera_poses")
    loops = read_table(folder / "loops.parquet", LOOPS)
    far = loops[loops["second"] - loops["first"] > 90]
    assert len(far) >= 5
    assert far["translation_after"].median() < 0.2 * far["translation_before"].median()
    alignment = read_table(folder / "alignment.parquet", ALIGNMENT)
    assert alignment["window_id"].tolist() == [0, 1, 2, 3]
    assert (alignment["shared_observations"] > 100).all()
    assert not (folder / "joined").exists()


@pytest.mark.parametrize("trouble", [{"clips": 2}, {"alias": True}], ids=lambda trouble: next(iter(trouble)))
def test_two_clips_and_a_place_that_looks_like_another_come_to_one_true_model(trouble, tmp_path):
    walk = Walk(Circuit(frames=120, features=150, **trouble), tmp_path / "walk", recipe=RECIPE)
    found = by_windows(walk, "incremental")
    assert found["registered"] == 120
    assert found["ate_m"] < 0.002 * np.linalg.norm(np.ptp(centers(walk.circuit.truth()), axis=0))
    if "alias" in trouble:
        assert found["disbelieved"] > 0, "the false loop was seen, and not believed"


def test_one_reconstruction_of_many_frames_is_adjusted_until_it_is_not_bent(tmp_path):
    walk = Walk(Circuit(frames=200), tmp_path / "walk", recipe=RECIPE)
    found = at_once(walk, "global")
    assert found["registered"] == 200
    # 0.048 m where the mapper stops by COLMAP's tolerance, 0.005 by ours
    assert found["ate_m"] < 0.001 * np.linalg.norm(np.ptp(centers(walk.circuit.truth()), axis=0))
