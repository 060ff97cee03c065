"""The sample capture: it is what its truth says, textured, without holes, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from resources.sample import SAMPLE, TRUTH, load_textures, make_sample
from splat_pipeline.domain.cameras import Camera
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import around
from splat_pipeline.domain.sample import TABLE_RADIUS_M, sample_camera, scene, walk
from splat_pipeline.splatting.render import render


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    make_sample(folder, seconds=0.6, width=480, height=270, fps=5, say=lambda _: None)
    return folder


@pytest.fixture(scope="module")
def gaussians() -> Gaussians:
    return scene(load_textures())


def test_every_frame_of_the_film_has_its_pose_in_the_truth(capture: Path) -> None:
    truth = json.loads((capture / TRUTH).read_text())
    with av.open(str(capture / SAMPLE)) as film:
        times = [frame.time for frame in film.decode(video=0)]
    np.testing.assert_allclose([frame["pts_s"] for frame in truth["frames"]], times, atol=1e-6)
    for frame in truth["frames"]:
        rotation = np.array(frame["cam_from_world"])[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)


def test_the_film_shows_what_the_truth_says(capture: Path, gaussians: Gaussians) -> None:
    truth = json.loads((capture / TRUTH).read_text())
    camera, frame = Camera(**truth["camera"]), truth["frames"][1]
    with av.open(str(capture / SAMPLE)) as film:
        shown = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)][1]
    want = render(gaussians, camera, np.array(frame["cam_from_world"])).image
    assert np.abs(shown / 255 - np.clip(want, 0, 1)).mean() < 0.02


def test_the_truth_lies_in_a_folder_of_its_own(capture: Path) -> None:
    assert sorted(path.name for path in capture.iterdir()) == [SAMPLE, Path(TRUTH).parts[0]]


def test_pictures_have_no_holes_and_hundreds_of_features(gaussians: Gaussians) -> None:
    views = walk(sample_camera(640, 360), frames=180, fps=15, seed=0)
    for view in views[::60]:
        drawn = render(gaussians, view.camera, view.cam_from_world)
        assert drawn.alpha.min() > 0.85
        grey = cv2.cvtColor((np.clip(drawn.image, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        assert len(cv2.SIFT_create().detect(grey)) > 500


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_walk_is_smooth_and_goes_most_of_the_way_around_outside_the_table(seed: int) -> None:
    eyes = np.array([view.center for view in walk(sample_camera(640, 360), frames=180, fps=15, seed=seed)])
    azimuth, elevation, _ = around(np.zeros(3), eyes)
    assert 190 < np.degrees(np.ptp(np.unwrap(azimuth))) < 230
    assert np.hypot(eyes[:, 0], eyes[:, 2]).min() > TABLE_RADIUS_M + 0.2
    assert np.degrees(elevation).min() > 15
    speeds = np.linalg.norm(np.diff(eyes, axis=0), axis=1) * 15
    assert speeds.max() < 0.9  # metres a second: a slow walk
    assert np.abs(np.diff(speeds)).max() < 0.1


def test_a_seed_decides_the_walk() -> None:
    first, again, other = (walk(sample_camera(64, 36), frames=9, fps=15, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal([v.cam_from_world for v in first], [v.cam_from_world for v in again])
    assert np.abs(first[4].cam_from_world - other[4].cam_from_world).max() > 1e-3
