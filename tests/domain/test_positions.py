"""A position is what a receiver knew, never what it wrote without knowing."""

import numpy as np
import pytest

from splat_pipeline.domain.positions import MOST_FIXES, Fix, fix_or_none, in_order

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("lat", "lon"), [(0.0, 0.0), (1e-7, -1e-7), (90.1, 8), (47, 180.1), (NAN, 8), (47, INF), (None, 8), (47, None)]
)
def test_what_is_no_place_is_none(lat, lon):
    assert fix_or_none(0.0, lat, lon, 400.0) is None


@pytest.mark.parametrize(
    ("alt", "want"), [(None, None), (NAN, None), (INF, None), (1e6, None), (-430.0, -430.0), (0.0, 0.0)]
)
def test_an_altitude_that_cannot_be_is_unknown_and_its_place_is_kept(alt, want):
    fix = fix_or_none(2.0, 47.0, 8.0, alt)
    assert (fix.lat_deg, fix.lon_deg, fix.alt_m) == (47.0, 8.0, want)


def test_the_equator_and_greenwich_are_places():
    assert fix_or_none(0.0, 0.0, 32.5, None) is not None
    assert fix_or_none(0.0, 51.5, 0.0, None) is not None


@pytest.mark.parametrize(("accuracy", "want"), [(3.0, 3.0), (0.0, None), (-1.0, None), (NAN, None)])
def test_an_accuracy_that_says_nothing_is_unknown(accuracy, want):
    assert fix_or_none(0.0, 47.0, 8.0, None, accuracy).accuracy_m == want


def test_fixes_come_in_order_thinned_and_bounded():
    many = [Fix(pts_s=i / 60, lat_deg=47.0, lon_deg=8.0) for i in range(600)]
    kept = in_order([None, *many[::-1]])
    assert 90 <= len(kept) <= 100
    assert np.diff([fix.pts_s for fix in kept]).min() >= 0.1
    assert len(in_order(Fix(pts_s=float(i), lat_deg=47.0, lon_deg=8.0) for i in range(MOST_FIXES + 9))) == MOST_FIXES
