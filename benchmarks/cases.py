"""Posed images for the benchmarks: made, read with the poses of others, or posed by the pipeline.

A case holds undistorted images of at most ``longer_side`` pixels in order of their names, a view each, and points of
the scene if there are any. Views are OpenCV's (docs/conventions.md), whatever the source.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from colmap_text import read_text_model
from numpy.typing import NDArray

from resources.images import KeyframeImages, lens_for
from resources.inbox import list_upload
from resources.sample import load_textures
from splat_pipeline.domain import tables
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.errors import InputError, PoseError
from splat_pipeline.domain.formats.colmap import ColmapCamera, read_model
from splat_pipeline.domain.rigid import rigid, rotation_from_quat
from splat_pipeline.domain.sample import sample_camera, scene, walk
from splat_pipeline.domain.uploads import natural_order
from splat_pipeline.launch import run_upload
from splat_pipeline.overview import store_of
from splat_pipeline.ports import TrainingViews
from splat_pipeline.settings import Settings
from splat_pipeline.splatting.film import film

HOLDOUT = 8
SPARSE = ("sparse/0", "sparse", "colmap/sparse/0", ".")
TRANSFORMS = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Cameras of nerfstudio and instant-ngp have +y up and look along -z."""
STAGES = [
    "source_videos",
    "frame_quality",
    "keyframes",
    "features",
    "local_reconstructions",
    "camera_poses",
    "point_cloud",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Posed images."""

    origin: str
    """Where the poses come from."""
    images: Sequence[NDArray[np.uint8]]
    views: Sequence[View]
    points: NDArray[np.float32]
    """(P, 3) in the views' world; may be none."""
    colors: NDArray[np.uint8]
    """(P, 3) sRGB."""

    def split(self) -> tuple[TrainingViews, TrainingViews]:
        """Return the views to train on and every 8th, from the first on, that is held out."""
        chosen = [[i for i in range(len(self.views)) if bool(i % HOLDOUT) is train] for train in (True, False)]
        train, held = (
            TrainingViews(images=[self.images[i] for i in ids], views=[self.views[i] for i in ids], keyframe_ids=ids)
            for ids in chosen
        )
        return train, held


def load(folder: Path | None, *, poses: str, longer_side_px: int, cache: Path | None, home: Path) -> Case:
    """Return the case of ``folder``, the project's own scene if it is None.

    ``poses``: auto, pipeline, transforms or colmap. ``cache``: a folder in which cases are kept. ``home``: where the
    pipeline may work. Raises ``InputError`` and, from the pipeline, ``PoseError``.
    """
    if folder is None:
        return made(longer_side_px)
    chosen = _found(folder) if poses == "auto" else poses
    kept = cache / _key(folder, chosen, longer_side_px) if cache else None
    if kept and (kept / "case.json").exists():
        return read_case(kept)
    if chosen == "colmap":
        case = from_colmap(folder, longer_side_px)
    elif chosen == "transforms":
        case = from_transforms(folder, longer_side_px)
    else:
        case = from_pipeline(folder, longer_side_px, home)
    if kept:
        write_case(kept, case)
    return case


def _found(folder: Path) -> str:
    if any(_model_files(folder / place) for place in SPARSE):
        return "colmap"
    return "transforms" if any((folder / name).exists() for name in TRANSFORMS) else "pipeline"


def _model_files(folder: Path) -> str | None:
    return next((kind for kind in (".bin", ".txt") if (folder / f"images{kind}").exists()), None)


def made(longer_side_px: int, frames: int = 40) -> Case:
    """Return views of the sample scene, and points on it."""
    gaussians = scene(load_textures())
    views = walk(sample_camera(longer_side_px, longer_side_px * 9 // 16), frames=frames, fps=4, seed=0)
    some = np.random.default_rng(0).choice(len(gaussians), 5000, replace=False)
    return Case(
        origin="the project's scene",
        images=[np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8) for image in film(gaussians, views)],
        views=views,
        points=gaussians.means[some],
        colors=np.clip((0.5 + 0.2820948 * gaussians.sh[some, 0]) * 255, 0, 255).astype(np.uint8),
    )


def from_colmap(folder: Path, longer_side_px: int) -> Case:
    """Read a COLMAP model, binary or text, beside or above ``images``."""
    place = next((folder / place for place in SPARSE if _model_files(folder / place)), None)
    if place is None:
        raise InputError(f"no COLMAP model in {folder} ({', '.join(SPARSE)})", remedy="Name another folder.")
    model = read_model(place) if _model_files(place) == ".bin" else read_text_model(place)
    photos = folder / "images" if (folder / "images").is_dir() else folder
    lenses = {number: lens_for(camera, longer_side_px) for number, camera in model.cameras.items()}
    by_name = {image.name: image for image in model.images.values()}
    images, views = [], []
    for name in natural_order(by_name):
        image = by_name[name]
        lens = lenses[image.camera_id]
        pose = rigid(rotation_from_quat(image.quat), image.translation)
        images.append(lens.apply(photos / name))
        views.append(View(name=name, camera=lens.camera, cam_from_world=pose))
    points = model.points.xyz.astype(np.float32)
    return Case(origin=f"COLMAP, {place}", images=images, views=views, points=points, colors=model.points.rgb)


def from_transforms(folder: Path, longer_side_px: int) -> Case:
    """Read the poses of nerfstudio or instant-ngp; there are no points among them.

    Frames without an image are left out, as by both programs: who drops blurred images need not edit the file.
    """
    files = [folder / name for name in TRANSFORMS if (folder / name).exists()]
    files = files[:1] if files and files[0].name == TRANSFORMS[0] else files
    found = {name: row for file in files for name, row in _frames(folder, json.loads(file.read_text()))}
    there = {name: row for name, row in found.items() if (folder / name).is_file()}
    if len(there) < len(found):
        print(f"{len(found) - len(there)} of {len(found)} frames have no image", file=sys.stderr)
    if not there:
        raise InputError(f"no frames with images in {', '.join(TRANSFORMS)} of {folder}", remedy="Name another folder.")
    images, views, lenses = [], [], {}
    for name in natural_order(there):
        lens_camera, pose = there[name]
        if lens_camera not in lenses:
            lenses[lens_camera] = lens_for(lens_camera, longer_side_px)
        lens = lenses[lens_camera]
        images.append(lens.apply(folder / name))
        views.append(View(name=name, camera=lens.camera, cam_from_world=pose))
    none = np.zeros((0, 3))
    origin = f"{', '.join(file.name for file in files)} of {folder}"
    return Case(origin=origin, images=images, views=views, points=none.astype("f4"), colors=none.astype("u1"))


def _frames(folder: Path, data: dict[str, Any]) -> Iterator[tuple[str, tuple[ColmapCamera, NDArray[np.float64]]]]:
    for frame in data["frames"]:
        name = os.path.normpath(frame["file_path"])
        name = name if Path(name).suffix else f"{name}.png"
        world_from_cam = np.array(frame["transform_matrix"], np.float64)
        yield name, (_lens_of(data | frame, folder / name), np.linalg.inv(world_from_cam @ OPENCV_FROM_OPENGL))


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


def from_pipeline(folder: Path, longer_side_px: int, home: Path) -> Case:
    """Have clips or photos posed by the pipeline; all keyframes with a pose are taken, whatever it holds out."""
    upload, settings = list_upload(folder), Settings(home=home)
    store = store_of(settings)
    success, reason = run_upload(settings, upload, config={}, listener=lambda _: None, assets=STAGES)
    if not success:
        raise PoseError(f"the pipeline found no poses: {reason}")
    places = [store.fetch(upload.job, name).folder for name in ("keyframes", "camera_poses", "point_cloud")]
    loader = KeyframeImages()
    parts = [loader.load(*places, longer_side_px=longer_side_px, holdout=held) for held in (False, True)]
    rows = sorted(
        (row for part in parts for row in zip(part.keyframe_ids, part.images, part.views, strict=True)),
        key=lambda row: row[0],
    )
    points = tables.read_table(places[2] / "points.parquet", tables.POINTS)
    return Case(
        origin=f"the pipeline, {folder}",
        images=[image for _, image, _ in rows],
        views=[view for _, _, view in rows],
        points=points[["x", "y", "z"]].to_numpy(np.float32),
        colors=points[["red", "green", "blue"]].to_numpy(np.uint8),
    )


def _key(folder: Path, poses: str, longer_side_px: int) -> str:
    """Name a case by what it is made of: names, sizes and times of its files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    digest = hashlib.sha256(repr((facts, poses, longer_side_px)).encode()).hexdigest()
    return f"{folder.name}-{poses}-{longer_side_px}-{digest[:12]}"


def write_case(folder: Path, case: Case) -> None:
    """Keep ``case`` in ``folder``; it counts once ``case.json`` is there."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"image_{i:05d}": image for i, image in enumerate(case.images)}
    np.savez(folder / "case.npz", points=case.points, colors=case.colors, **arrays)
    views = [
        {"name": view.name, "camera": asdict(view.camera), "cam_from_world": view.cam_from_world.tolist()}
        for view in case.views
    ]
    part = folder / "case.json.part"
    part.write_text(json.dumps({"origin": case.origin, "views": views}))
    part.replace(folder / "case.json")


def read_case(folder: Path) -> Case:
    """Invert ``write_case``."""
    facts = json.loads((folder / "case.json").read_text())
    with np.load(folder / "case.npz", allow_pickle=False) as arrays:
        views = [
            View(name=row["name"], camera=Camera(**row["camera"]), cam_from_world=np.array(row["cam_from_world"]))
            for row in facts["views"]
        ]
        return Case(
            origin=facts["origin"],
            images=[arrays[f"image_{i:05d}"] for i in range(len(views))],
            views=views,
            points=arrays["points"],
            colors=arrays["colors"],
        )
