"""Each kind of sample capture is what its name says, by the rules that choose the preview's path."""

from __future__ import annotations

import numpy as np
import pytest

from resources.sample import load_textures
from splat_pipeline.domain.orbit import focus_of
from splat_pipeline.domain.sample import ROOM_RADIUS_M, sample_camera
from splat_pipeline.domain.sample_kinds import FLIGHT_M, KINDS, YARD_M
from splat_pipeline.splatting.render import render


@pytest.mark.parametrize(("kind", "looks_at_one_place"), [("table", True), ("room", False), ("yard", False)])
def test_a_way_looks_at_one_place_or_does_not(kind: str, looks_at_one_place: bool) -> None:
    views = KINDS[kind].walk(sample_camera(640, 360), frames=60, fps=15, seed=0)
    centers = np.array([view.center for view in views])
    axes = np.array([view.cam_from_world[2, :3] for view in views])
    assert focus_of(centers, axes)[1] is looks_at_one_place
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    assert steps.max() < 0.7  # no jump


def test_a_stroll_stays_in_the_room_and_a_survey_above_the_yard() -> None:
    camera = sample_camera(640, 360)
    room = np.array([view.center for view in KINDS["room"].walk(camera, frames=60, fps=15, seed=1)])
    assert np.hypot(room[:, 0], room[:, 2]).max() < ROOM_RADIUS_M - 0.2
    flight = np.array([view.center for view in KINDS["yard"].walk(camera, frames=60, fps=15, seed=1)])
    assert np.abs(flight[:, 1] + FLIGHT_M).max() < 0.3
    assert np.abs(flight[:, [0, 2]]).max() < YARD_M / 2


@pytest.mark.parametrize("kind", ["room", "yard"])
def test_pictures_have_no_holes_and_are_textured(kind: str) -> None:
    gaussians = KINDS[kind].scene(load_textures())
    for view in KINDS[kind].walk(sample_camera(320, 180), frames=5, fps=15, seed=0)[::2]:
        drawn = render(gaussians, view.camera, view.cam_from_world)
        assert drawn.alpha.min() > 0.85
        assert np.std(drawn.image) > 0.1
