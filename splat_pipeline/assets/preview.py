"""The film around the scene, with its poster and its camera path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from splat_pipeline.assets.checks import Gated
from splat_pipeline.assets.cleaning import cleaned_gaussians, weights_of
from splat_pipeline.assets.discretion import hidden
from splat_pipeline.assets.labels import plan_of
from splat_pipeline.assets.pictures import Poster, captioned, data_uri, drawn, likenesses, lost_in, save_jpeg
from splat_pipeline.assets.stages import Drawers, Loaders, Machines, Movies, Result, Stores, Work, job_asset, stage
from splat_pipeline.domain import camera_paths
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.metrics.exports import Film, film_metrics
from splat_pipeline.domain.plans import Detail
from splat_pipeline.ports.media import MovieWriter, PathDrawers
from splat_pipeline.ports.training import ImageLoader, TrainingViews

POSES_ONLY_PX = 96
"""The loader gives pictures with their poses; where only poses are wanted, the pictures are small."""
INLINE_PX, INLINE_BYTES = 480, 50_000
FILMED = ("source_videos", "keyframes", "camera_poses", "point_cloud", "splat", "cleaned")


@job_asset(deps=FILMED, kinds={"python"})
def preview(  # noqa: PLR0917  # Dagster passes them by name
    context: dg.AssetExecutionContext,
    config: Gated,
    store: Stores,
    machine: Machines,
    loader: Loaders,
    movies: Movies,
    drawers: Drawers,
) -> Result:
    """A film around the scene, its poster and its camera path. Best effort: without it the splat is still delivered."""
    with stage(context, store, machine, lift=config.lift) as work:
        for name in FILMED:
            work.input(name)
        film: Film | None = None
        try:
            told = _film(work, loader, movies, drawers)
            film = movies.read_back(work.folder / "preview.mp4")
        except (SplatError, OSError) as error:
            context.log.warning(f"no preview: {error}")
            for half in work.folder.iterdir():
                half.unlink()
            told = {"ok": False, "reason": hidden(f"{type(error).__name__}: {error}")}
            work.lasting = False
        (work.folder / "preview.json").write_text(json.dumps(told, indent=1))
        wanted = work.recipe.preview
        seconds = max(2, round(wanted.seconds * wanted.fps)) / wanted.fps
        poster = {"poster": shown(work.folder / "poster.jpg")} if told["ok"] else {}
        work.publish(metadata={**told, **poster}, metrics=film_metrics(film, seconds=seconds, fps=wanted.fps))
        work.links("preview.mp4", "turntable.jpg")
    return work.result()


def shown(picture: Path) -> dg.MetadataValue[Any]:
    """Return a picture that Dagster's UI shows; it lies in the event log, so it is small."""
    for quality in (75, 55, 35):
        address = data_uri(picture, longer_side_px=INLINE_PX, quality=quality)
        if len(address) < INLINE_BYTES:
            break
    return dg.MetadataValue.md(f"![first view]({address})")


def captured(work: Work, loader: ImageLoader, *, longer_side_px: int = POSES_ONLY_PX) -> TrainingViews:
    """Return the views that the training saw."""
    folders = (work.input("keyframes"), work.input("camera_poses"), work.input("point_cloud"))
    return loader.load(*folders, longer_side_px=longer_side_px, holdout=False)


def path_of(work: Work, gaussians: Gaussians, views: TrainingViews) -> camera_paths.CameraPath:
    """Return the way of the preview's camera, near the views that are drawn well.

    Raises ``SplatError`` where there is nothing to film.
    """
    recipe = work.recipe.preview
    if not views.views or not len(gaussians):
        raise SplatError("there is nothing to film: no Gaussians or no cameras")
    good = camera_paths.well_drawn(likenesses(gaussians, views.views, views.images))
    shown = [view for view, fine in zip(views.views, good, strict=True) if fine]
    sides = sorted((recipe.width_px, recipe.height_px))
    return camera_paths.preview_path(
        camera_paths.Filmed(gaussians=gaussians, weights=weights_of(work), views=shown),
        camera_paths.preview_camera(shown, longer_px=sides[1], shorter_px=sides[0]),
        frames=max(2, round(recipe.seconds * recipe.fps)),
        kind=None if recipe.path == "auto" else recipe.path,
        lost=lost_in(gaussians),
    )


def _film(work: Work, loader: ImageLoader, movies: MovieWriter, drawers: PathDrawers) -> dict[str, Any]:
    fps, drawer = work.recipe.preview.fps, drawers.chosen(work.recipe.preview.drawn_by)
    gaussians = cleaned_gaussians(work)
    path = path_of(work, gaussians, captured(work, loader))
    camera = path.views[0].camera
    work.log(f"filming {len(path.views)} frames, {path.kind}: {path.because}")
    (work.folder / "camera_path.json").write_text(json.dumps(camera_paths.nerfstudio_path(path, fps=fps)))
    poster, detail = Poster(frames=len(path.views), returns=path.kind == "flight"), plan_of(work)["detail"]
    pictures, by = drawn(gaussians, path.views), "own"
    if drawer is not None:
        by, pictures = drawer.name, drawer.frames(gaussians, path, fps=fps, folder=work.ongoing(), say=work.log)
    if detail != Detail.FULL:
        pictures = captioned(pictures, f"{detail} detail")
    title = f"{work.store.upload(work.job).title} ({detail} detail)"
    movies.write(work.folder / "preview.mp4", poster.watching(pictures), fps=fps, title=title)
    save_jpeg(poster.chosen(first=path.kind != "flight"), work.folder / "poster.jpg")
    save_jpeg(np.concatenate(poster.turns, axis=1), work.folder / "turntable.jpg")
    size = {"width_px": camera.width_px, "height_px": camera.height_px, "fps": fps, "frames": len(path.views)}
    return {
        "ok": True,
        "path": path.kind,
        "reason": path.because,
        "detail": detail,
        "drawn_by": by,
        **size,
    }
