"""A known place on Earth is found again under noise and outliers, and refused where positions do not tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splat_pipeline.domain.geodesy import Place, enu_from, place_at
from splat_pipeline.domain.georeference import LEAST, Stations, georeference, moved_to
from splat_pipeline.domain.rigid import Similarity, angle_deg, rotation_from_quat

HERE = Place(lat_deg=47.37, lon_deg=8.54, alt_m=430.0)


def turned(yaw_deg, lean_deg=0.0):
    yaw, lean = np.radians(yaw_deg) / 2, np.radians(lean_deg) / 2
    about_up = rotation_from_quat([np.cos(yaw), 0, 0, np.sin(yaw)])
    return about_up @ rotation_from_quat([np.cos(lean), np.sin(lean), 0, 0])


def truth(yaw_deg=35.0, lean_deg=0.0, scale=7.0):
    return Similarity(scale=scale, rotation=turned(yaw_deg, lean_deg), translation=np.array([12.0, -40.0, 3.0]))


def stations(local, enu_from_local, noise=None, here=HERE, accuracy_m=np.nan):
    """Cameras whose positions are off by ``noise`` (N, 3) metres."""
    enu = enu_from_local.points(local) + (0 if noise is None else noise)
    places = [place_at(point, here) for point in enu]
    return Stations(
        centers=local,
        lat_deg=np.array([place.lat_deg for place in places]),
        lon_deg=np.array([place.lon_deg for place in places]),
        alt_m=np.array([place.alt_m for place in places]),
        accuracy_m=np.full(len(local), accuracy_m),
    )


def field(count=40, seed=0):
    """A flight over a field: units of the reconstruction, 7 m each."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (count, 3)) * [8, 6, 0.6] + [0, 0, 5]


def walk(count=40):
    return np.stack([np.linspace(0, 10, count), 0.05 * np.sin(np.arange(count)), np.zeros(count)], axis=1)


def off(found, true, local):
    """Relative error of scale, degrees of rotation, metres of the middle."""
    fit = found.enu_from_local
    back = np.array([place_at(fit.points(local.mean(0)), found.origin)])
    there = enu_from(*(np.array([getattr(p, k) for p in back]) for k in ("lat_deg", "lon_deg", "alt_m")), HERE)[0]
    return (
        abs(fit.scale / true.scale - 1),
        angle_deg(fit.rotation @ true.rotation.T),
        float(np.linalg.norm(there - true.points(local.mean(0)))),
    )


@given(st.floats(-180, 180), st.floats(-20, 20), st.floats(0.01, 300), st.integers(0, 5))
@settings(max_examples=15)
def test_exact_positions_give_the_truth_whatever_it_is(yaw_deg, lean_deg, scale, seed):
    local = field(seed=seed) * 7 / scale
    true = truth(yaw_deg, lean_deg, scale)
    found = georeference(stations(local, true))
    assert found.knows_up
    assert found.knows_height
    size, turn_deg, shift_m = off(found, true, local)
    assert size < 1e-5
    assert turn_deg < 0.002, "the tangent planes of two places 40 m apart are not parallel"
    assert shift_m < 1e-3
    assert found.figures["residual_m"] < 1e-3
    assert found.figures["used"] == found.figures["positions"] == 40


def test_noise_and_a_third_of_wild_positions_are_borne():
    rng = np.random.default_rng(3)
    local, true = field(60), truth(lean_deg=4.0)
    noise = rng.normal(0, 1.0, (60, 3))
    noise[::3] += rng.uniform(40, 200, (20, 3))
    found = georeference(stations(local, true, noise))
    size, turn_deg, shift_m = off(found, true, local)
    assert found.enu_from_local is not None
    assert size < 0.02
    assert turn_deg < 2
    assert shift_m < 1
    assert 36 <= found.figures["used"] <= 40
    assert 1.2 < found.figures["residual_m"] < 2.1, "three axes of 1 m each"


def test_a_straight_track_gives_scale_and_north_and_leaves_up_to_the_cameras():
    """Nothing turns a line about itself; the cameras know what is level."""
    rng = np.random.default_rng(4)
    local, true = walk(), truth(yaw_deg=-120)
    found = georeference(stations(local, true, rng.normal(0, 0.8, (40, 3))))
    assert found.enu_from_local is not None
    assert not found.knows_up
    np.testing.assert_allclose(found.enu_from_local.rotation[2], [0, 0, 1], atol=1e-12)
    size, turn_deg, _ = off(found, true, local)
    assert size < 0.03
    assert turn_deg < 1.5
    assert found.because == "positions fix scale and north, cameras up"


def test_heights_that_wander_leave_up_to_the_cameras():
    rng = np.random.default_rng(5)
    local, true = field(), truth()
    noise = rng.normal(0, [0.8, 0.8, 12.0], (40, 3))
    found = georeference(stations(local, true, noise))
    assert not found.knows_up
    size, turn_deg, _ = off(found, true, local)
    assert size < 0.03
    assert turn_deg < 1.5
    assert found.figures["vertical_m"] > 5 > found.figures["horizontal_m"]


def test_without_altitude_the_level_positions_do():
    local, true = field(), truth()
    known = stations(local, true, np.random.default_rng(6).normal(0, 0.5, (40, 3)))
    flat = Stations(**{**vars(known), "alt_m": np.full(40, np.nan)})
    found = georeference(flat)
    assert not found.knows_up
    assert not found.knows_height
    assert found.figures["vertical_m"] is None
    assert found.enu_from_local.scale == pytest.approx(true.scale, rel=0.03)


