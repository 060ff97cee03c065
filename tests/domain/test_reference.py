"""The world is upright, in metres and towards north as far as anything says so, and tells what said it."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import centers_of, orbit, survey

from splat_pipeline.domain.geodesy import Place, enu_from, place_at
from splat_pipeline.domain.known_length import KnownLength
from splat_pipeline.domain.positions import Fix
from splat_pipeline.domain.reference import FREE, ON_EARTH, Located, header_lines, in_words, reference_from
from splat_pipeline.domain.rigid import Similarity, rotation_from_quat

CLOUD = np.random.default_rng(0).normal(size=(50, 3))
HERE = Place(lat_deg=-33.86, lon_deg=151.21, alt_m=40.0)
QUATS = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1)


def fixes_of(cameras, metres=1.0, noise=None):
    """Positions of cameras of a world with y down, x east, z north whose unit has ``metres``."""
    east, down, north = (metres * centers_of(cameras)).T
    enu = np.stack([east, north, -down], axis=1) + (0 if noise is None else noise)
    places = [place_at(point, HERE) for point in enu]
    return [Fix(pts_s=i, lat_deg=p.lat_deg, lon_deg=p.lon_deg, alt_m=p.alt_m) for i, p in enumerate(places)]


def in_sfm(cameras, points, quat=(0.3, -0.5, 0.7, 0.2), scale=0.13):
    """The same in a frame of structure from motion."""
    sfm = Similarity(scale=scale, rotation=rotation_from_quat(quat), translation=np.array([3.0, 4, 5]))
    return np.stack([sfm.pose(pose) for pose in cameras]), sfm.points(points), sfm


@given(QUATS, st.floats(0.2, 5))
@settings(max_examples=40)
def test_whatever_the_frame_of_the_reconstruction_the_world_is_upright(quat, scale):
    """Cameras at the same height stay so, the world is right-handed, and the points are at its origin."""
    cameras, points, _ = in_sfm(orbit(), CLOUD, quat, scale)
    found = reference_from(cameras, points, aerial=False)
    frame = found.world_from_sfm
    world = np.stack([frame.pose(pose) for pose in cameras])
    centers = centers_of(world)
    assert np.linalg.det(frame.rotation) == pytest.approx(1)
    assert np.ptp(centers[:, 1]) < 1e-6 * scale
    assert (centers[:, 1] < 0).all(), "-y is up, and the cameras are above"
    np.testing.assert_allclose(np.median(frame.points(points), axis=0), 0, atol=1e-9)
    first_looks = world[0, 2, :3]
    assert first_looks[2] > 0
    assert first_looks[0] == pytest.approx(0, abs=1e-6)
    told = found.to_json()
    assert (told["metres_per_unit"], told["scale_source"], told["origin"]) == (None, None, None)
    assert told["world_from_sfm"]["scale"] == 1
    assert told["axes"] == FREE


@pytest.mark.parametrize("quat", [(1, 0, 0, 0), (0.3, -0.5, 0.7, 0.2), (0, 1, 1, 0)])
def test_positions_put_the_world_in_metres_towards_north_at_its_place(quat):
    """A survey of 120 m by 160 m from 40 m above."""
    cameras = survey(turned=False, height=-10)
    ground = CLOUD * [3, 0.1, 3]
    sfm_cameras, sfm_points, _ = in_sfm(cameras, ground, quat)
    located = Located(fixes=fixes_of(cameras, metres=40.0), source="gps exif")
    found = reference_from(sfm_cameras, sfm_points, aerial=True, located=located)
    world = np.stack([found.world_from_sfm.pose(pose) for pose in sfm_cameras])
    between = centers_of(world) - centers_of(world)[0]
    np.testing.assert_allclose(between, 40 * (centers_of(cameras) - centers_of(cameras)[0]), atol=0.02)
    told = found.to_json()
    assert (told["metres_per_unit"], told["scale_source"], told["axes"]) == (1.0, "gps exif", ON_EARTH)
    assert told["up_source"] == "positions (gps exif)"
    assert told["gps"]["cameras_lean_deg"] < 1
    origin = told["origin"]
    middle = enu_from(*(np.array([origin[key]]) for key in ("lat_deg", "lon_deg", "alt_m")), HERE)[0]
    want = 40 * np.median(ground, axis=0)[[0, 2, 1]] * [1, 1, -1]
    np.testing.assert_allclose(middle, want, atol=0.05)
    for camera, fix in zip(centers_of(world), located.fixes, strict=True):
        place = place_at(camera[[0, 2, 1]] * [1, 1, -1], Place(**origin))
        assert place.lat_deg == pytest.approx(fix.lat_deg, abs=1e-7)
        assert place.lon_deg == pytest.approx(fix.lon_deg, abs=1e-7)
        assert place.alt_m == pytest.approx(fix.alt_m, abs=0.02)


def test_refused_positions_leave_the_world_as_it_is_and_say_why():
    cameras, points, _ = in_sfm(orbit(), CLOUD)
    noise = np.random.default_rng(1).normal(0, 3, (24, 3))
    located = Located(fixes=fixes_of(orbit(), noise=noise), source="gps track")
    found = reference_from(cameras, points, aerial=False, located=located)
    plain = reference_from(cameras, points, aerial=False)
    assert found.world_from_sfm.to_json() == plain.world_from_sfm.to_json()
    told = json.loads(json.dumps(found.to_json()))
    assert told["scale_source"] is None
    assert told["gps"]["accepted"] is False
    assert told["gps"]["positions"] == 24
    assert told["gps"]["because"] in in_words(told)["scale"]


def test_a_known_length_makes_metres_and_wins_over_positions():
    cameras, points, sfm = in_sfm(survey(), CLOUD)
    known = KnownLength(metres=5.0, units=5.0 * sfm.scale / 40, because="from a to b")
    alone = reference_from(cameras, points, aerial=True, known=known)
    assert alone.world_from_sfm.scale == pytest.approx(40 / sfm.scale)
    assert (alone.scale_source, alone.origin) == ("job.yaml", None)
    located = Located(fixes=fixes_of(survey(), metres=40.0), source="gps track")
    both = reference_from(cameras, points, aerial=True, known=known, located=located)
    assert (both.scale_source, both.warnings) == ("job.yaml", ())
    assert both.origin is not None
    wrong = KnownLength(metres=10.0, units=known.units, because="from a to b")
    doubled = reference_from(cameras, points, aerial=True, known=wrong, located=located)
    assert doubled.world_from_sfm.scale == pytest.approx(80 / sfm.scale)
    assert doubled.warnings == ("positions make the world 0.50 times as large as the known length does",)


def test_a_known_length_that_was_not_found_is_told():
    known = KnownLength(metres=5.0, units=None, because="no camera is known at a.mp4@3")
    found = reference_from(orbit(), CLOUD, aerial=False, known=known)
    assert found.scale_source is None
    assert found.warnings == ("the known length is not used: no camera is known at a.mp4@3",)
    assert found.to_json()["known_length"]["metres"] == 5.0


def test_the_frame_needs_cameras_and_points():
    with pytest.raises(ValueError, match="got 0 and 50"):
        reference_from(np.zeros((0, 4, 4)), CLOUD, aerial=False)


def test_words_and_headers_say_units_and_place():
    cameras = survey(turned=False)
    located = Located(fixes=fixes_of(cameras, metres=40.0), source="gps exif")
    told = reference_from(cameras, CLOUD, aerial=True, located=located).to_json()
    assert in_words(told)["scale"].startswith("metres, from gps exif: 20 of 20 positions fit to 0.0")
    assert in_words(told)["scale"].endswith("m, sizes are good to 1 % or so")
    assert header_lines(told)[:3] == ["Up: -y", "Units: metres", f"Axes: {ON_EARTH}"]
    assert header_lines(told)[3].startswith("Origin: -33.8")
    assert all(line.isascii() and line.isprintable() for line in header_lines(told))
    older = {"up_source": "plane of the camera path", "scale_source": "none"}
    assert in_words(older) == {
        "up": "-y, from plane of the camera path",
        "scale": "arbitrary: no source of scale",
        "place": "not known",
    }
    assert header_lines(older) == ["Up: -y", "Units: arbitrary"]
