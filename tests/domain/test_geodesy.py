"""Places on Earth, against figures that others computed and laws that must hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.geodesy import SEMI_MAJOR_M, Place, ecef_from, enu_axes, enu_from, place_at

ANYWHERE = st.builds(Place, lat_deg=st.floats(-90, 90), lon_deg=st.floats(-180, 180), alt_m=st.floats(-400, 9000))


def test_known_places_lie_where_they_are():
    """Where the axes leave the ellipsoid, and half way up: sqrt(2) / 2 of a and of b would be a sphere's."""
    there = ecef_from(np.array([0.0, 0, 90, 45]), np.array([0.0, 90, 0, 0]), np.zeros(4))
    np.testing.assert_allclose(there[0], [SEMI_MAJOR_M, 0, 0], atol=1e-6)
    np.testing.assert_allclose(there[1], [0, SEMI_MAJOR_M, 0], atol=1e-6)
    np.testing.assert_allclose(there[2], [0, 0, 6356752.3142], atol=1e-3)
    np.testing.assert_allclose(there[3], [4517590.8789, 0, 4487348.4089], atol=1e-3)


def test_a_second_of_arc_is_as_long_as_charts_say():
    """At 45 degrees: 111,131.745 m a degree of latitude, 78,846.806 m a degree of longitude."""
    origin = Place(lat_deg=45.0, lon_deg=7.0, alt_m=0.0)
    north = enu_from(np.array([45 + 1 / 3600]), np.array([7.0]), np.zeros(1), origin)[0]
    east = enu_from(np.array([45.0]), np.array([7 + 1 / 3600]), np.zeros(1), origin)[0]
    assert north[1] == pytest.approx(111131.745 / 3600, rel=2e-5)
    assert east[0] == pytest.approx(78846.806 / 3600, rel=2e-5)
    assert abs(north[0]) < 1e-6
    assert abs(north[2]) < 1e-3
    assert abs(east[1]) < 1e-3


@given(ANYWHERE, st.tuples(*[st.floats(-2000, 2000)] * 3))
def test_there_and_back_is_the_same_place(origin, enu):
    found = place_at(np.array(enu), origin)
    back = enu_from(np.array([found.lat_deg]), np.array([found.lon_deg]), np.array([found.alt_m]), origin)[0]
    np.testing.assert_allclose(back, enu, atol=1e-3)


@given(ANYWHERE)
def test_local_axes_are_right_handed_and_up_is_up(place):
    axes = enu_axes(place)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    lat, lon = np.array([place.lat_deg]), np.array([place.lon_deg])
    above = enu_from(lat, lon, np.array([place.alt_m + 10]), place)[0]
    np.testing.assert_allclose(above, [0, 0, 10], atol=1e-6)


def test_the_date_line_is_no_border():
    origin = Place(lat_deg=-17.0, lon_deg=179.9999, alt_m=3.0)
    there = enu_from(np.array([-17.0]), np.array([-179.9999]), np.array([3.0]), origin)[0]
    assert there[0] == pytest.approx(0.0002 * 106_470, rel=1e-3)
