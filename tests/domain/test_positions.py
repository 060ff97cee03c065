"""A position is what a receiver knew, never what it wrote without knowing."""

import numpy as np
import pandas as pd
import pytest

from splat_pipeline.domain.positions import (
    MOST_FIXES,
    Fix,
    Track,
    at_times,
    fix_or_none,
    fixes_at,
    in_order,
    rows_of,
)
from splat_pipeline.domain.tables import POSITIONS, to_table

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


def test_a_camera_stands_between_fixes_near_in_time():
    fixes = [
        Fix(pts_s=0.0, lat_deg=10.0, lon_deg=20.0, alt_m=100.0, accuracy_m=2.0),
        Fix(pts_s=2.0, lat_deg=10.2, lon_deg=20.4, alt_m=None, accuracy_m=5.0),
        Fix(pts_s=9.0, lat_deg=11.0, lon_deg=21.0),
    ]
    half, exact, gap, before, after = at_times(fixes, [0.5, 2.0, 5.0, -0.4, 9.6], images=False)
    assert (half.lat_deg, half.lon_deg) == (pytest.approx(10.05), pytest.approx(20.1))
    assert (half.alt_m, half.accuracy_m) == (None, 5.0)
    assert exact == fixes[1]
    assert gap is None, "seven seconds without a fix"
    assert (before.pts_s, before.lat_deg) == (-0.4, 10.0)
    assert after is None
    assert at_times([], [1.0], images=False) == [None]


def test_a_track_across_the_date_line_goes_the_short_way():
    fixes = [Fix(pts_s=0.0, lat_deg=0.1, lon_deg=179.9999), Fix(pts_s=1.0, lat_deg=0.1, lon_deg=-179.9997)]
    (fix,) = at_times(fixes, [0.5], images=False)
    assert fix.lon_deg == pytest.approx(-179.9999)


def test_a_photo_without_a_position_gets_none_of_its_neighbours():
    fixes = [Fix(pts_s=0.0, lat_deg=10.0, lon_deg=20.0), Fix(pts_s=2.0, lat_deg=10.1, lon_deg=20.0)]
    assert at_times(fixes, [0.0, 1.0, 2.0], images=True) == [fixes[0], None, fixes[1]]


def test_the_table_gives_back_each_cameras_position():
    photos = Track(source="exif", fixes=(Fix(pts_s=1.0, lat_deg=10.0, lon_deg=20.0, alt_m=5.0),))
    clip = Track(source="srt", fixes=tuple(Fix(pts_s=float(i), lat_deg=11.0 + i, lon_deg=21.0) for i in range(3)))
    table = to_table(POSITIONS, rows_of("set", photos) + rows_of("clip", clip)).to_pandas()
    cameras = pd.DataFrame({"video_id": ["clip", "set", "set", "none"], "pts_s": [0.5, 1.0, 0.0, 0.0]})
    fixes, source = fixes_at(table, cameras)
    assert [fix and fix.lat_deg for fix in fixes] == [11.5, 10.0, None, None]
    assert fixes[1].alt_m == 5.0
    assert source == "gps exif and gps track"
    assert fixes_at(table, cameras.iloc[[0]])[1] == "gps track"
    assert fixes_at(table.iloc[:0], cameras) == ([None] * 4, "")
