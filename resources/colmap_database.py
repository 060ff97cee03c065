"""COLMAP's database for the worker: cameras, images and features in, matches found in it. In the child process only."""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc
from numpy.typing import NDArray

from resources.features import ImageFeatures, read_features
from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.pairs import sampled

Request = dict[str, Any]
Descriptors = NDArray[np.uint8]
Pairs = set[tuple[int, int]]

SURE_INLIERS = 30
"""Far pairs of a sequence need this many: false loops were seen with 15 and 16."""
FOCAL_PRIOR = 1.2
"""Times the longer side, as COLMAP guesses without EXIF."""


def say(text: str) -> None:
    """Print one line for the person; the adapter knows it by its beginning."""
    print(f"splat: {text}", flush=True)  # noqa: T201  # stdout is how a worker talks to its adapter


def fill(path: Path, request: Request, *, descriptors: bool = True) -> list[Descriptors]:
    """Write cameras, images and features. Images are called by their position: pair lists know no spaces.

    Cameras are those of ``request["cameras"]``, guessed where there are none. Returns some descriptors of each image.
    Without ``descriptors`` nothing can be matched any more, and the database is small.
    """
    images = request["images"]
    camera_ids = dict(zip(images, request["camera_ids"], strict=True))
    positions = {name: i for i, name in enumerate(images)}
    known = known_cameras(request)
    sizes: dict[int, tuple[int, int]] = {}
    looks: list[Descriptors] = [np.zeros((0, 128), np.uint8)] * len(images)
    with pc.Database.open(path) as db:
        for row in read_features(Path(request["features"]), images):
            camera_id = camera_ids[row.image]
            if camera_id not in sizes:
                sizes[camera_id] = (row.width_px, row.height_px)
                db.write_camera(known.get(camera_id) or _guessed(camera_id, row), use_camera_id=True)
            if sizes[camera_id] != (row.width_px, row.height_px):
                raise CorruptArtifact(f"camera {camera_id} has images of several sizes", file=row.image)
            image_id = positions[row.image] + 1
            db.write_image(framed(image_id, camera_id)[0], use_image_id=True)
            db.write_keypoints(image_id, row.keypoints)
            if descriptors:
                found = pc.FeatureDescriptors(type=pc.FeatureExtractorType.SIFT, data=row.descriptors)
                db.write_descriptors(image_id, found)
            looks[positions[row.image]] = sampled(row.descriptors)
        write_rigs(db, request, sorted(sizes))
    return looks


def known_cameras(request: Request) -> dict[int, pc.Camera]:
    """Return the cameras that came with the request, by id."""
    cameras = {}
    for camera_id, values in request.get("cameras", []):
        camera = pc.Camera(camera_id=camera_id, **values)
        camera.has_prior_focal_length = True
        cameras[camera_id] = camera
    return cameras


def _guessed(camera_id: int, row: ImageFeatures) -> pc.Camera:
    focal = FOCAL_PRIOR * max(row.width_px, row.height_px)
    return pc.Camera.create_from_model_name(camera_id, "SIMPLE_RADIAL", focal, row.width_px, row.height_px)


def rig_of(camera: pc.Camera) -> pc.Rig:
    """Return the rig of one camera; its id is never 0."""
    rig = pc.Rig(rig_id=camera.camera_id + 1)
    rig.add_ref_sensor(camera.sensor_id)
    return rig


def framed(image_id: int, camera_id: int) -> tuple[pc.Image, pc.Frame]:
    """Return an image without keypoints and its frame, which has its id."""
    image = pc.Image(name=alias(image_id), keypoints=np.zeros((0, 2)), camera_id=camera_id, image_id=image_id)
    frame = pc.Frame(frame_id=image_id, rig_id=camera_id + 1)
    frame.add_data_id(image.data_id)
    return image, frame


def write_rigs(db: pc.Database, request: Request, camera_ids: Sequence[int]) -> None:
    """Write the rig that the request knows, a rig of its own for each other camera, and all frames."""
    known = request.get("rig") or {"cams_from_rig": [], "instants": []}
    poses = {camera_id: np.array(pose) for camera_id, pose in known["cams_from_rig"] if camera_id in camera_ids}
    for camera_id in camera_ids:
        if camera_id not in poses:
            db.write_rig(rig_of(db.read_camera(camera_id)), use_rig_id=True)
    rig_ids = {camera_id: camera_id + 1 for camera_id in camera_ids}
    if poses:
        first, *others = poses
        rig = rig_of(db.read_camera(first))
        for camera_id in others:
            rig.add_sensor(db.read_camera(camera_id).sensor_id, pc.Rigid3d(poses[camera_id][:3]))
        db.write_rig(rig, use_rig_id=True)
        rig_ids |= dict.fromkeys(poses, rig.rig_id)
    grouped = {position for group in known["instants"] for position in group}
    alone = [[position] for position in range(len(request["images"])) if position not in grouped]
    for group in [*known["instants"], *alone]:
        frame = pc.Frame(frame_id=group[0] + 1, rig_id=rig_ids[request["camera_ids"][group[0]]])
        for position in group:
            frame.add_data_id(framed(position + 1, request["camera_ids"][position])[0].data_id)
        db.write_frame(frame, use_frame_id=True)


def alias(image_id: int) -> str:
    """Return what an image is called in the database."""
    return f"{image_id:06d}"


def match(path: Path, request: Request, *, near: Pairs, far: Pairs) -> None:
    """Match and verify pairs of positions in the list of images; ``far`` ones need ``SURE_INLIERS``."""
    options = pc.FeatureMatchingOptions()
    options.num_threads, options.use_gpu = request["threads"], False
    verification = pc.TwoViewGeometryOptions()
    verification.ransac.random_seed = request["seed"]
    for name, pairs, least in (("near", near, verification.min_num_inliers), ("far", far, SURE_INLIERS)):
        if not pairs:
            continue
        say(f"matching {len(pairs)} {name} pairs")
        listed = path.with_suffix(f".{name}")
        listed.write_text("".join(f"{alias(i + 1)} {alias(j + 1)}\n" for i, j in sorted(pairs)))
        pairing = pc.ImportedPairingOptions(match_list_path=listed, block_size=64)
        verification.min_num_inliers = least
        pc.match_image_pairs(path, options, pairing, verification, pc.Device.cpu)


def write_named(model: pc.Reconstruction, out: Path, request: Request) -> None:
    """Write a model whose images have their names, and whose points have colours."""
    for image in model.images.values():
        image.name = request["images"][image.image_id - 1]
    model.extract_colors_for_all_images(request["folder"])
    out.mkdir(parents=True, exist_ok=True)
    model.write_binary(out)
