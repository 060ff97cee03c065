"""Positions come out of photos, clips and the subtitles beside them; what says nothing gives none."""

from __future__ import annotations

import os
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from telemetry import gps5, packet

from resources.media import PyAvReader
from splat_pipeline.domain.errors import InputError, UnreadableMedia, UnsafeUpload
from splat_pipeline.domain.formats import srt

PLACES = [(47.1, 8.2, 430.5), (47.1001, 8.2001, 430.6)]


def degrees(value):
    whole = int(abs(value))
    minutes = int((abs(value) - whole) * 60)
    seconds = round(((abs(value) - whole) * 60 - minutes) * 60 * 10_000)
    return (IFDRational(whole), IFDRational(minutes), IFDRational(seconds, 10_000))


def photo(path, gps=None):
    exif = Image.Exif()
    if gps is not None:
        exif.get_ifd(0x8825).update(gps)
    Image.fromarray(np.zeros((240, 320, 3), np.uint8)).save(path, exif=exif)


def gps_of(lat, lon, alt=None, **more):
    said = {1: "S" if lat < 0 else "N", 2: degrees(lat), 3: "W" if lon < 0 else "E", 4: degrees(lon)}
    if alt is not None:
        said |= {5: b"\1" if alt < 0 else b"\0", 6: IFDRational(round(abs(alt) * 100), 100)}
    return said | {int(key[1:]): value for key, value in more.items()}


def positions(path, subtitles=None):
    reader = PyAvReader()
    return reader.positions(path, reader.probe(path), subtitles=subtitles)


def test_photos_say_where_they_were_taken_and_others_say_nothing(tmp_path: Path) -> None:
    said = [
        gps_of(47.123456, 8.654321, 482.25, _31=IFDRational(35, 10)),
        None,
        gps_of(-33.8, -70.5, -12.5),
        gps_of(0.0, 0.0, 0.0),
        gps_of(47.0, 8.0, 400, _9="V"),
        {key: value for key, value in gps_of(47.0, 8.0).items() if key != 1},
        gps_of(47.0, 8.0),
        {2: (IFDRational(1, 0), IFDRational(0), IFDRational(0)), 1: "N", 3: "E", 4: degrees(8.0)},
    ]
    for i, gps in enumerate(said):
        photo(tmp_path / f"{i}.jpg", gps)
    track = positions(tmp_path)
    assert track.source == "exif"
    assert [fix.pts_s for fix in track.fixes] == [0.0, 2.0, 6.0]
    first, south, flat = track.fixes
    assert (first.lat_deg, first.lon_deg) == (pytest.approx(47.123456, abs=1e-8), pytest.approx(8.654321, abs=1e-8))
    assert (first.alt_m, first.accuracy_m) == (482.25, 3.5)
    assert (south.lat_deg, south.lon_deg, south.alt_m) == (pytest.approx(-33.8), pytest.approx(-70.5), -12.5)
    assert (flat.alt_m, flat.accuracy_m) == (None, None)


def test_a_set_whose_first_photo_had_no_fix_has_no_place(tmp_path: Path) -> None:
    """Receivers write 0/0 until they see satellites: a place in the sea would be a lie."""
    for i in range(3):
        photo(tmp_path / f"{i}.jpg", gps_of(0.0, 0.0, 0.0))
    facts = PyAvReader().probe(tmp_path)
    assert (facts.lat_deg, facts.lon_deg, facts.alt_m) == (None, None, None)
    assert positions(tmp_path) is None


@pytest.fixture(scope="module")
def clip(tmp_path_factory, film, walk) -> Path:
    return film(tmp_path_factory.mktemp("clip") / "DJI_0001.mp4", walk(20), fps=10)


def cues(places):
    said = [f"[latitude: {lat}] [longitude: {lon}] [rel_alt: 1.0 abs_alt: {alt}]" for lat, lon, alt in places]
    return "".join(f"{i + 1}\n00:00:0{i},000 --> 00:00:0{i},500\n{text}\n\n" for i, text in enumerate(said))


def test_subtitles_beside_a_clip_are_its_track(clip: Path, tmp_path: Path) -> None:
    beside = tmp_path / "DJI_0001.SRT"
    beside.write_text(cues(PLACES))
    track = positions(clip, beside)
    assert track.source == "srt"
    assert [(fix.pts_s, fix.lat_deg, fix.lon_deg, fix.alt_m) for fix in track.fixes] == [
        (float(i), *place) for i, place in enumerate(PLACES)
    ]


