"""Up is found on the paths that people and drones film along."""

import numpy as np
import pytest
from paths import UP, along, look, orbit, survey, tilt_deg

from splat_pipeline.domain.upright import is_aerial, up_direction

CLOUD = np.random.default_rng(0).normal(size=(300, 3))
GROUND = CLOUD * [20, 0.4, 20]
WALKS = np.stack([np.zeros(30), 0.02 * np.sin(np.arange(30)), 0.3 * np.arange(30)], axis=1)
HANDS = (2.0, -3.0, 1.0, 0.0, -1.0)


def up_of(cameras, *, aerial=False, points=CLOUD):
    up, source = up_direction(cameras, points, aerial=aerial)
    return tilt_deg(up, UP), source


def test_an_orbit_is_upright_by_its_plane_though_hands_roll():
    off_deg, source = up_of(orbit(rolls=(8.0, -3.0, 6.0)))
    assert source == "plane of the camera path"
    assert off_deg < 0.1


def test_an_orbit_from_high_above_is_upright():
    off_deg, _ = up_of(orbit(height=-6.0, rolls=HANDS))
    assert off_deg < 0.1


def test_cameras_that_look_down_from_one_side_are_upright_by_their_horizon():
    """The mean of their upward axes would lean back by as much as they look down."""
    rng = np.random.default_rng(0)
    turns = np.radians(np.linspace(-40, 40, 20))
    centers = np.stack([3 * np.sin(turns), rng.uniform(-3, -1, 20), -3 * np.cos(turns)], axis=1)
    cameras = np.stack([look(c, (0, 0, 0), roll_deg=r) for c, r in zip(centers, rng.normal(0, 3, 20), strict=True)])
    off_deg, source = up_of(cameras)
    assert source == "horizon of the cameras"
    assert off_deg < 3


@pytest.mark.parametrize("pitch_deg", [0, -15, -35, 20])
def test_a_walk_ahead_is_level_whichever_way_the_camera_is_tilted(pitch_deg):
    """The cameras' upward axes alone would lean by the whole pitch."""
    off_deg, source = up_of(along(WALKS, pitch_deg, rolls=HANDS))
    assert source == "line of the camera path and horizon of the cameras"
    assert off_deg < 1.5


def test_a_walk_around_a_corner_is_level_though_the_camera_looks_down():
    turn = np.linspace(0, np.pi / 2, 30)
    bend = np.stack([5 * (1 - np.cos(turn)), 0.02 * np.sin(9 * turn), 5 * np.sin(turn)], axis=1)
    off_deg, _ = up_of(along(bend, -35, np.degrees(turn), rolls=HANDS))
    assert off_deg < 3


def test_a_way_in_two_directions_is_level_though_the_camera_looks_one_way():
    """Around a table's corner sideways, then ahead, always looking 35 degrees down to the same side."""
    sideways = np.stack([np.linspace(0, 3, 15), np.zeros(15), np.zeros(15)], axis=1)
    ahead = np.stack([np.full(15, 3.0), np.zeros(15), np.linspace(0.2, 3, 15)], axis=1)
    off_deg, source = up_of(along(np.vstack([sideways, ahead]), -35))
    assert source == "plane of the camera path"
    assert off_deg < 0.1


def test_a_slide_along_a_shelf_is_upright_by_how_the_camera_is_held():
    """Sideways motion says nothing of the tilt."""
    shelf = np.stack([0.2 * np.arange(20), np.zeros(20), np.zeros(20)], axis=1)
    off_deg, source = up_of(along(shelf, rolls=HANDS))
    assert source == "mean of the cameras' upward axes"
    assert off_deg < 1


def test_a_camera_on_a_rising_crane_is_not_laid_down():
    """It moves along its own upward axis, as a drone that looks down does."""
    mast = np.stack([np.zeros(20), -0.3 * np.arange(20), np.zeros(20)], axis=1)
    off_deg, _ = up_of(along(mast, -10))
    assert off_deg < 11


def test_cameras_that_roll_before_a_wall_do_not_take_it_for_the_ground():
    """Rolled x axes spread in the plane of the wall, at right angles to the way all of them look."""
    rng = np.random.default_rng(1)
    centers = rng.uniform(-2, 2, (30, 3)) * [1, 0.6, 0.5]
    off_deg, source = up_of(along(centers, rolls=rng.normal(0, 15, 30)))
    assert source == "mean of the cameras' upward axes"
    assert off_deg < 8


def test_a_survey_from_above_is_upright_by_its_flight_plane():
    """Flown up and down, as lawns are mowed: the cameras' upward axes cancel out."""
    off_deg, source = up_of(survey())
    assert source.endswith("seen from above")
    assert off_deg < 0.1


def test_a_survey_that_always_faces_north_is_upright_once_it_is_known_to_fly():
    off_deg, source = up_of(survey(turned=False), aerial=True)
    assert source == "plane of the camera path, seen from above"
    assert off_deg < 0.1


@pytest.mark.parametrize(("way", "source"), [((0, 0, 1), "line"), ((1, 0, 0), "plane of the ground")])
def test_one_lane_of_a_survey_is_upright_by_its_line_or_the_ground(way, source):
    """Nadir cameras on a line: flown ahead the line helps, flown sideways only the ground is left."""
    lane = np.outer(np.arange(12), way) + np.array([0, -30.0, 0])
    cameras = np.stack([look(c, np.add(c, (0, 30, 0.5)), up=np.array([0, 0, 1.0])) for c in lane])
    off_deg, told = up_of(cameras, aerial=True, points=GROUND)
    assert told.startswith(source)
    assert off_deg < 3


def test_a_nadir_flight_that_turns_on_the_spot_is_seen_from_above():
    """Headings over 120 degrees: the x axes' normal is the vertical, whose side the upward axes do not tell."""
    rng = np.random.default_rng(2)
    centers = rng.uniform(-3, 3, (25, 3)) - np.array([0, 20, 0])
    headings = np.radians(np.linspace(-60, 60, 25))
    cameras = np.stack(
        [
            look(c, np.add(c, (0, 5, 0)), up=np.array([np.sin(h), 0, np.cos(h)]))
            for c, h in zip(centers, headings, strict=True)
        ]
    )
    off_deg, source = up_of(cameras, aerial=True, points=GROUND)
    assert source == "horizon of the cameras, seen from above"
    assert off_deg < 1


def test_a_loop_filmed_on_a_wall_is_not_taken_for_the_ground():
    """The path's plane stands upright: its normal is level, and the cameras know better."""
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    wall = np.stack([look((np.cos(t), np.sin(t), -3), (0.2 * np.cos(t), 0, 0)) for t in turns])
    assert up_of(wall)[0] < 0.1
    seen_from_above, _ = up_direction(wall, CLOUD, aerial=True)
    assert tilt_deg(seen_from_above, np.array([0, 0, -1.0])) < 0.1


def test_a_camera_that_stands_still_is_upright_by_how_it_is_held():
    off_deg, source = up_of(along(np.zeros((8, 3)), rolls=HANDS))
    assert source == "mean of the cameras' upward axes"
    assert off_deg < 1


def test_what_was_filmed_from_the_air_is_known_by_the_job_or_the_camera():
    assert is_aerial("aerial", [])
    assert is_aerial("auto", [None, "DJI"])
    assert not is_aerial("auto", [None, "Apple"])
    assert not is_aerial("object", ["DJI"])
