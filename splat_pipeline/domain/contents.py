"""What the files of an upload are, judged by their names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from splat_pipeline.domain.errors import EmptyUpload, InputError
from splat_pipeline.domain.uploads import Upload, natural_order

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
    "rigs.bin": "colmap",
    "rigs.txt": "colmap",
    "frames.bin": "colmap",
    "frames.txt": "colmap",
}
_BESIDE = {TRACK_SUFFIX: "subtitles", ARCHIVE_SUFFIX: "zip"}
_PARTIAL = re.compile(
    # of browsers, FTP programs and the like; then rsync's, which end in six letters or digits
    r"(^|/)([^/]*\.(part|partial|crdownload|download|filepart|tmp|temp|!ut)|\.[^/]+\.[A-Za-z0-9]{6})$",
    re.IGNORECASE,
)
_JUNK = re.compile(r"(^|/)(\.[^/]*|~\$[^/]*|Thumbs\.db|ehthumbs\.db|desktop\.ini|__MACOSX/.*)$", re.IGNORECASE)
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
    return bool(_JUNK.search(name) or _HIDDEN.search(name) or _PARTIAL.search(name))


def is_partial(name: str) -> bool:
    """Tell whether a file is the half of one that is still on its way."""
    return bool(_PARTIAL.search(name))


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


def unchanged(upload: Upload, name: str, size_bytes: int) -> None:
    """Raise ``InputError`` when a clip, or the images of a set, have another size than when the job was made."""
    sizes = {file.name: file.size_bytes for file in upload.files}
    inside = {file: size for file, size in sizes.items() if is_image(file) and str(PurePosixPath(file).parent) == name}
    listed = sizes[name] if name in sizes else sum(inside.values())
    if size_bytes != listed:
        cause = f"{name} has {size_bytes} bytes now and had {listed} when the job was made"
        raise InputError(cause, file=name, remedy="Upload again, as a new job, when the copy is complete.")
