"""A COLMAP model that was uploaded beside its images, as poses: its points are made anew from our own features.

COLMAP names images relative to the folder that it was given, which may be any folder of the upload.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from splat_pipeline.domain.clip_poses import ClipFrames
from splat_pipeline.domain.errors import BadPoses, CorruptArtifact
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, read_posed
from splat_pipeline.domain.formats.colmap_rigs import Pose, poses_of_frames
from splat_pipeline.domain.formats.colmap_text import read_posed_text
from splat_pipeline.domain.given import GivenFrame, GivenPoses, checked_camera, checked_pose
from splat_pipeline.domain.rigid import quat_from_rotation, rigid, rotation_from_quat
from splat_pipeline.domain.uploads import natural_order

Known = Mapping[str, int] | ClipFrames
MAX_BYTES = 2 << 30
"""Of a file: keypoints of 5,000 images take about 1 GB."""
MAX_IMAGES = 50_000
_NAMED = 5
_PARTS = ("cameras", "images", "rigs", "frames")


def read_colmap_poses(folder: Path, place: str, sizes: Known) -> GivenPoses:
    """Return the poses of the model in ``folder``, which is ``place`` in the upload.

    ``sizes``: bytes of each image of the upload, by name; or the frames of its clips. Raises ``BadPoses``: unreadable,
    not matching, or absurd.
    """
    for path in (folder / f"{part}{ending}" for part in _PARTS for ending in (".bin", ".txt")):
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise BadPoses(f"{place}/{path.name} is larger than {MAX_BYTES >> 30} GiB", file=place)
    binary = (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file()
    try:
        cameras, images = read_posed(folder) if binary else read_posed_text(folder)
        framed = poses_of_frames(folder)
    except (CorruptArtifact, ValueError) as error:
        raise BadPoses(f"{place} is no COLMAP model that can be read: {error}", file=place) from None
    if len(images) > MAX_IMAGES:
        raise BadPoses(f"{place} has {len(images)} images, {MAX_IMAGES} at most are read", file=place)
    found = _matched(
        cameras, {number: _placed(image, framed.get(number)) for number, image in images.items()}, sizes, place
    )
    moved = [image.name for number, image in images.items() if _differ(image, framed.get(number))]
    told = [f"{place}: the poses of {len(moved)} images are those of its frames, which images.* tells otherwise"]
    return replace(found, warnings=[*found.warnings, *(told if moved else [])])


def _placed(image: ColmapImage, pose: Pose | None) -> ColmapImage:
    """Return ``image`` where its frame has it, as COLMAP reads a model; where it is without one."""
    if pose is None:
        return image
    return replace(image, quat=quat_from_rotation(pose[:3, :3]), translation=pose[:3, 3])


def _differ(image: ColmapImage, pose: Pose | None) -> bool:
    """Whether a frame has an image elsewhere; a model without poses of its own in images.* says nothing of it."""
    if pose is None:
        return False
    try:
        own = rotation_from_quat(image.quat)
    except ValueError:
        return True
    reach = 1e-3 * max(1.0, float(np.abs(pose[:3, 3]).max()))
    return bool(np.abs(own - pose[:3, :3]).max() > 1e-3 or np.abs(image.translation - pose[:3, 3]).max() > reach)


def _matched(
    cameras: Mapping[int, ColmapCamera], images: Mapping[int, ColmapImage], sizes: Known, place: str
) -> GivenPoses:
    by_name = {image.name.replace("\\", "/"): image for image in images.values()}
    if len(by_name) < len(images):
        raise BadPoses(f"{place}: two images have one name", file=place)
    prefix = _of_clips(by_name, sizes) if isinstance(sizes, ClipFrames) else images_at(by_name, sizes)
    if prefix is None:
        example = next(iter(by_name), "none")
        raise BadPoses(f"{place}: none of its {len(by_name)} images (such as {example}) is in the upload", file=place)
    frames, missing = [], []
    for name in natural_order(by_name):
        image, found = by_name[name], f"{prefix}{name}"
        if found not in sizes:
            missing.append(name)
            continue
        if image.camera_id not in cameras:
            raise BadPoses(f"{place}: {name} has the camera {image.camera_id}, which is not there", file=place)
        checked_camera(cameras[image.camera_id], name, file=place)
        pose = checked_pose(_pose(image, place), name, file=place)
        frames.append(GivenFrame(name=found, camera_id=image.camera_id, cam_from_world=pose))
    shown = f"{', '.join(missing[:_NAMED])}{' and more' if len(missing) > _NAMED else ''}"
    told = f"{place}: {len(missing)} of {len(by_name)} images are not in the upload: {shown}"
    return GivenPoses(source="colmap", cameras=dict(cameras), frames=frames, warnings=[told] if missing else [])


def _pose(image: ColmapImage, place: str) -> object:
    try:
        return rigid(rotation_from_quat(image.quat), image.translation)
    except ValueError as error:
        raise BadPoses(f"{place}: the pose of {image.name}: {error}", file=place) from None


def _of_clips(names: Collection[str], frames: ClipFrames) -> str | None:
    return "" if any(name in frames for name in names) else None


def images_at(names: Collection[str], sizes: Mapping[str, int]) -> str | None:
    """Return what to put before ``names`` to find most of them among the files ``sizes`` (bytes by name).

    Where several folders hold them all (images, images_2, ...), the one with most bytes; None where no folder does.
    """
    wanted = set(names)
    last = {name.rsplit("/", 1)[-1] for name in wanted}
    count: Counter[str] = Counter()
    weight: Counter[str] = Counter()
    for file, size in sizes.items():
        parts = file.split("/")
        if parts[-1] not in last:
            continue
        for cut in range(len(parts)):
            if "/".join(parts[cut:]) in wanted:
                prefix = "".join(f"{part}/" for part in parts[:cut])
                count[prefix] += 1
                weight[prefix] += size
    return max(count, key=lambda prefix: (count[prefix], weight[prefix], prefix), default=None)
