"""Video files, through PyAV: probed, decoded once and in order, never trusted.

Uploads are opened with an allow-list of demuxers, through a descriptor of a plain file: a playlist named clip.mp4
would make FFmpeg read other files or the network. Frames are picked while decoding; no filter ever invents frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resources.inbox import open_regular
from splat_pipeline.domain.errors import (
    InputError,
    NoVideoStream,
    TooLong,
    UnreadableMedia,
    UnsupportedMedia,
)
from splat_pipeline.domain.frames import FrameRef
from splat_pipeline.domain.media import (
    HEAD_BYTES,
    container_of,
    foreign,
)

DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts"
MAX_PIXELS = 40_000_000
MOST_STREAMS = 64
MOST_HOURS = 4.0
MOST_FRAMES = 1_000_000
"""Four hours at 60 frames a second and a little more; of a clip that tells no duration, or a wrong one."""
_ATTACHED_PICTURE = 0x400
_SAME_PTS_S = 1e-4


@contextmanager
def opened(path: Path, *, threads: int = 1) -> Iterator[tuple[Any, Any]]:
    """Open a clip; give (container, video stream). Raises ``InputError`` with the reason why it is none.

    FFmpeg reads from the descriptor that was found to be a plain file, and may open nothing else.
    """
    import av

    with open_regular(path) as file:
        _sniff(os.pread(file.fileno(), HEAD_BYTES, 0), path.name)
        options = {
            "fd": str(file.fileno()), "protocol_whitelist": "fd", "format_whitelist": DEMUXERS,
            "max_streams": str(MOST_STREAMS),
        }  # fmt: skip
        try:
            container = av.open("fd:", options=options)
        except av.error.FFmpegError as error:
            raise _unopened(path.name, error) from None
        with container:
            yield container, _video_stream(container, path.name, threads=threads)


def _sniff(head: bytes, name: str) -> None:
    if not head:
        raise UnreadableMedia(f"{name} has no bytes: the upload was cut off", file=name)
    if container_of(head) is None:
        kind = foreign(head)
        if kind is not None:
            raise UnsupportedMedia(f"{name} is {kind}, not a clip", file=name)
        raise UnreadableMedia(f"{name} is not a video: it starts with {head[:16]!r}", file=name)


def _unopened(name: str, error: Exception) -> InputError:
    import av

    if isinstance(error, av.error.MemoryError):
        return UnsupportedMedia(f"{name} asks for more memory than a clip may have", file=name)
    why = getattr(error, "strerror", error)
    return UnreadableMedia(f"{name} has no readable index ({why}): it looks like an upload that was cut off", file=name)


def _video_stream(container: Any, name: str, *, threads: int) -> Any:
    real = [s for s in container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE]
    if not real:
        kinds = {"a cover picture" if s.type == "video" else s.type for s in container.streams}
        others = sorted(kinds) or ["nothing"]
        raise NoVideoStream(f"{name} holds no moving pictures, only {', '.join(others)}", file=name)
    stream = real[0]
    context = stream.codec_context
    if context is None or not context.name:
        raise UnsupportedMedia(f"{name} uses a codec that is not built in", file=name)
    if context.width * context.height > MAX_PIXELS:
        raise UnsupportedMedia(f"{name}: {context.width}x{context.height} px, at most {MAX_PIXELS} px", file=name)
    context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "NONE" if threads == 1 else "AUTO"
    context.thread_count = threads
    return stream


class DamagedError(Exception):
    """A clip is damaged and was decoded by several threads: only one of them gives the same frames every time."""


@dataclass(kw_only=True)
class Decoder:
    """Gives the frames of a clip in order of presentation; damage is stepped over and counted.

    With more than one of ``threads`` it gives up at the first damage with ``DamagedError``: a damaged clip gave other
    frames in every run then (and lost the last two of a truncated one), so that a second pass missed what the first
    had chosen. Raises ``TooLong`` after ``MOST_FRAMES``.
    """

    path: Path
    threads: int = 1
    damaged: int = 0
    """Packets and frames that could not be decoded."""
    problems: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[int, float, Any]]:
        """Yield (frame_index, pts_s, frame): the position among decoded frames and the presentation time, rising."""
        with opened(self.path, threads=self.threads) as (container, stream):
            step_s = 1.0 / float(stream.average_rate or stream.guessed_rate or 30)
            is_avi = (
                container.format.name == "avi"
            )  # it stores no presentation times: what passes for them is out of order
            index, first_s, last_s = -1, None, -np.inf
            for frame in self._frames(container, stream):
                index += 1
                ticks = frame.dts if is_avi else frame.pts
                unknown_s = 0.0 if index == 0 else last_s + step_s
                pts_s = unknown_s if ticks is None else float(ticks * (stream if is_avi else frame).time_base)
                if frame.is_corrupt or pts_s <= last_s:
                    self._count()
                    continue
                first_s, last_s = (pts_s if first_s is None else first_s), pts_s
                self._require_short(index, pts_s - first_s)
                yield index, pts_s, frame

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        import av

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.error.FFmpegError as error:
                self._note(str(error.strerror))
                if isinstance(error, av.error.EOFError) or self.damaged > 10_000:
                    return
                continue
            yield from frames

    def _require_short(self, frames: int, seconds: float) -> None:
        name = self.path.name
        if frames >= MOST_FRAMES:
            raise TooLong(f"{name} has more than {MOST_FRAMES} frames", file=name)
        if seconds > MOST_HOURS * 3600:
            raise TooLong(f"{name} goes on for {seconds / 3600:.1f} hours, at most {MOST_HOURS:g} are read", file=name)

    def _count(self) -> None:
        self.damaged += 1
        if self.threads > 1:
            raise DamagedError(self.path.name)

    def _note(self, problem: str) -> None:
        self._count()
        if problem not in self.problems:
            self.problems.append(problem)


def paced(decoder: Decoder, *, fps: float, native_fps: float | None) -> Iterator[tuple[int, float, Any]]:
    """Yield up to ``fps`` frames a second, evenly by presentation time."""
    slack_s = 0.5 / native_fps if native_fps else 0.01
    due_s: float | None = None
    for index, pts_s, frame in decoder:
        if due_s is not None and pts_s < due_s - slack_s:
            continue
        due_s = pts_s if due_s is None else max(due_s, pts_s - 1 / fps)
        due_s += 1 / fps
        yield index, pts_s, frame


def find_frames(decoder: Decoder, wanted: Sequence[FrameRef]) -> Iterator[tuple[FrameRef, Any]]:
    """Yield each wanted frame, in order of time. Raises ``UnreadableMedia`` when one is not there."""
    path, at = decoder.path, 0
    waiting = sorted(wanted, key=lambda ref: ref.pts_s)
    for _, pts_s, frame in decoder:
        if at == len(waiting):
            return
        if pts_s < waiting[at].pts_s - _SAME_PTS_S:
            continue
        if pts_s > waiting[at].pts_s + _SAME_PTS_S:
            break
        yield waiting[at], frame
        at += 1
    if at < len(waiting):
        missing = waiting[at]
        raise UnreadableMedia(f"{path.name}: the frame at {missing.pts_s:.3f} s is not there any more", file=path.name)
