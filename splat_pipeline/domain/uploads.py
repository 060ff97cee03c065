"""What an upload is, and what its files say of themselves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from splat_pipeline.domain.errors import EmptyUpload, InputError, UnsafeUpload


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


CLIP_SUFFIXES = frozenset(
    [".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mj2", ".m4a", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts"]
)
IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".tif", ".tiff", ".heic", ".heif"])
ARCHIVE_SUFFIX = ".zip"
LEAST_IMAGES = 3
"""A folder with fewer images is not taken for a set: it holds a poster or a snapshot beside the clips."""
JOB_FILE = "job.yaml"
BUNDLE_FILE = "bundle.json"
TRACK_SUFFIX = ".srt"
_KNOWN = {
    "transforms.json": "poses",
    "transforms_train.json": "poses",
    "transforms_val.json": "poses",
    "transforms_test.json": "poses",
    "calibration.json": "calibration",
    "calibration.yaml": "calibration",
    "calibration.yml": "calibration",
    "cameras.bin": "colmap",
    "images.bin": "colmap",
    "points3d.bin": "colmap",
    "cameras.txt": "colmap",
    "images.txt": "colmap",
    "points3d.txt": "colmap",
}
_BESIDE = {TRACK_SUFFIX: "subtitles", ARCHIVE_SUFFIX: "zip"}
_JUNK = re.compile(r"(^|/)(\.[^/]*|Thumbs\.db|desktop\.ini|__MACOSX/.*|[^/]*\.(part|crdownload|tmp))$", re.IGNORECASE)
_PAPERS = re.compile(r"(^|/)((README|LICEN[CS]E|NOTICE|COPYING)[^/]*|reference/.*)$", re.IGNORECASE)
_HIDDEN = re.compile(r"(^|/)\.[^/]+/")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What the files of an upload are."""

    clips: tuple[str, ...] = ()
    """Names of the clips that make the job, in natural order."""
    image_sets: tuple[str, ...] = ()
    """Folders of images, "." for the upload itself; used only when there is no clip."""
    archive: str | None = None
    """The zip that holds the job, where there is neither."""
    bundle: bool = False
    """It was prepared elsewhere: see ``domain.bundles``."""
    job_file: str | None = None
    found: Mapping[str, str] = field(default_factory=dict)
    """Other known inputs: name to kind."""
    ignored: Mapping[str, str] = field(default_factory=dict)
    """Everything else: name to reason."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What the job is made of: its clips, or else its folders of images."""
        return self.clips or self.image_sets


def is_junk(name: str) -> bool:
    """Tell whether a file is a side effect of an operating system or an upload: no part of the content."""
    return bool(_JUNK.search(name) or _HIDDEN.search(name))


def classify(names: Iterable[str]) -> Contents:
    """Return what the files of an upload are, judged by their names alone. Clips win over images, both over a zip."""
    clips, found, ignored = [], {}, {}
    images: dict[str, list[str]] = {}
    job_file = None
    names = natural_order(names)
    if BUNDLE_FILE in names:
        return Contents(bundle=True, job_file=JOB_FILE if JOB_FILE in names else None)
    for name in names:
        path = PurePosixPath(name)
        if is_junk(name):
            ignored[name] = "junk"
        elif _PAPERS.search(name):
            ignored[name] = "papers and references"
        elif name == JOB_FILE:
            job_file = name
        elif path.name.lower() in _KNOWN:
            found[name] = _KNOWN[path.name.lower()]
        elif path.suffix.lower() in _BESIDE:
            found[name] = _BESIDE[path.suffix.lower()]
        elif path.suffix.lower() in CLIP_SUFFIXES:
            clips.append(name)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            images.setdefault(str(path.parent), []).append(name)
        else:
            ignored[name] = "unknown kind"
    sets = [] if clips else [folder for folder, members in images.items() if len(members) >= LEAST_IMAGES]
    why = "images beside clips" if clips else f"fewer than {LEAST_IMAGES} images in the folder"
    ignored |= {name: why for folder, members in images.items() if folder not in sets for name in members}
    zips = [name for name, kind in found.items() if kind == "zip"]
    return Contents(
        clips=tuple(clips),
        image_sets=tuple(natural_order(sets)),
        archive=zips[0] if len(zips) == 1 and not clips and not sets else None,
        job_file=job_file,
        found=found,
        ignored=ignored,
    )


