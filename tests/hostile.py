"""Files that mean harm, made from a good clip: each is a name, how it is written, and what it must be called."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np

from splat_pipeline.domain.errors import (
    InputError,
    TooLong,
    UnreadableMedia,
    UnsafeUpload,
    UnsupportedMedia,
)

SECRET = "secret.mp4"
"""A good clip beside the hostile file, that no other file may lead to."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a hostile file is made, and of what."""

    folder: Path
    good: bytes
    """An MP4 of 40 frames."""
    url: str
    """Where somebody listens whom nobody should call."""


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A hostile file."""

    name: str
    make: Callable[[Path, Place], Any]
    error: type[InputError]


def content(make: Callable[[Place], bytes]) -> Callable[[Path, Place], Any]:
    """Return a writer of plain bytes."""
    return lambda path, place: path.write_bytes(make(place))


def box(kind: bytes, payload: bytes) -> bytes:
    """Return an ISO base media box."""
    return struct.pack(">I4s", len(payload) + 8, kind) + payload


def found(data: bytes, kind: bytes) -> int:
    """Return where the payload of the first box of a kind starts."""
    return data.index(kind) + 4


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """Return ``data`` with ``new`` over what lies at ``at``."""
    return data[:at] + new + data[at + len(new) :]


def ebml(kind: int, payload: bytes) -> bytes:
    """Return a Matroska element with a size of eight bytes."""
    name = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    return name + b"\x01" + len(payload).to_bytes(7, "big") + payload


def samples(place: Place, count: int) -> bytes:
    """Claim ``count`` samples in the table of sizes."""
    return patched(place.good, found(place.good, b"stsz") + 4, struct.pack(">II", 0, count))


def deep(levels: int) -> bytes:
    """Nest boxes."""
    data = b""
    for _ in range(levels):
        data = box(b"moov", data)
    return box(b"ftyp", b"isom\0\0\2\0isom") + data


def many_tracks(place: Place, count: int) -> bytes:
    """Repeat the only track."""
    data, at = place.good, place.good.index(b"trak") - 4
    track = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    moov = data.index(b"moov") - 4
    size = int.from_bytes(data[moov : moov + 4], "big") + len(track) * (count - 1)
    return patched(data[:at] + track * count + data[at + len(track) :], moov, struct.pack(">I", size))


def elsewhere(place: Place) -> bytes:
    """Say that the samples lie in another file (a data reference that is not 'self-contained'), and have none here."""
    target, spoilt = str(place.folder / SECRET).encode() + b"\0", noise(place)
    old = spoilt.index(b"dref", spoilt.index(b"moov")) - 4
    size = int.from_bytes(spoilt[old : old + 4], "big")
    new = box(b"dref", struct.pack(">II", 0, 1) + box(b"url ", struct.pack(">I", 0) + b"file://" + target))
    grown, data = len(new) - size, spoilt[:old] + new + spoilt[old + size :]
    index = spoilt.index(b"moov") - 4
    for kind in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        at = data.index(kind, index) - 4
        data = patched(data, at, struct.pack(">I", int.from_bytes(data[at : at + 4], "big") + grown))
    return data


def reference_movie(place: Place) -> bytes:
    """A QuickTime reference movie: nothing but the place of another one."""
    target = str(place.folder / SECRET).encode() + b"\0"
    rdrf = box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(target)) + target)
    return box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"moov", box(b"rmra", box(b"rmda", rdrf)))


def png(width: int, height: int) -> bytes:
    """Return a PNG of one grey level: a few kilobytes for any size."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    packer = zlib.compressobj(9)
    row = bytes((width + 7) // 8 + 1)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def png_film(path: Path, place: Place) -> None:
    """A film of one huge PNG."""
    picture = place.folder / "huge.png"
    picture.write_bytes(png(16000, 16000))
    mux(path, ["-i", str(picture), "-c", "copy", "-f", "matroska"])
    picture.unlink()


def mux(path: Path, arguments: list[str]) -> None:
    """Run FFmpeg's own program."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-y", *arguments, str(path)], check=True)


def tracks_of_matroska(path: Path, place: Place, *, count: int = 100) -> None:
    """More streams than anybody films."""
    (place.folder / "in.mp4").write_bytes(place.good)
    mux(path, ["-i", str(place.folder / "in.mp4"), *["-map", "0:v"] * count, "-c", "copy", "-f", "matroska"])
    (place.folder / "in.mp4").unlink()


def slow_film(path: Path, *, seconds: int, form: str, options: dict[str, str] | None = None) -> None:
    """Ten frames, hours apart."""
    with av.open(str(path), "w", format=form, options=options or {}) as container:
        stream: Any = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        rng = np.random.default_rng(0)
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (240, 320, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = i * seconds, Fraction(1, 1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def forged_size(place: Place) -> bytes:
    """An H.264 sequence parameter set that claims 16,000 x 16,000 px: only its first bytes are those of the clip."""
    bits = "01100100" + "00000000" + "00110100"  # high profile, level 5.2
    bits += "1" + "010" + "1" + "1" + "0" + "0"  # sps 0, 4:2:0, 8 bit, no matrices
    bits += "1" + "1" + "1" + "0"  # frame numbers of 4 bits, order type 0 of 4 bits, no reference... one frame
    for count in (999, 999):  # macroblocks less one
        binary = f"{count + 1:b}"
        bits += "0" * (len(binary) - 1) + binary
    bits += "1" + "1" + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    sps = b"\x67" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    start = place.good.index(b"avcC") + 4
    size = int.from_bytes(place.good[start - 8 : start - 4], "big") - 8
    old = place.good[start : start + size]
    room = size - 8 - len(sps)
    pps = b"\x68" + b"\xee" * (room - 4)
    new = old[:5] + b"\xe1" + struct.pack(">H", len(sps)) + sps + b"\x01" + struct.pack(">H", len(pps)) + pps
    return patched(place.good, start, new[:size].ljust(size, b"\0"))


def noise(place: Place) -> bytes:
    """A good index, and noise where the frames should be."""
    at = place.good.index(b"mdat") + 4
    stop = place.good.index(b"moov") - 4
    return patched(place.good, at, np.random.default_rng(1).bytes(stop - at))


def riff(place: Place, kind: bytes = b"AVI ") -> bytes:
    """An AVI that claims four billion of everything."""
    head = struct.pack("<I4sI", 56, b"\xff\xff\xff\xff", 0xFFFFFFFF) + b"\xff" * 44
    return b"RIFF\xff\xff\xff\xff" + kind + b"LIST\xff\xff\xff\xffhdrlavih" + head


def socket_at(path: Path, _place: Place) -> None:
    """A socket, by a short relative name: longer ones cannot be bound."""
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def device(path: Path, _place: Place) -> None:
    """/dev/zero under another name; only root may make one."""
    os.mknod(path, 0o20666, os.makedev(1, 5))


MATROSKA = ebml(0x1A45DFA3, ebml(0x4282, b"matroska") + ebml(0x42F7, b"\x01"))

HOSTILE = [
    # playlists and descriptions in disguise
    Hostile(name="hls_file.mp4", error=UnsupportedMedia,
            make=content(lambda p: f"#EXTM3U\n#EXTINF:1,\n{p.folder / SECRET}\n#EXT-X-ENDLIST\n".encode())),
    Hostile(name="hls_http.mov", error=UnsupportedMedia,
            make=content(lambda p: f"#EXTM3U\n#EXTINF:1,\n{p.url}/a.ts\n#EXT-X-ENDLIST\n".encode())),
    Hostile(name="hls_master.mkv", error=UnsupportedMedia,
            make=content(lambda p: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{p.url}/a.m3u8\n".encode())),
    Hostile(name="hls_indented.mp4", error=UnsupportedMedia,
            make=content(lambda p: f"\n\n  #EXTM3U\n#EXTINF:1,\n{p.folder / SECRET}\n".encode())),
    Hostile(name="hls_with_bom.mp4", error=UnsupportedMedia,
            make=content(lambda p: f"\ufeff#EXTM3U\n#EXTINF:1,\n{p.folder / SECRET}\n".encode())),
    Hostile(name="hls_after_ftyp.mp4", error=UnreadableMedia,
            make=content(lambda p: box(b"ftyp", b"isom\0\0\2\0isom") + f"#EXTM3U\n{p.folder / SECRET}\n".encode())),
    Hostile(name="ffconcat.mkv", error=UnsupportedMedia,
            make=content(lambda p: f"ffconcat version 1.0\nfile {p.folder / SECRET}\n".encode())),
    Hostile(name="concat.mp4", error=UnreadableMedia,
            make=content(lambda p: f"file '{p.folder / SECRET}'\n".encode())),
    Hostile(name="dash.mp4", error=UnsupportedMedia,
            make=content(lambda p: f"<?xml version='1.0'?><MPD><BaseURL>{p.url}/</BaseURL></MPD>".encode())),
    Hostile(name="pls.avi", error=UnsupportedMedia,
            make=content(lambda p: f"[playlist]\nFile1={p.url}/a.avi\n".encode())),
    Hostile(name="session.mp4", error=UnreadableMedia,
            make=content(lambda _: b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n")),
    Hostile(name="asx.webm", error=UnreadableMedia,
            make=content(lambda p: f'<asx version="3.0"><entry><ref href="{p.url}"/></entry></asx>'.encode())),
    Hostile(name="drawing.mp4", error=UnsupportedMedia,
            make=content(lambda p: f'<?xml version="1.0"?><svg><image href="{p.url}/x.png"/></svg>'.encode())),
    # containers that lead elsewhere
    Hostile(name="reference_movie.mov", make=content(reference_movie), error=InputError),
    Hostile(name="data_elsewhere.mp4", make=content(elsewhere), error=UnreadableMedia),
    # bombs in time
    Hostile(name="ninety_hours.mp4", error=TooLong,
            make=lambda path, _: slow_film(path, seconds=32400, form="mp4")),
    Hostile(name="ninety_hours_untold.mkv", error=TooLong,
            make=lambda path, _: slow_film(path, seconds=32400, form="matroska", options={"live": "1"})),
    Hostile(name="forged_duration.mp4", error=InputError,
            make=content(lambda p: patched(p.good, found(p.good, b"stts") + 12, b"\x00\xff\xff\xff"))),
    Hostile(name="no_clock.mp4", error=InputError,
            make=content(lambda p: patched(p.good, found(p.good, b"mdhd") + 12, b"\0\0\0\0\0\0\0\0"))),
    # bombs in pixels and memory
    Hostile(name="huge_png.mkv", make=png_film, error=UnsupportedMedia),
    Hostile(name="forged_size.mp4", make=content(forged_size), error=InputError),
    Hostile(name="four_billion_samples.mp4", make=content(lambda p: samples(p, 0xFFFFFFFF)), error=InputError),
    Hostile(name="half_a_billion_samples.mp4", make=content(lambda p: samples(p, 0x1FFFFFFF)), error=InputError),
    Hostile(name="forged_times.mp4", error=InputError,
            make=content(lambda p: patched(p.good, found(p.good, b"stts") + 4, b"\xff\xff\xff\xff"))),
    Hostile(name="riff.avi", make=content(riff), error=InputError),
    Hostile(name="element_of_2_56_bytes.mkv", error=InputError,
            make=content(lambda _: MATROSKA + b"\x18\x53\x80\x67\x01" + b"\xff" * 6 + b"\xfe" + b"\0" * 500)),
    # streams and depth
    Hostile(name="three_thousand_tracks.mp4", make=content(lambda p: many_tracks(p, 3000)), error=InputError),
    Hostile(name="hundred_tracks.mkv", make=tracks_of_matroska, error=InputError),
    Hostile(name="deep_boxes.mp4", make=content(lambda _: deep(20000)), error=UnreadableMedia),
    # what is no file
    Hostile(name="pipe.mp4", make=lambda path, _: os.mkfifo(path), error=UnsafeUpload),
    Hostile(name="socket.mp4", make=socket_at, error=UnsafeUpload),
    Hostile(name="device.mp4", make=device, error=UnsafeUpload),
    Hostile(name="link.mp4", make=lambda path, p: path.symlink_to(p.folder / SECRET), error=UnsafeUpload),
    Hostile(name="link_to_nothing.mp4", make=lambda path, _: path.symlink_to("/nowhere"), error=UnsafeUpload),
    Hostile(name="passwords.mp4", make=lambda path, _: path.symlink_to("/etc/passwd"), error=UnsafeUpload),
    # what is no clip
    Hostile(name="empty.mp4", make=content(lambda _: b""), error=UnreadableMedia),
    Hostile(name="program.mp4", make=content(lambda _: b"\x7fELF" + b"\0" * 4000), error=UnreadableMedia),
    Hostile(name="zip.mp4", make=content(lambda _: b"PK\x03\x04" + b"\0" * 4000), error=UnsupportedMedia),
    Hostile(name="document.mov", make=content(lambda _: b"%PDF-1.7\n" + b"\0" * 4000), error=UnsupportedMedia),
    Hostile(name="random.mkv", make=content(lambda _: np.random.default_rng(2).bytes(9000)), error=UnreadableMedia),
    Hostile(name="only_a_head.mp4", make=content(lambda p: p.good[:40]), error=UnreadableMedia),
    Hostile(name="no_frames.mp4", make=content(noise), error=UnreadableMedia),
    Hostile(name="no_index.mp4", make=content(lambda p: p.good[: p.good.index(b"moov")]), error=UnreadableMedia),
    Hostile(name="index_alone.mp4", error=InputError,
            make=content(lambda p: p.good[p.good.index(b"moov") - 4 :])),
]  # fmt: skip
