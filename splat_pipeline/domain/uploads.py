"""What an upload is, and what its files say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class UploadFile:
    """One regular file of an upload."""

    name: str
    """Path relative to the upload, with / between folders."""
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One job's input: where it lies and what it holds."""

    job: str
    """Partition key: slug + 8 hex of the content."""
    title: str
    """The name that its owner gave it; shown, never used as a path."""
    location: str
    """Folder (absolute path or URL) that ``files`` are relative to."""
    files: tuple[UploadFile, ...]
    managed: bool = False
    """It came through the inbox: after the end it moves to processed/ or error/."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Upload:
        """Invert ``to_json``."""
        return cls(**{**data, "files": tuple(UploadFile(**f) for f in data["files"])})


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What a container says of a clip, or a folder of images of itself. Unknown is None, never zero."""

    container: str
    """Short name; "images" for a folder of images."""
    codec: str | None = None
    width_px: int
    """As shown, after rotation."""
    height_px: int
    rotation_deg: int = 0
    fps: float | None = None
    is_vfr: bool | None = None
    duration_s: float | None = None
    frame_count: int | None = None
    bit_depth: int | None = None
    transfer: str | None = None
    created_utc: str | None = None
    make: str | None = None
    model: str | None = None
    focal_35mm_mm: float | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    alt_m: float | None = None
    images: tuple[str, ...] = field(default=())
    """Names of the images of a set, in natural order; empty for a clip."""
