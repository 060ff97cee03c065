"""The encoder's contract: what comes out plays, what goes wrong is named and leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from resources.movies import FfmpegWriter
from splat_pipeline.domain.errors import ToolCrashed, ToolError, ToolTimeout


def ramp(frames: int, height: int = 90, width: int = 160) -> Iterator[np.ndarray]:
    for i in range(frames):
        yield np.full((height, width, 3), [i * 255 // max(frames - 1, 1), 128, 30], np.uint8)


def test_a_film_keeps_colours_order_times_and_starts_before_it_is_loaded(tmp_path: Path) -> None:
    FfmpegWriter().write(tmp_path / "a.mp4", ramp(12), fps=10)
    with av.open(str(tmp_path / "a.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        pictures = [(frame.time, frame.to_ndarray(format="rgb24").mean(axis=(0, 1))) for frame in film.decode(video=0)]
    np.testing.assert_allclose([t for t, _ in pictures], np.arange(12) / 10, atol=1e-3)
    np.testing.assert_allclose([c[0] for _, c in pictures], np.arange(12) * 255 // 11, atol=6)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        FfmpegWriter().write(tmp_path / name, ramp(5), fps=10)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_film_carries_its_title_in_one_line_and_is_read_back(tmp_path: Path) -> None:
    FfmpegWriter().write(tmp_path / "a.mp4", ramp(12), fps=10, title="Garden; metadata=x\n(reduced detail)")
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert film.metadata["title"] == "Garden; metadata=x (reduced detail)"
    found = FfmpegWriter().read_back(tmp_path / "a.mp4")
    assert (found.codec, found.fps, found.seconds) == ("h264", 10.0, pytest.approx(1.2))
    assert len(found.luma) == 12
    assert len(found.change) == 11
    assert found.luma[0] < found.luma[-1]
    assert min(found.change) > 1


def test_what_is_no_film_cannot_be_read_back(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"half a film")
    with pytest.raises(ToolError, match="cannot be read back"):
        FfmpegWriter().read_back(tmp_path / "a.mp4")


def test_an_odd_border_is_cut_off(tmp_path: Path) -> None:
    FfmpegWriter().write(tmp_path / "a.mp4", ramp(3, 91, 161), fps=10)
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (160, 90)


def test_no_frames_are_no_film(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no frames"):
        FfmpegWriter().write(tmp_path / "a.mp4", iter([]), fps=10)


def test_what_the_encoder_said_is_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ToolCrashed, match="No such file or directory"):
        FfmpegWriter().write(tmp_path / "absent" / "a.mp4", ramp(400), fps=10)


def test_frames_of_different_sizes_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    frames = iter([np.zeros((90, 160, 3), np.uint8), np.zeros((80, 160, 3), np.uint8)])
    with pytest.raises(ValueError, match="one size"):
        FfmpegWriter().write(tmp_path / "a.mp4", frames, fps=10)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_one_who_draws_passes_through_and_nothing_is_left(tmp_path: Path) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from ramp(3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        FfmpegWriter().write(tmp_path / "a.mp4", frames(), fps=10)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = tmp_path / "hang"
    hang.write_text(f"#!{sys.executable}\nimport sys, time\nsys.stdin.buffer.read()\ntime.sleep(60)\n")
    hang.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(hang))
    with pytest.raises(ToolTimeout, match="did not finish"):
        FfmpegWriter(finish_s=0.2).write(tmp_path / "a.mp4", ramp(2), fps=10)
