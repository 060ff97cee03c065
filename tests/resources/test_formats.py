"""Whatever it is filmed with: each kind of clip is probed and decoded, upright, unmirrored, in its colours.

A colour card, each quarter of another colour, is encoded by the ffmpeg of imageio-ffmpeg and read back.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from resources.clip_probe import probe_clip
from resources.clips import Decoder
from resources.upright import between_lines, upright

WIDTH, HEIGHT, FRAMES, FPS = 240, 176, 12, 10
QUARTERS = np.array([[(200, 40, 40), (40, 170, 60)], [(50, 60, 190), (180, 180, 180)]])
"""Of the card as seen: red and green above, blue and grey below. No turn or mirroring leaves it as it is."""
YUV420, X264 = ["-pix_fmt", "yuv420p"], ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "12", "-x265-params", "log-level=error:pools=1"]
BARS = ["-x264-params", "bframes=3:b-adapt=0", "-preset", "veryfast"]


def card(colors: Any = QUARTERS, *, width: int = WIDTH, height: int = HEIGHT, dtype: Any = np.uint8) -> np.ndarray:
    """The card (H, W, 3)."""
    picture = np.empty((height, width, 3), dtype)
    for i, j in np.ndindex(2, 2):
        picture[i * height // 2 : (i + 1) * height // 2, j * width // 2 : (j + 1) * width // 2] = colors[i][j]
    return picture


def film(picture: np.ndarray) -> list[np.ndarray]:
    """A dark bar wanders over the card's middle column, so that there is something to predict."""
    frames = []
    for i in range(FRAMES):
        frame = picture.copy()
        frame[:, frame.shape[1] * 3 // 8 + 4 * i :][:, :6] = 0
        frames.append(frame)
    return frames


def ffmpeg(*args: str | Path, data: bytes | None = None) -> bytes:
    argv = [get_ffmpeg_exe(), "-v", "error", "-y", *map(str, args)]
    return subprocess.run(argv, input=data, check=True, capture_output=True, timeout=60).stdout


def encode(path: Path, options: Sequence[str], picture: np.ndarray | None = None, *, pixels: str = "rgb24") -> Path:
    picture = card() if picture is None else picture
    raw = b"".join(frame.tobytes() for frame in film(picture))
    size = f"{picture.shape[1]}x{picture.shape[0]}"
    source = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", size, "-r", str(FPS), "-i", "-"]
    ffmpeg(*source, "-threads", "1", *options, path, data=raw)
    return path


def quarters(picture: np.ndarray) -> np.ndarray:
    """Colours (2, 2, 3) away from edges and from the bar."""
    height, width = picture.shape[:2]
    rows, columns = (height // 4, height * 3 // 4), (width // 8, width * 7 // 8)
    return np.array([[picture[y - 4 : y + 4, x - 4 : x + 4].mean((0, 1)) for x in columns] for y in rows])


def decoded(path: Path) -> tuple[Any, list[float], np.ndarray, np.ndarray]:
    """What a clip says of itself, its frame times, and its last picture in colour and as luma."""
    facts = probe_clip(path)
    frames = list(Decoder(path=path))
    size = facts.width_px, facts.height_px
    return (
        facts,
        [pts_s for _, pts_s, _ in frames],
        upright(frames[-1][2], size, gray=False),
        upright(frames[-1][2], size, gray=True),
    )


def assert_is_the_card(path: Path, *, within: float, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Any:
    facts, times, picture, luma = decoded(path)
    assert (facts.width_px, facts.height_px) == size
    assert picture.shape == (*size[::-1], 3)
    assert luma.shape == size[::-1]
    assert all(before < after for before, after in pairwise(times))
    assert np.abs(quarters(picture) - QUARTERS).max() <= within
    assert np.abs(quarters(luma[..., None])[..., 0] - quarters(picture) @ (0.299, 0.587, 0.114)).max() < 25
    return facts, times


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to write a clip."""

    file: str
    options: tuple[str, ...]
    codec: str
    container: str = "mov"
    within: float = 5.0
    """8-bit levels by which a colour may differ."""
    bits: int = 8


KINDS = {
    "h264 mp4": Kind(file="a.mp4", options=(*X264, *YUV420), codec="h264"),
    "h264 b-frames mkv": Kind(file="a.mkv", options=(*X264, *BARS, *YUV420), codec="h264", container="matroska"),
    "h264 b-frames avi": Kind(file="a.avi", options=(*X264, *BARS, *YUV420), codec="h264", container="avi"),
    "h264 mpegts": Kind(file="a.ts", options=(*X264, *BARS, *YUV420), codec="h264", container="mpegts"),
    "h264 fragmented": Kind(
        file="a.mp4", options=(*X264, *YUV420, "-movflags", "frag_keyframe+empty_moov"), codec="h264"
    ),
    "h264 yuv444": Kind(file="a.mkv", options=(*X264, "-pix_fmt", "yuv444p"), codec="h264", container="matroska"),
    "hevc mp4": Kind(file="a.mp4", options=(*X265, *YUV420, "-tag:v", "hvc1"), codec="hevc"),
    "hevc 10 bit mov": Kind(file="a.mov", options=(*X265, "-pix_fmt", "yuv420p10le"), codec="hevc", bits=10),
    "av1 mkv": Kind(
        file="a.mkv",
        options=("-c:v", "libsvtav1", "-preset", "12", "-crf", "15", "-svtav1-params", "lp=1", *YUV420),
        codec="libdav1d",
        container="matroska",
    ),
    "vp9 webm": Kind(
        file="a.webm",
        options=("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "15", "-b:v", "0", *YUV420),
        codec="vp9",
        container="matroska",
    ),
    "prores mov": Kind(file="a.mov", options=("-c:v", "prores_ks", "-profile:v", "1"), codec="prores", bits=10),
    "mjpeg mov": Kind(file="a.mov", options=("-c:v", "mjpeg", "-q:v", "2"), codec="mjpeg"),
    "mpeg4 avi": Kind(file="a.avi", options=("-c:v", "mpeg4", "-q:v", "2"), codec="mpeg4", container="avi"),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_clip_shows_the_card(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    facts, times = assert_is_the_card(encode(tmp_path / kind.file, kind.options), within=kind.within)
    assert (facts.codec, facts.container, facts.bit_depth) == (kind.codec, kind.container, kind.bits)
    assert len(times) == FRAMES
    assert np.diff(times) == pytest.approx(1 / FPS, abs=2e-3)
    assert (facts.mirrored, facts.rotation_deg) == (False, 0)


@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
@pytest.mark.parametrize("full", [False, True])
def test_range_and_matrix_are_honoured(matrix: str, full: bool, tmp_path: Path) -> None:
    said, flag = ("pc", "full") if full else ("tv", "limited")
    number = {"bt709": "bt709", "bt601": "smpte170m"}[matrix]
    scale = f"scale=out_color_matrix={matrix}:out_range={said},format=yuv420p"
    tags = f"setparams=colorspace={number}:color_primaries=bt709:color_trc=bt709:range={said}"
    facts, _ = assert_is_the_card(encode(tmp_path / "a.mp4", ["-vf", f"{scale},{tags}", *X264]), within=5)
    assert (facts.color_range, facts.color_primaries, facts.transfer) == (flag, "bt709", "bt709")


def test_colours_that_are_not_said_are_null(tmp_path: Path) -> None:
    facts, _ = assert_is_the_card(encode(tmp_path / "a.mkv", ["-c:v", "mpeg4", "-q:v", "2"]), within=5)
    assert (facts.color_primaries, facts.transfer, facts.focal_35mm_mm, facts.make) == (None, None, None, None)


@pytest.mark.parametrize(("flips", "degrees"), [(f, d) for f in ("", "h", "v") for d in (0, 90, 180, 270)])
def test_all_turns_and_mirrorings_are_those_of_ffmpeg(flips: str, degrees: int, tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mp4", [*X264, *YUV420])
    asked = ["-display_rotation", str(degrees), *([f"-display_{flips}flip"] if flips else [])]
    ffmpeg(*asked, "-i", plain, "-c", "copy", tmp_path / "turned.mp4")
    facts, _, picture, luma = decoded(tmp_path / "turned.mp4")
    raw = ffmpeg("-i", tmp_path / "turned.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    expected = np.frombuffer(raw, np.uint8).reshape(-1, facts.height_px, facts.width_px, 3)[-1]
    assert (facts.width_px, facts.height_px) == ((HEIGHT, WIDTH) if degrees % 180 else (WIDTH, HEIGHT))
    assert facts.mirrored == bool(flips)
    assert np.abs(quarters(picture) - quarters(expected)).max() < 4
    light = quarters(expected) @ (0.299, 0.587, 0.114)
    assert np.abs(quarters(luma[..., None])[..., 0] - light).max() < 4


def hdr_signal(transfer: str) -> np.ndarray:
    """(2, 2, 3) the signal, 0 to 1, that shows the card's light on a reference display, by BT.2100-2 inverted.

    Written apart from the code under test. The card's white is set to 203 cd/m2, and all of it lies below the knee.
    """
    bt2020_from_bt709 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]  # BT.2087-0
    nits = 203 * (QUARTERS / 255 * 0.68) ** 2.4 @ np.transpose(bt2020_from_bt709)
    if transfer == "smpte2084":
        power = (nits / 10_000) ** (2610 / 16384)
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    luminance = nits @ (0.2627, 0.6780, 0.0593)
    scene = nits / 1000 * (luminance / 1000)[..., None] ** (-0.2 / 1.2)
    root = np.sqrt(3 * scene)
    return np.where(scene <= 1 / 12, root, 0.17883277 * np.log(np.maximum(12 * scene, 1) - 0.28466892) + 0.55991073)


@pytest.mark.parametrize("transfer", ["arib-std-b67", "smpte2084"])
@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv444p10le"])
def test_high_dynamic_range_shows_the_light_that_was_filmed(transfer: str, pixels: str, tmp_path: Path) -> None:
    signal = np.rint(hdr_signal(transfer) * 65535).astype(np.uint16)
    tags = ["-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", transfer, "-color_range", "tv"]
    codes = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range=limited"
    options = ["-vf", f"scale=out_color_matrix=bt2020:out_range=tv,format={pixels}", *X265[:-1], f"{X265[-1]}:{codes}"]
    path = encode(tmp_path / "a.mp4", [*options, *tags], card(signal, dtype=np.uint16), pixels="rgb48le")
    facts, _, picture, luma = decoded(path)
    assert (facts.transfer, facts.color_primaries, facts.bit_depth) == (transfer, "bt2020", 10)
    assert np.abs(quarters(picture) - QUARTERS * 0.68).max() <= 4
    assert np.abs(quarters(luma[..., None])[..., 0] - QUARTERS @ (0.299, 0.587, 0.114) * 0.68).max() <= 4


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    narrow = card(width=180)
    path = encode(tmp_path / "a.mp4", ["-vf", "setsar=4/3", *X264, *YUV420], narrow)
    assert_is_the_card(path, within=5)


@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv444p"), ("libvpx-vp9", "yuv420p")])
def test_odd_sizes_are_kept(codec: str, pixels: str, tmp_path: Path) -> None:
    options = ["-c:v", codec, "-pix_fmt", pixels, "-crf", "12", *(["-b:v", "0"] if "vpx" in codec else [])]
    assert_is_the_card(encode(tmp_path / "a.mkv", options, card(width=241, height=177)), within=5, size=(241, 177))


def test_frames_before_the_edit_are_not_shown(tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mp4", [*X264, "-g", "100", *YUV420])
    ffmpeg("-ss", "0.5", "-i", plain, "-c", "copy", tmp_path / "cut.mp4")
    _, times = assert_is_the_card(tmp_path / "cut.mp4", within=5)
    assert len(times) == FRAMES - 5


def test_a_late_start_is_kept_in_the_times(tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mp4", [*X264, *YUV420])
    ffmpeg("-itsoffset", "2.5", "-i", plain, "-c", "copy", tmp_path / "late.mkv")
    _, times = assert_is_the_card(tmp_path / "late.mkv", within=5)
    assert (times[0], len(times)) == (pytest.approx(2.5, abs=2e-3), FRAMES)


def test_a_varying_frame_rate_is_told_and_its_times_are_kept(tmp_path: Path) -> None:
    dropped = ["-vf", "select='not(between(n,3,6))'", "-fps_mode", "vfr"]
    facts, times = assert_is_the_card(encode(tmp_path / "a.mp4", [*dropped, *X264, *YUV420]), within=5)
    assert times == pytest.approx([0, 0.1, 0.2, 0.7, 0.8, 0.9, 1.0, 1.1], abs=2e-3)
    assert facts.is_vfr


def test_interlaced_frames_show_one_moment(tmp_path: Path) -> None:
    weave = "format=yuv420p,tinterlace=interleave_top"
    path = encode(tmp_path / "a.mp4", ["-vf", weave, *X264, "-flags", "+ilme+ildct", "-x264opts", "tff=1"])
    assert_is_the_card(path, within=5)
    _, _, frame = next(iter(Decoder(path=path)))
    assert frame.interlaced_frame
    seen = upright(frame, (WIDTH, HEIGHT), gray=True).astype(float)
    bar = WIDTH * 3 // 8
    first, second = seen[20:60, bar + 1 : bar + 4].mean(), seen[20:60, bar + 7 : bar + 9].mean()
    assert first < 20  # the bar of the first moment, in all lines
    assert second > 50  # none of the second, which stands in every other line of the stored frame


def test_a_field_is_put_where_it_was_filmed() -> None:
    slope = np.add.outer(np.arange(40.0), np.zeros(30)).astype(np.float32)
    np.testing.assert_allclose(between_lines(slope[::2], 40)[3:36], slope[3:36], atol=0.1)


def test_phones_say_what_they_are(tmp_path: Path) -> None:
    said = {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15 Pro",
        "com.apple.quicktime.creationdate": "2025-06-16T15:27:47+0200",
        "com.apple.quicktime.camera.focal_length.35mm_equivalent": "24",
        "creation_time": "2025-07-01T00:00:00Z",
    }
    tags = [part for key, value in said.items() for part in ("-metadata", f"{key}={value}")]
    options = [*X264, *YUV420, *tags, "-movflags", "use_metadata_tags"]
    facts = probe_clip(encode(tmp_path / "a.mov", options))
    assert (facts.make, facts.model, facts.focal_35mm_mm) == ("Apple", "iPhone 15 Pro", 24.0)
    assert facts.created_utc == "2025-06-16T13:27:47Z"
    droid = ["-metadata", "com.android.manufacturer=Google", "-metadata", "com.android.model=Pixel 8"]
    facts = probe_clip(encode(tmp_path / "b.mp4", [*X264, *YUV420, *droid, "-movflags", "use_metadata_tags"]))
    assert (facts.make, facts.model, facts.focal_35mm_mm, facts.created_utc) == ("Google", "Pixel 8", None, None)
