"""A walk whose keyframes leave a stretch out: linking frames tie the two parts into one reconstruction.

Features are synthetic, no picture is read; matching and reconstruction are COLMAP's.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from circuit import SIZE, Circuit

from resources.colmap import ColmapBackend
from resources.features import write_features
from resources.json_io import JsonIOManager
from resources.machine import LocalMachine
from resources.places import place_of
from resources.pose_sources import InstalledSources
from resources.stores import FileStore
from splat_pipeline.assets import linking, poses, reconstructions
from splat_pipeline.assets.cameras import Clip
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.links import MOST_A_BREAK
from splat_pipeline.domain.matches import read_pairs
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.recipe import PoseRecipe, Recipe
from splat_pipeline.domain.tables import (
    ATTEMPTS,
    FRAMES,
    KEYFRAMES,
    LINKS,
    POSES,
    VIDEOS,
    read_table,
    write_table,
)
from splat_pipeline.ports.sfm import ReconstructionRequest

JOB = "gap-0a1b2c3d"
WALK = Circuit(frames=100)
KEPT = [*range(25), *range(50, 75)]
"""Frames of the walk that are keyframes: the camera turns by 95 degrees where none are, more than it sees at once."""
LAST_BEFORE = 24
RECIPE = PoseRecipe(exhaustive_up_to=0, overlap=6, mapper="incremental", rescue_limit_s=60)
ROWS = {int(row.image[-9:-4]): row for row in WALK._rows()}


class Reader:
    """Writes what is asked for, and no pictures."""

    def extract(self, path, facts, frames, folder, *, longer_side_px, quality):
        for ref in frames:
            (folder / f"{ref.name}.jpg").write_bytes(b"")
        return [(f"{ref.name}.jpg", *SIZE) for ref in frames]


class Sfm(ColmapBackend):
    """COLMAP, with the walk's features instead of those of pictures."""

    def extract_features(self, request, folder, *, say):
        folder.mkdir()
        rows = [replace(ROWS[int(name[-10:-4])], image=name) for name in request.images]
        write_features(folder / f"{request.images[0].split('/')[0]}.parquet", rows)


@dg.asset(partitions_def=jobs)
def source_videos() -> None: ...


@dg.asset(partitions_def=jobs)
def frame_quality() -> None: ...


@dg.asset(partitions_def=jobs)
def keyframes() -> None: ...


@dg.asset(partitions_def=jobs)
def features() -> None: ...


def published(store, asset, write):
    with store.scratch(JOB, asset) as folder:
        write(folder)
        store.publish(JOB, asset, folder, provenance={})


def analysed():
    empty = {column.name: (0.0 if not column.nullable else None) for column in FRAMES.columns}
    return [
        empty | {"video_id": "walk", "segment_id": "clip0", "frame_index": i, "pts_s": i / 10, "sharpness": 1.0 + i % 3}
        for i in range(WALK.frames)
    ]


def kept():
    return [
        {
            "keyframe_id": i, "video_id": "walk", "frame_index": at, "pts_s": at / 10, "segment_id": "clip0",
            "file": f"images/clip0/{at:05d}.jpg", "width_px": SIZE[0], "height_px": SIZE[1], "camera_id": 0,
            "holdout": False,
        }
        for i, at in enumerate(KEPT)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store in which the walk is reconstructed, from its match graph on."""
    home = tmp_path_factory.mktemp("gap")
    made = FileStore(home / "store", home / "delivered")
    manifest = json.dumps({"recipe": Recipe(poses=RECIPE).model_dump()})

    def videos(folder):
        (folder / "manifest.json").write_text(manifest)
        write_table(folder / "videos.parquet", VIDEOS, [])

    def pictures(folder):
        write_table(folder / "keyframes.parquet", KEYFRAMES, kept())
        (folder / "images" / "clip0").mkdir(parents=True)
        (folder / "images" / "clip0" / "none.txt").write_text("points stay black without pictures")

    def found(folder):
        (folder / "features").mkdir()
        write_features(folder / "features" / "clip0.parquet", [ROWS[at] for at in KEPT])

    published(made, "source_videos", videos)
    published(made, "frame_quality", lambda at: write_table(at / "frames.parquet", FRAMES, analysed()))
    published(made, "keyframes", pictures)
    published(made, "features", found)
    assets = [
        reconstructions.match_graph,
        linking.linking_frames,
        reconstructions.local_reconstructions,
        poses.camera_poses,
    ]
    definitions = dg.Definitions(
        assets=[source_videos, frame_quality, keyframes, features, *assets],
        jobs=[dg.define_asset_job("some", selection=dg.AssetSelection.assets(*assets))],
        resources={
            "store": made,
            "machine": LocalMachine(),
            "sfm": Sfm(),
            "reader": Reader(),
            "sources": InstalledSources(),
            "json_io": JsonIOManager(place_of(home / "ops")),
        },
    )
    clip = Clip(video_id="walk", name="walk.mp4", path=home / "walk.mp4", facts=SimpleNamespace(images=()))
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setattr(linking, "clips_of", lambda work: [clip])
        instance.add_dynamic_partitions("jobs", [JOB])
        assert definitions.resolve_job_def("some").execute_in_process(partition_key=JOB, instance=instance).success
    return made


def folder_of(store, asset):
    return store.fetch(JOB, asset).folder


def test_frames_are_decoded_only_where_neighbours_lost_one_another(store):
    links = read_table(folder_of(store, "linking_frames") / "links.parquet", LINKS)
    assert links["keyframe_id"].tolist() == [LAST_BEFORE] * MOST_A_BREAK
    assert links["frame_index"].between(25, 49).all()
    assert links["frame_index"].is_monotonic_increasing
    names = {file.removeprefix("images/") for file in links["file"]}
    pairs = list(read_pairs(folder_of(store, "linking_frames") / "pairs.parquet"))
    assert all(names & {pair.first, pair.second} for pair in pairs), "the others are in the match graph"
    assert sorted(path.name for path in folder_of(store, "linking_frames").iterdir()) == [
        "artifact.json", "features", "images", "links.parquet", "pairs.parquet",
    ]  # fmt: skip


def test_one_reconstruction_holds_both_parts_and_only_keyframes_leave_it(store):
    attempts = read_table(folder_of(store, "local_reconstructions") / "attempts.parquet", ATTEMPTS)
    assert attempts[["strategy", "registered", "signature"]].to_numpy().tolist() == [
        ["incremental", len(KEPT), "enough"]
    ]
    model = read_model(folder_of(store, "camera_poses") / "sparse")
    by_name = {image.name: cam_from_world(model, i) for i, image in model.images.items()}
    assert sorted(by_name) == [f"clip0/{at:05d}.jpg" for at in KEPT]
    assert read_table(folder_of(store, "camera_poses") / "poses.parquet", POSES)["registered"].all()
    error = trajectory_error(np.stack([by_name[name] for name in sorted(by_name)]), WALK.truth()[KEPT])
    assert error.ate_rmse < 0.01 * error.extent


def test_without_them_a_part_is_missing(store, tmp_path):
    """What the linking frames are worth: the same keyframes and matches, reconstructed alone."""
    request = ReconstructionRequest(
        folder=folder_of(store, "keyframes") / "images",
        images=[f"clip0/{at:05d}.jpg" for at in KEPT],
        camera_ids=[0] * len(KEPT),
        features=folder_of(store, "features") / "features",
        strategy="incremental",
        recipe=RECIPE,
        seed=0,
        graph=folder_of(store, "match_graph") / "pairs.parquet",
    )
    assert ColmapBackend().reconstruct(request, tmp_path / "model", say=print).registered <= len(KEPT) / 2
