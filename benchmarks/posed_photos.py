"""Photos with the poses of others: COLMAP's model, nerfstudio's or instant-ngp's ``transforms.json``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from colmap_text import read_text_model
from numpy.typing import NDArray

from resources.colmap import ColmapBackend
from splat_pipeline.domain.errors import FewPoints, InputError
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapPoints, read_model
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.rigid import rigid, rotation_from_quat
from splat_pipeline.domain.uploads import natural_order
from splat_pipeline.ports import FeatureRequest, TriangulationRequest

SPARSE = ("sparse/0", "sparse", "colmap/sparse/0", ".")
TRANSFORMS = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Cameras of nerfstudio and instant-ngp have +y up and look along -z."""
EVERY_PAIR_UP_TO = 20
"""Images: with more, neighbours by pose give as many points as every pair, in half the time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """A photo as it was taken."""

    name: str
    """Its path in the folder of all."""
    lens: ColmapCamera
    cam_from_world: NDArray[np.float64]
    """(4, 4)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Posed:
    """Photos in order of their names, and what points came with them."""

    origin: str
    folder: Path
    shots: Sequence[Shot]
    points: ColmapPoints


def no_points() -> ColmapPoints:
    """Return none."""
    none = np.zeros(0, np.int64)
    return ColmapPoints(
        ids=none,
        xyz=np.zeros((0, 3)),
        rgb=np.zeros((0, 3), np.uint8),
        error_px=np.zeros(0),
        track_lengths=none,
        track_images=none,
        track_keypoints=none,
    )


def has_colmap(folder: Path) -> bool:
    """Say whether there is a COLMAP model."""
    return any(_model_files(folder / place) for place in SPARSE)


def has_transforms(folder: Path) -> bool:
    """Say whether there is a ``transforms.json`` or a split one."""
    return any((folder / name).exists() for name in TRANSFORMS)


def _model_files(folder: Path) -> str | None:
    return next((kind for kind in (".bin", ".txt") if (folder / f"images{kind}").exists()), None)


def posed_by_colmap(folder: Path) -> Posed:
    """Read a COLMAP model, binary or text, beside or above ``images``."""
    place = next((folder / place for place in SPARSE if _model_files(folder / place)), None)
    if place is None:
        raise InputError(f"no COLMAP model in {folder} ({', '.join(SPARSE)})", remedy="Name another folder.")
    model = read_model(place) if _model_files(place) == ".bin" else read_text_model(place)
    by_name = {image.name: image for image in model.images.values()}
    shots = [
        Shot(
            name=name,
            lens=model.cameras[by_name[name].camera_id],
            cam_from_world=rigid(rotation_from_quat(by_name[name].quat), by_name[name].translation),
        )
        for name in natural_order(by_name)
    ]
    photos = folder / "images" if (folder / "images").is_dir() else folder
    return Posed(origin=f"COLMAP, {place}", folder=photos, shots=shots, points=model.points)


def posed_by_transforms(folder: Path) -> Posed:
    """Read the poses of nerfstudio or instant-ngp; there are no points among them.

    Frames without an image are left out, as by both programs: who drops blurred images need not edit the file.
    """
    files = [folder / name for name in TRANSFORMS if (folder / name).exists()]
    files = files[:1] if files and files[0].name == TRANSFORMS[0] else files
    found = {shot.name: shot for file in files for shot in frames(folder, json.loads(file.read_text()))}
    there = {name: shot for name, shot in found.items() if (folder / name).is_file()}
    if len(there) < len(found):
        print(f"{len(found) - len(there)} of {len(found)} frames have no image", file=sys.stderr)
    if not there:
        raise InputError(f"no frames with images in {', '.join(TRANSFORMS)} of {folder}", remedy="Name another folder.")
    origin = f"{', '.join(file.name for file in files)} of {folder}"
    shots = [there[name] for name in natural_order(there)]
    return Posed(origin=origin, folder=folder, shots=shots, points=no_points())


def frames(folder: Path, data: dict[str, Any]) -> Iterator[Shot]:
    """Yield the frames of a ``transforms.json``, with or without an image."""
    for frame in data["frames"]:
        name = os.path.normpath(frame["file_path"])
        name = name if Path(name).suffix else f"{name}.png"
        world_from_cam = np.array(frame["transform_matrix"], np.float64)
        pose = np.linalg.inv(world_from_cam @ OPENCV_FROM_OPENGL)
        yield Shot(name=name, lens=_lens_of(data | frame, folder / name), cam_from_world=pose)


def _lens_of(values: dict[str, Any], image: Path) -> ColmapCamera:
    """Return the lens of a frame; its own values come before those of the file. Radial terms from k3 on must be 0."""
    odd = [name for name in ("k3", "k4") if values.get(name)]
    model = values.get("camera_model", "OPENCV")
    if (
        odd
        or values.get("is_fisheye")
        or model not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
    ):
        raise InputError(
            f"{image.name}: the lens {model} {odd} is not one that is understood", remedy="Undistort first."
        )
    width, height = (int(values[side]) for side in ("w", "h")) if "w" in values else _size(image)
    fx = values["fl_x"] if "fl_x" in values else 0.5 * width / np.tan(0.5 * values["camera_angle_x"])
    centre = (values.get("cx", width / 2), values.get("cy", height / 2))
    bend = [values.get(name, 0.0) for name in ("k1", "k2", "p1", "p2")]
    params = tuple(float(value) for value in (fx, values.get("fl_y", fx), *centre, *bend))
    return ColmapCamera(model="OPENCV", width_px=width, height_px=height, params=params)


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def triangulated(photos: Posed, home: Path) -> Posed:
    """Return the photos with points of what they show, by COLMAP in folders under ``home``.

    Where too few points are found the photos stay as they are, which is said. Raises ``WrongPoses``.
    """

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    paths = [Path(os.path.normpath((photos.folder / shot.name).absolute())) for shot in photos.shots]
    above = Path(os.path.commonpath([path.parent for path in paths])).parent  # features want a folder above each image
    names = [str(path.relative_to(above)) for path in paths]
    lenses = {lens: i for i, lens in enumerate(dict.fromkeys(shot.lens for shot in photos.shots))}
    camera_ids = [lenses[shot.lens] for shot in photos.shots]
    sfm, recipe = ColmapBackend(), PoseRecipe(exhaustive_up_to=EVERY_PAIR_UP_TO)
    say(f"{photos.origin} has no points: triangulating them from {len(names)} images")
    with tempfile.TemporaryDirectory(dir=home, prefix="points-") as made:
        features, model = Path(made) / "features", Path(made) / "model"
        asked = FeatureRequest(folder=above, images=names, camera_ids=camera_ids, recipe=recipe, seed=0)
        sfm.extract_features(asked, features, say=say)
        request = TriangulationRequest(
            folder=above,
            images=names,
            camera_ids=camera_ids,
            cameras={i: lens for lens, i in lenses.items()},
            cams_from_world=np.stack([shot.cam_from_world for shot in photos.shots]),
            features=features,
            recipe=recipe,
            seed=0,
        )
        try:
            found = sfm.triangulate(request, model, say=say)
        except FewPoints as error:
            say(f"{error.cause}: there are no points to begin with")
            return photos
        points = read_model(model).points
    say(
        f"{found.points} points in {found.seconds:.0f} s after the features, {found.rms_px:.2f} px rms; "
        f"median epipolar error {found.epipolar_px:.2f} px"
    )
    return replace(photos, points=points, origin=f"{photos.origin}, points triangulated")
