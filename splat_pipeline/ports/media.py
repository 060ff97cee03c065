"""Who reads clips and photos, and writes films and contact sheets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.camera_paths import CameraPath
from splat_pipeline.domain.frames import FrameMeasure, FrameRef
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.metrics.exports import Film
from splat_pipeline.domain.positions import Track
from splat_pipeline.domain.uploads import VideoFacts
from splat_pipeline.ports.progress import Say


class MediaReader(Protocol):
    """Clips and folders of images."""

    @property
    def clips_at_once(self) -> int:
        """How many clips may be measured at the same time, from threads of the caller."""
        ...

    def probe(self, path: Path) -> VideoFacts:
        """Read what the container says of a clip (file) or image set (folder).

        Raises ``InputError`` naming the file.
        """
        ...

    def positions(self, path: Path, facts: VideoFacts, *, subtitles: Path | None) -> Track | None:
        """Return where the camera was, as photos or a clip's own tracks say, or the ``subtitles`` beside a clip.

        None where nothing is said. Raises ``InputError``.
        """
        ...

    def unpack(self, path: Path, folder: Path) -> int:
        """Unpack what a zip holds of a job into ``folder``, an empty one; return how many files.

        Raises ``UnsafeUpload``, ``UnsupportedMedia``, ``UnreadableMedia``, ``EmptyUpload``, ``DiskFull``.
        """
        ...

    def digest(self, path: Path) -> tuple[str, int]:
        """Return sha256 and size in bytes of a clip, or of the listing and all images of a set."""
        ...

    def check_tables(self, folder: Path) -> None:
        """Read every Parquet file below ``folder``. Raises ``BadTable`` naming one that is no table of the pipeline."""
        ...

    def measure(
        self, path: Path, facts: VideoFacts, *, fps: float, longer_side_px: int, say: Say
    ) -> Iterator[FrameMeasure]:
        """Decode once and measure up to ``fps`` frames a second (every image of a set), in order of time."""
        ...

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
        """Write each frame as ``folder/<FrameRef.name>.jpg``, upright.

        Returns (file name, width_px, height_px) of each.
        """
        ...


class SheetMaker(Protocol):
    """Pictures for people."""

    def contact_sheet(
        self,
        images: Sequence[NDArray[np.uint8]],
        captions: Sequence[str],
        path: Path,
        *,
        marked: Sequence[bool] | None = None,
    ) -> None:
        """Write small ``images`` (H, W, 3) RGB in a grid with their captions as a JPEG, ``marked`` ones framed."""
        ...


class MovieWriter(Protocol):
    """Encodes pictures."""

    def write(self, path: Path, frames: Iterator[NDArray[np.uint8]], *, fps: int, title: str = "") -> None:
        """Write (H, W, 3) RGB frames as H.264 yuv420p MP4 that plays while it loads. Raises ``ToolError``.

        ``title``: what players show.
        """
        ...

    def read_back(self, path: Path) -> Film:
        """Return what a film that was written holds, every frame decoded. Raises ``ToolError``."""
        ...


class PathDrawer(Protocol):
    """A renderer other than ours that can draw the preview."""

    @property
    def name(self) -> str:
        """As in settings and metadata."""
        ...

    def frames(
        self, gaussians: Gaussians, path: CameraPath, *, fps: int, folder: Path, say: Say
    ) -> Iterator[NDArray[np.uint8]]:
        """Give the view of every camera of ``path``, (H, W, 3) RGB of its size, one at a time. Raises ``ToolError``.

        ``folder`` is where it works if it has to write: there is room for it, and what a killed one left goes with it.
        """
        ...


class PathDrawers(Protocol):
    """Who can draw the preview in this installation."""

    def chosen(self, asked: str) -> PathDrawer | None:
        """Return who draws when ``asked`` is wanted (auto, own or a name); None: our own renderer.

        Raises ``ToolMissing``: it was asked for by name and is not there.
        """
        ...
