"""``MediaReader`` over PyAV (clips) and Pillow (folders of images)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resources.ahead import ahead
from resources.archives import unpack
from resources.clip_probe import probe_clip
from resources.clips import Decoder, find_frames, paced
from resources.inbox import sha256_of
from resources.measures import Meter
from resources.photos import image_names, load_image, probe_images
from resources.positions import track_of_clip, track_of_images
from resources.upright import fitted, upright
from splat_pipeline.domain.errors import BadTable, UnreadableMedia
from splat_pipeline.domain.frames import FrameMeasure, FrameRef
from splat_pipeline.domain.positions import Track
from splat_pipeline.domain.tables import ALL, FEATURES, read_table
from splat_pipeline.domain.uploads import VideoFacts

if TYPE_CHECKING:
    from splat_pipeline.ports.progress import Say

THUMBNAIL_PX = 160
_SPECS = {spec.name: spec for spec in ALL}
AHEAD = 8
"""Frames at analysis size that wait to be measured while the next are decoded."""


@dataclass(frozen=True, kw_only=True)
class PyAvReader:
    """Reads clips and image sets of an upload, in this process: see ``GuardedReader`` for what is not trusted yet."""

    threads: int = 1
    """Of the decoder; with more than one a damaged clip ends in ``DamagedError``."""

    @property
    def clips_at_once(self) -> int:
        """See ``MediaReader``: one, in this process."""
        return 1

    def probe(self, path: Path) -> VideoFacts:
        """See ``MediaReader``."""
        return probe_images(path) if path.is_dir() else probe_clip(path)

    def positions(self, path: Path, facts: VideoFacts, *, subtitles: Path | None) -> Track | None:
        """See ``MediaReader``."""
        return track_of_images(path, facts.images) if facts.images else track_of_clip(path, subtitles)

    def unpack(self, path: Path, folder: Path) -> int:
        """See ``MediaReader``."""
        return unpack(path, folder)

    def check_tables(self, folder: Path) -> None:
        """See ``MediaReader``."""
        for path in sorted(folder.rglob("*.parquet")):
            spec = FEATURES if path.parent.name == FEATURES.name else _SPECS.get(path.stem)
            if spec is None:
                raise BadTable(f"{path.name} is no table of the pipeline", file=path.name)
            read_table(path, spec)

    def digest(self, path: Path) -> tuple[str, int]:
        """See ``MediaReader``."""
        if not path.is_dir():
            return sha256_of(path)
        total, listing = 0, hashlib.sha256()
        for name in image_names(path):
            digest, size = sha256_of(path / name)
            listing.update(f"{name}\0{size}\0{digest}\n".encode())
            total += size
        return listing.hexdigest(), total

    def measure(
        self, path: Path, facts: VideoFacts, *, fps: float, longer_side_px: int, say: Say
    ) -> Iterator[FrameMeasure]:
        """See ``MediaReader``. Raises ``UnreadableMedia`` when fewer frames decode than two and than are claimed."""
        if facts.images:
            yield from _measure_images(path, facts, longer_side_px=longer_side_px, say=say)
            return
        decoder, meter, count = Decoder(path=path, threads=self.threads), Meter(), 0
        size = fitted(facts.width_px, facts.height_px, longer_side_px)
        small = fitted(facts.width_px, facts.height_px, THUMBNAIL_PX)
        frames = (
            (index, pts_s, upright(frame, size, gray=True), upright(frame, small, gray=False))
            for index, pts_s, frame in paced(decoder, fps=fps, native_fps=facts.fps)
        )
        for index, pts_s, gray, thumbnail in ahead(frames, depth=AHEAD):
            yield meter.measure(index, pts_s, gray, thumbnail)
            count += 1
        if decoder.damaged:
            problems = f" ({'; '.join(decoder.problems)})" if decoder.problems else ""
            say(f"{path.name}: {decoder.damaged} packets or frames are damaged and were left out{problems}")
        if count < min(2, facts.frame_count or 1):
            raise UnreadableMedia(f"{path.name}: {count} of {facts.frame_count} frames decode", file=path.name)

    def extract(
        self,
        path: Path,
        facts: VideoFacts,
        frames: Sequence[FrameRef],
        folder: Path,
        *,
        longer_side_px: int,
        quality: int,
    ) -> list[tuple[str, int, int]]:
        """See ``MediaReader``. Raises ``UnreadableMedia`` when a frame is not found."""
        written: dict[str, tuple[str, int, int]] = {}
        if facts.images:
            for ref in frames:
                picture = load_image(path / facts.images[ref.frame_index], longer_side_px)
                written[ref.name] = _write(picture, folder, ref, quality=quality)
        else:
            size = fitted(facts.width_px, facts.height_px, longer_side_px)
            for ref, frame in find_frames(Decoder(path=path, threads=self.threads), frames):
                written[ref.name] = _write(upright(frame, size, gray=False), folder, ref, quality=quality)
        return [written[ref.name] for ref in frames]


def _measure_images(path: Path, facts: VideoFacts, *, longer_side_px: int, say: Say) -> Iterator[FrameMeasure]:
    import cv2

    meter = Meter()
    for index, name in enumerate(facts.images):
        try:
            picture = load_image(path / name, longer_side_px)
        except UnreadableMedia as error:
            say(error.cause)
            continue
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(picture, fitted(gray.shape[1], gray.shape[0], THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        yield meter.measure(index, float(index), gray, small)


def _write(picture: NDArray[np.uint8], folder: Path, ref: FrameRef, *, quality: int) -> tuple[str, int, int]:
    from PIL import Image

    name = f"{ref.name}.jpg"
    Image.fromarray(picture).save(folder / name, quality=quality, subsampling=0)
    return name, picture.shape[1], picture.shape[0]