def test_a_clip_that_says_nothing_has_no_track(clip: Path, tmp_path: Path) -> None:
    assert positions(clip) is None
    talk = tmp_path / "talk.srt"
    talk.write_bytes(b"1\n00:00:01,000 --> 00:00:02,000\nHello \xff\xfe\n")
    assert positions(clip, talk) is None


def test_hostile_subtitles_are_refused_for_their_reason(clip: Path, tmp_path: Path, monkeypatch) -> None:
    beside = tmp_path / "DJI_0001.SRT"
    beside.symlink_to("/etc/hostname")
    with pytest.raises(UnsafeUpload):
        positions(clip, beside)
    pipe = tmp_path / "pipe.srt"
    os.mkfifo(pipe)
    with pytest.raises(UnsafeUpload):
        positions(clip, pipe)
    with pytest.raises(InputError, match="gone"):
        positions(clip, tmp_path / "none.srt")
    large = tmp_path / "large.srt"
    large.write_text(cues(PLACES))
    monkeypatch.setattr(srt, "MAX_BYTES", 100)
    with pytest.raises(UnreadableMedia, match="more than"):
        positions(clip, large)


def with_data(path, content, *, source):
    """Copy a clip and add a stream of data, a packet a second."""
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        video = made.add_stream_from_template(given.streams.video[0])
        extra = made.add_data_stream("bin_data")
        extra.time_base = Fraction(1, 1000)
        waiting = list(enumerate(content))
        for chunk in given.demux(given.streams.video[0]):
            if chunk.dts is None:
                continue
            while waiting and waiting[0][0] <= float(chunk.dts * chunk.time_base):
                number, data = waiting.pop(0)
                one = av.Packet(data)
                one.stream, one.pts, one.dts, one.duration, one.time_base = (
                    extra, 1000 * number, 1000 * number, 1000, Fraction(1, 1000),
                )  # fmt: skip
                made.mux(one)
            chunk.stream = video
            made.mux(chunk)
    return path


def test_a_gopros_telemetry_is_its_track(clip: Path, tmp_path: Path) -> None:
    content = [packet(gps5([place] * 2)) for place in PLACES]
    track = positions(with_data(tmp_path / "GX010001.mp4", content, source=clip))
    assert track.source == "gpmf"
    assert [fix.pts_s for fix in track.fixes] == [0.0, 0.5, 1.0, 1.5]
    assert [fix.lat_deg for fix in track.fixes] == [pytest.approx(lat) for lat, _, _ in PLACES for _ in range(2)]


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mov_text"), ("mkv", "srt")])
def test_subtitles_in_a_clip_are_its_track(suffix: str, codec: str, clip: Path, tmp_path: Path) -> None:
    beside, made = tmp_path / "a.srt", tmp_path / f"DJI_0002.{suffix}"
    beside.write_text(cues(PLACES))
    program = imageio_ffmpeg.get_ffmpeg_exe()
    inputs = ["-i", str(clip), "-i", str(beside), "-map", "0:v", "-map", "1:s"]
    subprocess.run([program, "-v", "error", *inputs, "-c:v", "copy", "-c:s", codec, str(made)], check=True, timeout=60)
    track = positions(made)
    assert track.source == "subtitles"
    assert [(fix.pts_s, fix.lat_deg, fix.lon_deg, fix.alt_m) for fix in track.fixes] == [
        (pytest.approx(i, abs=0.01), *place) for i, place in enumerate(PLACES)
    ]


def test_other_data_in_a_clip_is_no_track(clip: Path, tmp_path: Path) -> None:
    content = [b"DEVC" + b"\xff" * 60, b"something else"]
    assert positions(with_data(tmp_path / "other.mp4", content, source=clip)) is None


def test_the_positions_of_real_drone_photos_are_read(shared_data: Path) -> None:
    track = positions(shared_data / "dev" / "drone_gps" / "images")
    assert (track.source, len(track.fixes)) == ("exif", 18)
    assert all(fix.alt_m is not None for fix in track.fixes)
    lat, lon = np.array([(fix.lat_deg, fix.lon_deg) for fix in track.fixes]).T
    assert 0.0002 < np.ptp(lat) < 0.01
    assert 0.0002 < np.ptp(lon) < 0.01
