"""Where cameras were, out of photos, clips and the subtitles beside them. All of it comes from outside."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from resources.clips import opened
from resources.inbox import open_regular
from resources.photos import fix_of
from splat_pipeline.domain.errors import UnreadableMedia
from splat_pipeline.domain.formats import gpmf, srt
from splat_pipeline.domain.positions import EXIF, MOST_FIXES, Fix, Track, in_order

_GPMF = b"DEVC"
"""GoPro's telemetry begins so, whatever the container calls the stream."""
_SUBTITLE_BYTES = 8192
MOST_PACKETS = 400_000
"""Subtitles of each frame: 60 a second for nearly two hours."""
MOST_READ = 20 * MOST_FIXES
"""Before they are thinned."""
Read = Callable[[bytes, float, float], list[Fix]]


def track_of_images(folder: Path, images: Sequence[str]) -> Track | None:
    """Return where each photo of a set was taken; None where none says so. Raises ``InputError``."""
    fixes = [fix_of(folder / name, float(at)) for at, name in enumerate(images)]
    return _track(EXIF, fixes)


def track_of_clip(path: Path, subtitles: Path | None) -> Track | None:
    """Return the way of a clip's camera: of the subtitles beside it, or else of a GoPro's telemetry or subtitles in it.

    Raises ``InputError``; subtitles that say nothing of positions are none.
    """
    beside = None if subtitles is None else _track("srt", _beside(subtitles))
    return beside or _inside(path, "data", "gpmf", _telemetry) or _inside(path, "subtitle", "subtitles", _subtitle)


def _beside(path: Path) -> Sequence[Fix]:
    with open_regular(path) as file:
        content = file.read(srt.MAX_BYTES + 1)
    if len(content) > srt.MAX_BYTES:
        cause = f"{path.name} has more than {srt.MAX_BYTES >> 20} MiB"
        raise UnreadableMedia(cause, file=path.name, remedy="Take it out of the upload: the clip is used without it.")
    return srt.read_srt(content.decode("utf-8", "replace"))


def _inside(path: Path, kind: str, source: str, read: Read) -> Track | None:
    """Return the positions in a clip's streams of one ``kind``; None where there is no such stream, or none in it."""
    from av.stream import Discard

    fixes: list[Fix] = []
    with opened(path) as (container, _):
        streams = [stream for stream in container.streams if stream.type == kind]
        if not streams:
            return None
        for stream in container.streams:
            if stream not in streams:
                stream.discard = Discard.all  # the demuxer steps over the pictures without reading them, where it can
        for packet in _packets(container, streams):
            if packet.size and packet.pts is not None and packet.time_base:
                length_s = float((packet.duration or 0) * packet.time_base)
                fixes += read(bytes(packet), float(packet.pts * packet.time_base), length_s)
            if len(fixes) > MOST_READ:
                break
    return _track(source, fixes)


def _packets(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """Yield packets up to the first place where the file is damaged."""
    import av

    packets = container.demux(streams)
    for _ in range(MOST_PACKETS):
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        yield packet


def _telemetry(content: bytes, start_s: float, length_s: float) -> list[Fix]:
    return gpmf.read_gpmf(content, start_s=start_s, length_s=length_s) if content.startswith(_GPMF) else []


def _subtitle(content: bytes, start_s: float, _length_s: float) -> list[Fix]:
    """Read plain text, or QuickTime's: two bytes of length before it (3GPP TS 26.245, section 5.17)."""
    head = content[:_SUBTITLE_BYTES]
    if len(head) >= 2 and struct.unpack(">H", head[:2])[0] in range(1, len(content) - 1):
        head = head[2:]
    fix = srt.position_in(head.decode("utf-8", "replace"), start_s)
    return [] if fix is None else [fix]


def _track(source: str, fixes: Sequence[Fix | None]) -> Track | None:
    ordered = in_order(fixes)
    return Track(source=source, fixes=ordered) if ordered else None
