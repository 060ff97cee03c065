"""What a clip says of itself, held against its first frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resources.clips import MOST_HOURS, Decoder, opened
from resources.upright import orientation_of, shown_size
from splat_pipeline.domain.errors import TooLong, TooSmall, UnreadableMedia
from splat_pipeline.domain.media import primaries_name, range_name, tags_of, transfer_name
from splat_pipeline.domain.uploads import VideoFacts

LEAST_SIDE_PX = 160


def probe_clip(path: Path) -> VideoFacts:
    """Return what the container says of a clip, and its first frame. Raises ``InputError`` naming the file."""
    with opened(path) as (container, stream):
        said = _container_facts(container, stream)
        aspect = float(stream.sample_aspect_ratio or 1)
    first = next(iter(Decoder(path=path)), None)
    if first is None:
        raise UnreadableMedia(f"{path.name}: not one frame could be decoded", file=path.name)
    if (said["duration_s"] or 0.0) > MOST_HOURS * 3600:
        hours = said["duration_s"] / 3600
        raise TooLong(f"{path.name} lasts {hours:.1f} hours, at most {MOST_HOURS:g} are read", file=path.name)
    frame = first[2]
    width, height = shown_size(frame, aspect)
    if min(width, height) < LEAST_SIDE_PX:
        raise TooSmall(f"{path.name} shows {width}x{height} px, {LEAST_SIDE_PX} px is the least side", file=path.name)
    return VideoFacts(
        **said,
        width_px=width,
        height_px=height,
        rotation_deg=orientation_of(frame).rotation_deg,
        mirrored=orientation_of(frame).mirrored,
        bit_depth=frame.format.components[0].bits,
        transfer=transfer_name(int(frame.color_trc)),
        color_primaries=primaries_name(int(frame.color_primaries)),
        color_range=range_name(int(frame.color_range)),
    )


def _container_facts(container: Any, stream: Any) -> dict[str, Any]:
    average, base = stream.average_rate, stream.base_rate
    duration = stream.duration * stream.time_base if stream.duration else None
    if duration is None and container.duration:
        duration = container.duration / 1e6
    return {
        "container": container.format.name.split(",")[0],
        "codec": stream.codec_context.name,
        "fps": float(average) if average else None,
        "is_vfr": bool(abs(average / base - 1) > 0.02) if average and base else None,
        "duration_s": float(duration) if duration else None,
        "frame_count": int(stream.frames) or None,
        **tags_of({**stream.metadata, **container.metadata}),
    }