def test_few_positions_are_refused_and_one_more_is_enough():
    local = field(LEAST)
    assert georeference(stations(local, truth())).enu_from_local is not None
    refused = georeference(stations(local[:-1], truth()))
    assert refused.enu_from_local is None
    assert refused.because == "5 cameras at different positions, 6 are needed"
    assert georeference(stations(np.zeros((0, 3)), truth())).enu_from_local is None


def test_a_receiver_that_stands_still_is_refused():
    """A turntable: the camera path is round, all positions are the same."""
    local = field()
    still = stations(local * 1e-9, truth())
    refused = georeference(Stations(**{**vars(still), "centers": local}))
    assert refused.enu_from_local is None
    assert "at different positions" in refused.because


def test_a_small_orbit_is_refused_though_the_figures_would_give_a_scale():
    """2 m around a statue with a receiver that is good to 2 m."""
    turns = np.linspace(0, 2 * np.pi, 50)
    local = np.stack([np.cos(turns), np.sin(turns), np.zeros(50)], axis=1)
    noise = np.random.default_rng(7).normal(0, 2.0, (50, 3))
    refused = georeference(stations(local, truth(scale=2.0), noise))
    assert refused.enu_from_local is None
    assert "times as much is needed" in refused.because
    assert "enu_from_local" not in refused.figures


def test_a_smooth_receiver_is_not_believed_more_than_receivers_are_good():
    """Its track is a clean circle of 2 m, as filters draw them: the residual alone says nothing."""
    turns = np.linspace(0, 2 * np.pi, 50)
    local = np.stack([np.cos(turns), np.sin(turns), np.zeros(50)], axis=1)
    assert georeference(stations(local, truth(scale=2.0))).enu_from_local is None
    claimed = georeference(stations(local, truth(scale=2.0), accuracy_m=0.02))
    assert claimed.enu_from_local.scale == pytest.approx(2, rel=1e-3), "RTK says that it is better"
    boastless = georeference(stations(field(), truth(), accuracy_m=8.0))
    assert boastless.enu_from_local is not None, "what all positions are off by alike does no harm"


def test_positions_of_another_walk_are_refused():
    rng = np.random.default_rng(8)
    other = stations(field(seed=9)[rng.permutation(40)], truth())
    refused = georeference(Stations(**{**vars(other), "centers": field()}))
    assert refused.enu_from_local is None
    assert "agree" in refused.because or "needed" in refused.because


@pytest.mark.parametrize("radius_m", [8, 30])
def test_the_error_of_scale_that_is_told_holds_for_receivers_that_drift(radius_m):
    """Walked around once; 3 m of error that lasts two minutes, as consumer receivers have, and 0.3 m of noise."""
    turns = np.linspace(0, 2 * np.pi, 80)
    local = radius_m * np.stack([np.cos(turns), np.sin(turns), 0.01 * np.sin(9 * turns)], axis=1)
    step_s = 2 * np.pi * radius_m / 1.2 / len(turns)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        drift = rng.normal(0, 3.0, (80, 3))
        keep = np.exp(-step_s / 120)
        for i in range(1, 80):
            drift[i] = keep * drift[i - 1] + np.sqrt(1 - keep**2) * drift[i]
        found = georeference(stations(local, truth(scale=1.0), drift + rng.normal(0, 0.3, (80, 3))))
        assert found.enu_from_local is not None
        assert abs(found.enu_from_local.scale - 1) < 2 * found.figures["scale_error"]
        assert found.figures["scale_error"] < 0.2


def test_the_same_positions_give_the_same_answer():
    known = stations(field(), truth(), np.random.default_rng(1).normal(0, 1, (40, 3)))
    one, two = georeference(known), georeference(known)
    assert one.figures == two.figures


FIJI = Place(lat_deg=-17, lon_deg=179.9999, alt_m=5)
SVALBARD = Place(lat_deg=78.2, lon_deg=15.6, alt_m=20)


@pytest.mark.parametrize("here", [FIJI, SVALBARD])
def test_the_date_line_and_the_far_north_are_places_like_others(here):
    true = truth()
    found = georeference(stations(field(), true, here=here))
    assert found.enu_from_local.scale == pytest.approx(true.scale, rel=1e-5)
    assert abs((found.origin.lon_deg - here.lon_deg + 180) % 360 - 180) < 0.01


def test_the_origin_moves_to_where_it_is_asked_and_nothing_else_does():
    local, true = field(), truth(lean_deg=5)
    found = georeference(stations(local, true))
    there = np.array([30.0, -20.0, 1.0])
    moved = moved_to(found, there)
    np.testing.assert_allclose(moved.enu_from_local.points(there), 0, atol=1e-4)
    a, b = (
        place_at(found.enu_from_local.points(local[0]), found.origin),
        place_at(moved.enu_from_local.points(local[0]), moved.origin),
    )
    assert a.lat_deg == pytest.approx(b.lat_deg, abs=1e-9)
    assert a.lon_deg == pytest.approx(b.lon_deg, abs=1e-9)
    assert a.alt_m == pytest.approx(b.alt_m, abs=1e-4)
    with pytest.raises(ValueError, match="no georeference to move"):
        moved_to(georeference(stations(local[:3], true)), there)
