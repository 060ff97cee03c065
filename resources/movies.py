"""Films for people: H.264 by the ffmpeg that comes in a wheel."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import ToolCrashed, ToolError, ToolTimeout
from splat_pipeline.domain.metrics.exports import Film

_TAIL_LINES = 200


class FfmpegWriter:
    """Fulfils ``MovieWriter``. Frames go through a pipe, one at a time: none is written to a disk before."""

    def __init__(self, *, crf: int = 23, finish_s: float = 120) -> None:
        """``crf``: x264's quality, lower is better. ``finish_s``: what the encoder may take after the last frame."""
        self._crf, self._finish_s = crf, finish_s

    def write(self, path: Path, frames: Iterator[NDArray[np.uint8]], *, fps: int, title: str = "") -> None:
        """Write (H, W, 3) RGB frames; an odd row or column at the border is cut off, as yuv420p needs even sizes.

        Raises ``ToolError`` with the encoder's last lines. Half a film is removed, the child killed, whatever happens.
        """
        first = next(frames, None)
        if first is None:
            raise ToolError(f"{path.name} has no frames to encode", file=path.name)
        height_px, width_px = first.shape[:2]
        done = False
        try:
            with tempfile.TemporaryFile() as log:
                arguments = self._arguments(path, size_px=(width_px, height_px), fps=fps, title=title)
                self._run(arguments, chain([first], frames), log, name=path.name)
            done = True
        finally:
            if not done:
                path.unlink(missing_ok=True)

    def read_back(self, path: Path) -> Film:
        """See ``MovieWriter``."""
        import av

        luma: list[float] = []
        change: list[float] = []
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                codec, fps = stream.codec_context.name, float(stream.average_rate or 0)
                before: NDArray[np.float32] | None = None
                for frame in container.decode(stream):
                    now = frame.to_ndarray(format="gray").astype(np.float32)
                    luma.append(float(now.mean()))
                    if before is not None:
                        change.append(float(np.abs(now - before).mean()))
                    before = now
        except (av.FFmpegError, IndexError) as error:
            raise ToolError(f"{path.name} cannot be read back: {error}", file=path.name) from None
        return Film(codec=codec, fps=fps, seconds=len(luma) / fps if fps else 0.0, luma=luma, change=change)

    def _arguments(self, path: Path, *, size_px: tuple[int, int], fps: int, title: str) -> list[str]:
        import ffmpeg
        import imageio_ffmpeg

        raw = ffmpeg.input("pipe:0", format="rawvideo", pix_fmt="rgb24", s="{}x{}".format(*size_px), framerate=fps)
        even = raw.filter("crop", "trunc(iw/2)*2", "trunc(ih/2)*2")
        # bitexact leaves the encoder's version out: the same frames give the same bytes.
        film = even.output(
            str(path), vcodec="libx264", crf=self._crf, preset="medium", pix_fmt="yuv420p", movflags="+faststart",
            fflags="+bitexact", map_metadata=-1, **({"metadata": f"title={_one_line(title)}"} if title else {}),
        )  # fmt: skip
        quiet = film.global_args("-hide_banner", "-loglevel", "error", "-nostats").overwrite_output()
        arguments: list[str] = quiet.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
        return arguments

    def _run(self, arguments: list[str], frames: Iterator[NDArray[np.uint8]], log: IO[bytes], *, name: str) -> None:
        # The log is a file, as a full pipe would stop the child. The child reads our pipe and ends when we do.
        child = subprocess.Popen(  # noqa: S603  # an argument list; the program is the wheel's own
            arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
        )
        assert child.stdin is not None
        try:
            try:
                _feed(child.stdin, frames)
            except BrokenPipeError:
                child.wait(self._finish_s)
                raise ToolCrashed(f"ffmpeg gave up on {name}: {_tail(log)}", file=name) from None
            if child.wait(self._finish_s) != 0:
                raise ToolCrashed(f"ffmpeg ended with {child.returncode} on {name}: {_tail(log)}", file=name)
        except subprocess.TimeoutExpired:
            raise ToolTimeout(f"ffmpeg did not finish {name} in {self._finish_s:g} s: {_tail(log)}") from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            if not child.stdin.closed:
                _close(child.stdin)


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _feed(pipe: IO[bytes], frames: Iterator[NDArray[np.uint8]]) -> None:
    shape = None
    for frame in frames:
        shape = shape or frame.shape
        if frame.dtype != np.uint8 or frame.shape != shape or len(shape) != 3 or shape[2] != 3:
            raise ValueError(
                f"frames must be uint8 (H, W, 3) of one size, got {frame.dtype} {frame.shape} after {shape}"
            )
        pipe.write(np.ascontiguousarray(frame).data)
    pipe.close()


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # the child is gone and its failure was reported: what was still buffered has no reader


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:]) or "no message"
