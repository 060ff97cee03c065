"""Photos with the poses of others: COLMAP's model, nerfstudio's or instant-ngp's ``transforms.json``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resources.colmap import ColmapBackend
from splat_pipeline.domain.errors import FewPoints, InputError
from splat_pipeline.domain.formats.camera_files import no_points
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapPoints, read_model
from splat_pipeline.domain.formats.colmap_text import read_text_model
from splat_pipeline.domain.formats.transforms import read_transforms
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.rigid import rigid, rotation_from_quat
from splat_pipeline.domain.uploads import natural_order
from splat_pipeline.ports.sfm import FeatureRequest, TriangulationRequest

SPARSE = ("sparse/0", "sparse", "colmap/sparse/0", ".")
TRANSFORMS = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")
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

    Frames without an image are left out, which is said.
    """
    files = [folder / name for name in TRANSFORMS if (folder / name).exists()]
    files = files[:1] if files and files[0].name == TRANSFORMS[0] else files
    images = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    shots: dict[str, Shot] = {}
    for file in files:
        given = read_transforms(
            file.read_bytes(), file=file.name, images=images, size_of=lambda name: _size(folder / name)
        )
        for line in given.warnings:
            print(line, file=sys.stderr)
        for frame in given.frames:
            lens = given.cameras[frame.camera_id]
            shots[frame.name] = Shot(name=frame.name, lens=lens, cam_from_world=frame.cam_from_world)
    if not shots:
        raise InputError(f"no {', '.join(TRANSFORMS)} in {folder}", remedy="Name another folder.")
    origin = f"{', '.join(file.name for file in files)} of {folder}"
    return Posed(origin=origin, folder=folder, shots=[shots[name] for name in natural_order(shots)], points=no_points())


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
