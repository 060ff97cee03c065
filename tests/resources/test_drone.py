"""A real survey by a drone, from its photos to metres on Earth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import centers_of, tilt_deg

from resources.colmap import ColmapBackend
from resources.media import PyAvReader
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.frames import FrameRef
from splat_pipeline.domain.points import trusted
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.reference import Located, reference_from
from splat_pipeline.domain.upright import up_direction
from splat_pipeline.ports.sfm import FeatureRequest, MatchRequest, ReconstructionRequest

RECIPE = PoseRecipe(longer_side_px=640, max_features=2048)


@pytest.fixture(scope="module")
def survey(shared_data: Path, tmp_path_factory: pytest.TempPathFactory):
    """Poses (I, 4, 4), trusted points (P, 3) and positions of 18 photos, taken looking straight down."""
    photos, folder = shared_data / "dev" / "drone_gps" / "images", tmp_path_factory.mktemp("survey")
    reader, sfm, features, graph = PyAvReader(), ColmapBackend(), folder / "features", folder / "pairs.parquet"
    facts = reader.probe(photos)
    track = reader.positions(photos, facts, subtitles=None)
    assert track is not None
    refs = [FrameRef(name=f"{i:02d}", frame_index=i, pts_s=float(i)) for i in range(len(facts.images))]
    (folder / "images").mkdir()
    reader.extract(photos, facts, refs, folder / "images", longer_side_px=640, quality=95)
    names = [f"{ref.name}.jpg" for ref in refs]
    about = {"images": names, "camera_ids": [0] * len(names), "recipe": RECIPE, "seed": 0}
    sfm.extract_features(FeatureRequest(folder=folder / "images", **about), features, say=print)
    sfm.match(MatchRequest(features=features, **about), graph, say=print)
    request = ReconstructionRequest(
        folder=folder / "images", features=features, strategy="global", graph=graph, **about
    )
    sfm.reconstruct(request, folder / "model", say=print)
    model = read_model(folder / "model")
    ids = sorted(model.images)
    fixes = [track.fixes[names.index(model.images[i].name)] for i in ids]
    return np.stack([cam_from_world(model, i) for i in ids]), model.points.xyz[trusted(model.points)], fixes


def test_a_drones_survey_is_in_metres_towards_north(survey):
    cameras, points, fixes = survey
    found = reference_from(cameras, points, aerial=True, located=Located(fixes=fixes, source="gps exif"))
    told = found.to_json()
    assert told["gps"]["used"] >= 16
    assert 0.05 < told["gps"]["residual_m"] < 1.0, "0.37 m was measured"
    assert told["up_source"] == "positions (gps exif)"
    assert told["gps"]["cameras_lean_deg"] < 1
    height = -centers_of(np.stack([found.world_from_sfm.pose(pose) for pose in cameras]))[:, 1]
    assert 40 < height.min() <= height.max() < 55, "46 to 47 m were measured, over a beach"
    assert np.ptp(height) < 3
    ground = found.world_from_sfm.points(points)[:, 1]
    assert np.percentile(ground, 90) - np.percentile(ground, 10) < 10, "the park is flat"


def test_positions_mend_an_up_that_cameras_cannot_know(survey):
    """Not known to fly, the ground looks like a wall: the cameras' upward axes lie level."""
    cameras, points, fixes = survey
    wrong, _ = up_direction(cameras, points, aerial=False)
    right, source = up_direction(cameras, points, aerial=True)
    assert source == "plane of the camera path, seen from above"
    assert tilt_deg(wrong, right) > 45
    located = Located(fixes=fixes, source="gps exif")
    frames = [reference_from(cameras, points, aerial=aerial, located=located) for aerial in (True, False)]
    np.testing.assert_allclose(frames[0].world_from_sfm.rotation, frames[1].world_from_sfm.rotation, atol=1e-6)


def test_level_positions_alone_give_the_same_size(survey):
    cameras, points, fixes = survey
    flat = [replace(fix, alt_m=None) for fix in fixes]
    sizes = [
        reference_from(
            cameras, points, aerial=True, located=Located(fixes=each, source="gps exif")
        ).world_from_sfm.scale
        for each in (fixes, flat)
    ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)
