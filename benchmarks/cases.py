"""Posed images for the benchmarks: made, read with the poses of others, or posed by the pipeline.

A case holds undistorted images of at most ``longer_side`` pixels in order of their names, a view each, and points of
the scene if there are any. Views are OpenCV's (docs/conventions.md), whatever the source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from posed_photos import Posed, has_colmap, has_transforms, posed_by_colmap, posed_by_transforms, triangulated

from resources.images import KeyframeImages, lens_for
from resources.sample import load_textures
from splat_pipeline.domain import tables
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.errors import PoseError
from splat_pipeline.domain.sample import sample_camera, scene, walk
from splat_pipeline.ports.training import TrainingViews
from splat_pipeline.splatting.film import film

HOLDOUT = 8
STAGES = [
    "source_videos",
    "frame_quality",
    "keyframes",
    "features",
    "match_graph",
    "linking_frames",
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


def load(
    folder: Path | None, *, poses: str, longer_side_px: int, cache: Path | None, home: Path, points: str = "auto"
) -> Case:
    """Return the case of ``folder``, the project's own scene if it is None.

    ``poses``: auto, pipeline, transforms or colmap. ``cache``: a folder in which cases are kept. ``home``: where the
    pipeline and COLMAP may work. ``points``: auto triangulates them where poses came without, none does not.
    Raises ``InputError`` and, from the pipeline or of wrong poses, ``PoseError``.
    """
    if folder is None:
        return made(longer_side_px)
    chosen = _found(folder) if poses == "auto" else poses
    made_of = chosen if chosen == "pipeline" or points == "none" else f"{chosen}-{points}"
    kept = cache / _key(folder, made_of, longer_side_px) if cache else None
    if kept and (kept / "case.json").exists():
        return read_case(kept)
    if chosen == "pipeline":
        case = from_pipeline(folder, longer_side_px, home)
    else:
        photos = posed_by_colmap(folder) if chosen == "colmap" else posed_by_transforms(folder)
        case = from_photos(photos, longer_side_px, points=points, home=home)
    if kept:
        write_case(kept, case)
    return case


def _found(folder: Path) -> str:
    if has_colmap(folder):
        return "colmap"
    return "transforms" if has_transforms(folder) else "pipeline"


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


def from_photos(photos: Posed, longer_side_px: int, *, points: str, home: Path) -> Case:
    """Undistort posed photos; without points among them, triangulate some unless ``points`` is none."""
    if points == "auto" and not len(photos.points.xyz):
        photos = triangulated(photos, home)
    lenses = {lens: lens_for(lens, longer_side_px) for lens in dict.fromkeys(shot.lens for shot in photos.shots)}
    return Case(
        origin=photos.origin,
        images=[lenses[shot.lens].apply(photos.folder / shot.name) for shot in photos.shots],
        views=[
            View(name=shot.name, camera=lenses[shot.lens].camera, cam_from_world=shot.cam_from_world)
            for shot in photos.shots
        ],
        points=photos.points.xyz.astype(np.float32),
        colors=photos.points.rgb,
    )


def from_pipeline(folder: Path, longer_side_px: int, home: Path) -> Case:
    """Have clips or photos posed by the pipeline; all keyframes with a pose are taken, whatever it holds out."""
    # Here, so that posed photos are read where the pipeline itself is not installed: on a machine for its GPU.
    from resources.inbox import list_upload
    from splat_pipeline.launch import run_upload
    from splat_pipeline.overview import store_of
    from splat_pipeline.settings import Settings

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
