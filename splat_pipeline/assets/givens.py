"""Poses that came with an upload: found, read with suspicion, and kept in ``source_videos``: an upload may go.

given_poses.parquet   a row an image of the job that has a pose
given_cameras.json    lenses by ``lens_id``, for images of the size that they name
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pandas as pd

from splat_pipeline.domain import tables
from splat_pipeline.domain.clip_poses import HOW, ClipFrames, clip_rows
from splat_pipeline.domain.contents import LEAST_IMAGES, Contents, classify, is_image, pose_files
from splat_pipeline.domain.errors import BadPoses
from splat_pipeline.domain.formats import transforms
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.formats.transforms import SizeOf
from splat_pipeline.domain.given import GivenFrame, GivenPoses, lenses_from_json, lenses_json, placed
from splat_pipeline.domain.given_colmap import Known, read_colmap_poses
from splat_pipeline.domain.uploads import Upload, VideoFacts

POSES, CAMERAS = "given_poses.parquet", "given_cameras.json"
Sets = Mapping[str, tuple[str, VideoFacts]]
"""By video_id: clip, or folder of the image set in the upload, and what it is."""
ANY_SIZE = (4096, 4096)


def uploaded_poses(upload: Upload, contents: Contents, sets: Sets, wanted: str) -> GivenPoses | None:
    """Return the poses beside the images of an upload; None where there are none, or they are not ``wanted``.

    ``wanted``: ``poses.source`` of the recipe. Raises ``BadPoses``, ``UnsafeUpload``.
    """
    files = pose_files(contents, wanted)
    if files is None or not sets:
        if wanted in {"nerfstudio", "colmap"}:
            cause = f"poses.source is {wanted}, and there is no such file beside a folder of images"
            raise BadPoses(cause, remedy="Upload it with its images, or set poses.source to auto.")
        return None
    by_name = dict(sets.values())

    def size_of(image: str) -> tuple[int, int]:
        facts = by_name.get(str(PurePosixPath(image).parent)) or by_name.get(image.split("#t=", maxsplit=1)[0])
        if facts is None:
            raise BadPoses(f"{files[1][0]} does not say how large {image} is", file=files[1][0])
        return facts.image_sizes.get(PurePosixPath(image).name, (facts.width_px, facts.height_px))

    clips = [name for name, facts in sets.values() if not facts.images]
    if not clips:
        return _read(upload, files, _images(upload), size_of)
    try:
        return _read(upload, files, ClipFrames(clips), size_of)
    except BadPoses as error:
        raise BadPoses(error.cause, file=error.file, remedy=HOW) from None


def posed_images(upload: Upload, contents: Contents, wanted: str) -> Contents:
    """Return the contents with folders of images in place of the clips, where uploaded poses are of those images."""
    files = pose_files(contents, wanted)
    photos = classify(file.name for file in upload.files if file.name not in set(contents.clips))
    if not contents.clips or files is None or not photos.image_sets:
        return contents
    try:
        given = _read(upload, files, _images(upload), lambda _: ANY_SIZE)  # only the names count here
    except BadPoses:  # they may be of the clips' frames: ``uploaded_poses`` says what is wrong
        return contents
    named = Counter(str(PurePosixPath(frame.name).parent) for frame in given.frames)
    if not any(named[folder] >= LEAST_IMAGES for folder in photos.image_sets):
        return contents
    why = dict.fromkeys(contents.clips, "the poses are of images beside it")
    return replace(photos, ignored={**photos.ignored, **why})


def _images(upload: Upload) -> dict[str, int]:
    return {file.name: file.size_bytes for file in upload.files if is_image(file.name)}


def _read(upload: Upload, files: tuple[str, list[str]], known: Known, size_of: SizeOf) -> GivenPoses:
    (kind, names), location = files, Path(upload.location)
    if kind == "colmap":
        place = str(PurePosixPath(names[0]).parent)
        return read_colmap_poses(location / place, place, known)
    return _merged([_read_transforms(location, name, known, size_of) for name in names])


def _read_transforms(location: Path, name: str, known: Collection[str], size_of: SizeOf) -> GivenPoses:
    with (location / name).open("rb") as stream:
        text = stream.read(transforms.MAX_BYTES + 1)
    return transforms.read_transforms(text, file=name, images=known, size_of=size_of)


def _merged(parts: Sequence[GivenPoses]) -> GivenPoses:
    """Put the parts of one set (transforms_train.json, ..._val.json) together; the first pose of an image counts."""
    if len(parts) == 1:
        return parts[0]
    cameras: dict[ColmapCamera, int] = {}
    frames: dict[str, GivenFrame] = {}
    for part in parts:
        for frame in part.frames:
            camera_id = cameras.setdefault(part.cameras[frame.camera_id], len(cameras))
            frames.setdefault(frame.name, frame.with_camera(camera_id))
    return GivenPoses(
        source=parts[0].source,
        cameras={number: camera for camera, number in cameras.items()},
        frames=list(frames.values()),
        warnings=[warning for part in parts for warning in part.warnings],
    )


def write_given(folder: Path, given: GivenPoses, sets: Sets) -> set[str]:
    """Write both files and return the ids of the image sets that have poses. Raises ``BadPoses`` where none has."""
    rows = placed(given, {video_id: (place, facts.images) for video_id, (place, facts) in sets.items()})
    rows += clip_rows(given, {video_id: name for video_id, (name, facts) in sets.items() if not facts.images})
    if not rows:
        example = given.frames[0].name if given.frames else "none"
        raise BadPoses(f"no image of the job has a pose, though {len(given.frames)} have one, such as {example}")
    tables.write_table(folder / POSES, tables.GIVEN, rows)
    (folder / CAMERAS).write_text(json.dumps(lenses_json(given.cameras), indent=1))
    return {str(row["video_id"]) for row in rows}


def read_given(folder: Path) -> tuple[pd.DataFrame, dict[int, ColmapCamera]] | None:
    """Invert ``write_given``: rows of ``tables.GIVEN`` and lenses; None where nothing was given."""
    if not (folder / POSES).is_file():
        return None
    rows = tables.read_table(folder / POSES, tables.GIVEN)
    return rows, lenses_from_json(json.loads((folder / CAMERAS).read_text()))
