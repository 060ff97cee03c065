"""First bytes and tags mean what the formats say."""

from __future__ import annotations

import pytest

from splat_pipeline.domain.media import (
    container_of,
    foreign,
    place_of,
    primaries_name,
    range_name,
    tags_of,
    transfer_name,
    utc_of,
)


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x01", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        ((b"\x47" + b"\0" * 187) * 4, "mpegts"),
        ((b"\0\0\0\0\x47" + b"\0" * 187) * 4, "mpegts"),
        (b"#EXTM3U\n/etc/passwd", None),
        (b"", None),
    ],
)
def test_containers_are_told_by_their_first_bytes(head: bytes, container: str | None) -> None:
    assert container_of(head) == container


def test_playlists_are_named() -> None:
    assert foreign(b"\xef\xbb\xbf#EXTM3U\n") == "an HLS playlist"
    assert foreign(b"ffconcat version 1.0") == "an ffconcat playlist"
    assert foreign(b"hello") is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("+48.1372+011.5755+519.0/", (48.1372, 11.5755, 519.0)),
        ("-33.8688+151.2093/", (-33.8688, 151.2093, None)),
        ("+4808.232+01134.53/", (48 + 8.232 / 60, 11 + 34.53 / 60, None)),
        ("+480813.9+0113431.8-002.5/", (48 + 8 / 60 + 13.9 / 3600, 11 + 34 / 60 + 31.8 / 3600, -2.5)),
        ("+98.0+011.0/", (None, None, None)),
        ("somewhere", (None, None, None)),
        (None, (None, None, None)),
    ],
)
def test_places_are_read(text: str | None, place: tuple[float | None, ...]) -> None:
    assert place_of(text) == pytest.approx(place)


def test_tags_of_phones_are_read() -> None:
    tags = tags_of(
        {
            "com.apple.quicktime.make": "Apple",
            "com.apple.quicktime.model": "iPhone 13",
            "com.apple.quicktime.location.ISO6709": "+48.0+011.0+500/",
            "creation_time": "2025-06-16T13:27:47.000000Z",
        }
    )
    assert (tags["make"], tags["model"], tags["alt_m"]) == ("Apple", "iPhone 13", 500.0)
    assert tags["created_utc"] == "2025-06-16T13:27:47Z"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-06-16T15:27:47+0200", "2025-06-16T13:27:47Z"),
        ("1904-01-01T00:00:00Z", None),
        ("2025-06-16 15:27:47", None),
        ("x", None),
    ],
)
def test_times_without_a_zone_or_from_a_stopped_clock_are_unknown(text: str, utc: str | None) -> None:
    assert utc_of(text) == utc


def test_transfers_have_the_names_of_h273() -> None:
    assert (transfer_name(18), transfer_name(16), transfer_name(2)) == ("arib-std-b67", "smpte2084", None)


def test_what_a_container_does_not_say_is_null() -> None:
    assert set(tags_of({}).values()) == {None}
    assert tags_of({"com.apple.quicktime.camera.focal_length.35mm_equivalent": "0"})["focal_35mm_mm"] is None
    assert (primaries_name(2), range_name(0), primaries_name(9), range_name(2)) == (None, None, "bt2020", "full")


def test_a_date_without_zone_gives_way_to_one_that_has_it() -> None:
    tags = {"com.apple.quicktime.creationdate": "2025-06-16T15:27:47", "creation_time": "2025-07-01T00:00:00Z"}
    assert tags_of(tags)["created_utc"] == "2025-07-01T00:00:00Z"
