"""GoPro's telemetry, written here by its specification, is read; damaged telemetry gives what it can, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemetry import gps5, gps9, nest, packet

from splat_pipeline.domain.formats.gpmf import MAX_BYTES, read_gpmf

PLACES = [(47.1, 8.2, 430.5), (47.1001, 8.2, 430.6), (-33.8, -70.5, -1.5)]


def read(data):
    return read_gpmf(data, start_s=4.0, length_s=1.5)


def test_samples_are_read_and_spread_over_their_packet():
    fixes = read(packet(gps5(PLACES)))
    assert [(fix.lat_deg, fix.lon_deg, fix.alt_m) for fix in fixes] == [pytest.approx(place) for place in PLACES]
    assert [fix.pts_s for fix in fixes] == [4.0, 4.5, 5.0]


@pytest.mark.parametrize("damage", [{"fix": 0}, {"dilution": 9999}, {"scales": (0, 1, 1, 1, 1)}, {"scales": (1, 2)}])
def test_samples_without_a_fix_or_a_scale_are_none(damage):
    assert read(packet(gps5(PLACES, **damage))) == []


def test_a_level_fix_has_no_altitude_and_null_island_is_none():
    assert [fix.alt_m for fix in read(packet(gps5(PLACES, fix=2)))] == [None] * 3
    assert len(read(packet(gps5([(0, 0, 0), *PLACES])))) == 3


def test_newer_cameras_say_the_fix_of_each_sample():
    rows = [(*PLACES[0], 120, 3), (*PLACES[1], 120, 0), (*PLACES[1], 4000, 3), (*PLACES[2], 120, 2)]
    fixes = read(packet(gps5([(1, 2, 3)]), gps9(rows)))
    assert [(fix.lat_deg, fix.alt_m) for fix in fixes] == [(pytest.approx(47.1), 430.5), (pytest.approx(-33.8), None)]


def test_telemetry_without_positions_gives_none():
    assert read(packet()) == []
    assert read(b"") == []
    assert read(packet(gps5(PLACES)) + bytes(MAX_BYTES)) == []


@given(st.integers(0, 400))
def test_a_packet_that_is_cut_off_gives_what_is_whole(length):
    whole = packet(gps5(PLACES))
    assert read(whole[:length]) == (read(whole) if length >= len(whole) else [])


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12))
def test_damaged_telemetry_gives_places_on_the_globe_or_none(changes):
    data = bytearray(packet(gps5(PLACES), gps9([(*PLACES[0], 120, 3)])))
    for at, value in changes:
        data[at % len(data)] = value
    for fix in read(bytes(data)):
        assert abs(fix.lat_deg) <= 90
        assert abs(fix.lon_deg) <= 180


@given(st.binary(max_size=300))
def test_any_bytes_are_no_trouble(data):
    assert isinstance(read(b"DEVC" + data), list)


def test_nesting_without_end_is_cut():
    data = b""
    for _ in range(200):
        data = nest("DEVC", data)
    assert read(data) == []