def require_content(contents: Contents, title: str) -> None:
    """Raise ``EmptyUpload`` when there is no clip, no set of images and no zip, saying what there is instead."""
    if contents.sources or contents.archive or contents.bundle:
        return
    zips = [name for name, kind in contents.found.items() if kind == "zip"]
    if zips:
        cause = f"{len(zips)} zips ({zips[0]}, {zips[1]}), and only one is unpacked"
        raise EmptyUpload(cause, file=zips[0], remedy="Put the files into one zip, or into a folder without.")
    others = [name for name, why in contents.ignored.items() if why != "junk"]
    seen = f"it holds {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}" if others else "it is empty"
    raise EmptyUpload(f"no clip and no folder of {LEAST_IMAGES} or more images in {title!r}: {seen}", file=title)


def is_content(name: str) -> bool:
    """Tell whether a file can be part of a job: a clip, a photo, poses, a calibration or the job's settings."""
    path = PurePosixPath(name)
    known = name == JOB_FILE or path.name.lower() in _KNOWN
    return (known or path.suffix.lower() in CLIP_SUFFIXES | IMAGE_SUFFIXES | {TRACK_SUFFIX}) and not is_junk(name)


def is_image(name: str) -> bool:
    """Tell whether a file can be a photo of the job."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES and not is_junk(name)


def pose_files(contents: Contents, wanted: str) -> tuple[str, list[str]] | None:
    """Return which poses of an upload to take: "colmap" and a file of its folder, or "nerfstudio" and its files.

    ``wanted``: ``poses.source`` of the recipe; "auto" takes COLMAP's first, for nerfstudio's are made from them. Of
    several places the least deep one, then the first in order. None where there is nothing.
    """
    folders: dict[tuple[str, str], list[str]] = {}
    for name, kind in contents.found.items():
        if kind in {"poses", "colmap"}:
            folders.setdefault((kind, str(PurePosixPath(name).parent)), []).append(name)
    models = [
        (folder, names)
        for (kind, folder), names in folders.items()
        if kind == "colmap"
        and any({f"cameras{end}", f"images{end}"} <= {n.rsplit("/", 1)[-1] for n in names} for end in (".bin", ".txt"))
    ]
    files = [(folder, names) for (kind, folder), names in folders.items() if kind == "poses"]
    for kind, found in (("colmap", models), ("nerfstudio", files)):
        if found and wanted in {"auto", kind}:
            _, names = min(found, key=lambda each: (0 if each[0] == "." else each[0].count("/") + 1, each[0]))
            whole = [name for name in names if name.rsplit("/", 1)[-1] == "transforms.json"]
            return kind, whole or natural_order(names)
    return None


def subtitles_of(contents: Contents, clip: str) -> str | None:
    """Return the file of subtitles beside a clip that is called like it; None where there is none, and for a folder."""
    if clip not in contents.clips:
        return None
    wanted = str(PurePosixPath(clip).with_suffix("")).casefold()
    beside = [name for name, kind in contents.found.items() if kind == "subtitles"]
    return next((name for name in beside if str(PurePosixPath(name).with_suffix("")).casefold() == wanted), None)


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


def unchanged(upload: Upload, name: str, size_bytes: int) -> None:
    """Raise ``InputError`` when a clip, or the images of a set, have another size than when the job was made."""
    sizes = {file.name: file.size_bytes for file in upload.files}
    inside = {file: size for file, size in sizes.items() if is_image(file) and str(PurePosixPath(file).parent) == name}
    listed = sizes[name] if name in sizes else sum(inside.values())
    if size_bytes != listed:
        cause = f"{name} has {size_bytes} bytes now and had {listed} when the job was made"
        raise InputError(cause, file=name, remedy="Upload again, as a new job, when the copy is complete.")


def facts_of(row: Mapping[str, Any], *, images: Sequence[str] = ()) -> VideoFacts:
    """Return the facts that a row of ``tables.VIDEOS`` was written from."""
    known = {key: row[key] for key in VideoFacts.__dataclass_fields__ if key in row and not _is_null(row[key])}
    whole = {key: int(known[key]) for key in known if key in _WHOLE}
    return VideoFacts(**{**known, **whole, "images": tuple(images)})


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124  # NaN


_WHOLE = {"width_px", "height_px", "rotation_deg", "frame_count", "bit_depth"}
"""pandas turns whole numbers beside nulls into floats."""
