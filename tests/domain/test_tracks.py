"""Each camera gets the position that its track or photo says, and no other."""

import pandas as pd
import pytest

from splat_pipeline.domain.positions import Fix, Track
from splat_pipeline.domain.tables import POSITIONS, to_table
from splat_pipeline.domain.tracks import at_times, fixes_at, rows_of


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
