"""What an upload is, and what its files say of themselves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from splat_pipeline.domain.errors import UnsafeUpload
from splat_pipeline.domain.wishes import Wishes


@dataclass(frozen=True, kw_only=True)
class UploadFile:
    """One regular file of an upload."""

    name: str
    """Path relative to the upload, with / between folders."""
    size_bytes: int
    ends: str = ""
    """sha256 of what identifies it: its first and last megabyte."""


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
    content: str = ""
    """sha256 of the files' names, sizes and ends, and of what ``job.yaml`` asks of the result."""
    entry: str = ""
    """Name of the entry of the inbox that it came as."""
    stamp: str = ""
    """How that entry looked when it was listed."""
    wishes: Wishes = field(default_factory=Wishes)
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What ``job.yaml`` asks of the result, as it stands there; nobody has looked yet whether it can be."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Upload:
        """Invert ``to_json``."""
        files = tuple(UploadFile(**f) for f in data["files"])
        return cls(**{**data, "files": files, "wishes": Wishes(**data.get("wishes", {}))})


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
    mirrored: bool | None = None
    fps: float | None = None
    is_vfr: bool | None = None
    duration_s: float | None = None
    frame_count: int | None = None
    bit_depth: int | None = None
    transfer: str | None = None
    color_primaries: str | None = None
    color_range: str | None = None
    created_utc: str | None = None
    make: str | None = None
    model: str | None = None
    focal_35mm_mm: float | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    alt_m: float | None = None
    images: tuple[str, ...] = field(default=())
    """Names of the images of a set, in natural order; empty for a clip."""
    image_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Width and height in px of each image, upright, where they were read."""
    image_lenses: Mapping[str, str] = field(default_factory=dict)
    """What each image was taken through, where its EXIF tells."""
    rejected: Mapping[str, str] = field(default_factory=dict)
    """Images of the set that cannot be used: name to reason."""


def slug(name: str) -> str:
    """Return ``name`` as [a-z0-9-]{1,40}; accents are dropped, what is left empty becomes "upload"."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:60].strip("-")[:40].strip("-") or "upload"


def job_key(title: str, content_digest: str) -> str:
    """Return the partition key: a slug of the title and the first 8 hex digits of the content's sha256."""
    if not re.fullmatch(r"[0-9a-f]{8,}", content_digest):
        raise ValueError(f"a content digest is lower case hex of 8 digits or more, got {content_digest!r}")
    return f"{slug(title)}-{content_digest[:8]}"


def safe_name(name: str) -> str:
    """Return ``name`` when it stays in its folder. Raises ``UnsafeUpload`` otherwise.

    A leading "-" or a quote is fine: no name ever becomes part of a shell line.
    """
    parts = name.split("/")
    if not name or name.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise UnsafeUpload(f"the name {name!r} leaves the upload", file=repr(name))
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name) or "\\" in name:
        raise UnsafeUpload(f"the name {name!r} holds control characters or a backslash", file=repr(name))
    return name


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort so that clip2 comes before clip10; ties are broken by the plain order, so the result is unique."""
    return sorted(names, key=lambda name: (_natural_key(name), name))


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def video_ids(names: Sequence[str]) -> list[str]:
    """Return a slug for each name, unique among them, in their order."""
    taken: set[str] = set()
    out = []
    for name in names:
        path = PurePosixPath(name)
        base = "images" if name == "." else slug(str(path.with_suffix("")) if path.suffix else name)
        candidate, count = base, 1
        while candidate in taken:
            count += 1
            candidate = f"{base[: 39 - len(str(count))]}-{count}"
        taken.add(candidate)
        out.append(candidate)
    return out


def facts_of(row: Mapping[str, Any], *, images: Sequence[str] = ()) -> VideoFacts:
    """Return the facts that a row of ``tables.VIDEOS`` was written from."""
    known = {key: row[key] for key in VideoFacts.__dataclass_fields__ if key in row and not _is_null(row[key])}
    whole = {key: int(known[key]) for key in known if key in _WHOLE}
    return VideoFacts(**{**known, **whole, "images": tuple(images)})


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124  # NaN


_WHOLE = {"width_px", "height_px", "rotation_deg", "frame_count", "bit_depth"}
"""pandas turns whole numbers beside nulls into floats."""
