"""What drones write into subtitles is read; what is none is left."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.formats.srt import position_in, read_srt

MINI = """1
00:00:00,000 --> 00:00:00,033
<font size="28">FrameCnt: 1, DiffTime: 33ms
2023-05-30 12:15:22.123
[iso: 100] [shutter: 1/1000.0] [fnum: 2.8] [focal_len: 24.00] [latitude: 47.123456] [longitude: -8.654321] \
[rel_alt: 1.300 abs_alt: 482.215] [ct: 5500] </font>

2
00:01:02,500 --> 00:01:02,533
<font size="28">FrameCnt: 2, DiffTime: 33ms
[latitude: 47.123460] [longitude: -8.654330] [rel_alt: 1.300 abs_alt: 482.300] </font>
"""


def test_the_form_of_today_is_read():
    one, two = read_srt(MINI.replace("\n", "\r\n"))
    assert (one.pts_s, one.lat_deg, one.lon_deg, one.alt_m) == (0.0, 47.123456, -8.654321, 482.215)
    assert (two.pts_s, two.lon_deg) == (62.5, -8.654330)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("[latitude : 47.5] [longtitude : 8.25] [altitude: 12.5]", (47.5, 8.25, 12.5)),
        (
            "HOME(149.0251,-20.2532) 2017.08.05 14:11:51\nGPS(149.0251,-20.2533,16) BAROMETER:1.9",
            (-20.2533, 149.0251, None),
        ),
        (
            "F/2.8, SS 206.14, ISO 150, EV 0, GPS (-122.3699, 37.4929, 15), D 224.09m, H 5.30m",
            (37.4929, -122.3699, None),
        ),
        ("[latitude: 0.000000] [longitude: 0.000000] [rel_alt: 0 abs_alt: 0]", None),
        ("GPS(0.0000,0.0000,0) BAROMETER:0.0", None),
        ("[latitude: 91.0] [longitude: 8.0]", None),
        ("[latitude: 47.5]", None),
        ("[latitude: nan] [longitude: inf]", None),
        ("GPS(n/a,n/a,0)", None),
        ("And then she said: hello.", None),
    ],
)
def test_older_forms_are_read_and_what_is_no_position_is_none(text, want):
    fix = position_in(text, 3.0)
    assert want == (fix and (fix.lat_deg, fix.lon_deg, fix.alt_m))


@given(st.text(max_size=400))
def test_any_text_gives_positions_or_none(text):
    assert isinstance(read_srt(text), tuple)


@pytest.mark.parametrize(
    "piece", ["00:00:01,000 --> ", "[latitude: ", "GPS(1", "0", " ", "\n", "[latitude: 1] ", "99:99:99,9"]
)
def test_hostile_text_is_read_in_linear_time(piece):
    began = time.monotonic()
    read_srt(piece * (1_000_000 // len(piece)))
    assert time.monotonic() - began < 10
