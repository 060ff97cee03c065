"""The film around the scene, with its poster and its camera path."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from splat_pipeline.assets.cleaning import cleaned_gaussians
from splat_pipeline.assets.pictures import Poster, drawn, save_jpeg
from splat_pipeline.assets.stages import Loaders, Machines, Movies, Result, Stores, Work, job_asset, stage
from splat_pipeline.domain import orbit
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.ports import ImageLoader, MovieWriter, TrainingViews

POSES_ONLY_PX = 96
"""The loader gives pictures with their poses; where only poses are wanted, the pictures are small."""
FILMED = ("source_videos", "keyframes", "camera_poses", "point_cloud", "cleaned")


@job_asset(deps=FILMED, kinds={"python"})
def preview(
    context: dg.AssetExecutionContext, store: Stores, machine: Machines, loader: Loaders, movies: Movies
) -> Result:
    """A film around the scene, its poster and its camera path. Best effort: without it the splat is still delivered."""
    with stage(context, store, machine) as work:
        for name in FILMED:
            work.input(name)
        try:
            told = _film(work, loader, movies)
        except (SplatError, OSError) as error:
            context.log.warning(f"no preview: {error}")
            for half in work.folder.iterdir():
                half.unlink()
            told = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
            work.lasting = False
        (work.folder / "preview.json").write_text(json.dumps(told, indent=1))
        work.publish(metadata=told)
    return work.result()


def captured(work: Work, loader: ImageLoader, *, longer_side_px: int = POSES_ONLY_PX) -> TrainingViews:
    """Return the views that the training saw."""
    folders = (work.input("keyframes"), work.input("camera_poses"), work.input("point_cloud"))
    return loader.load(*folders, longer_side_px=longer_side_px, holdout=False)


def path_of(work: Work, gaussians: Gaussians, views: TrainingViews) -> orbit.CameraPath:
    """Return the way of the preview's camera. Raises ``SplatError`` where there is nothing to film."""
    recipe = work.recipe.preview
    if not views.views or not len(gaussians):
        raise SplatError("there is nothing to film: no Gaussians or no cameras")
    sides = sorted((recipe.width_px, recipe.height_px))
    camera = orbit.preview_camera(views.views, longer_px=sides[1], shorter_px=sides[0])
    return orbit.preview_path(gaussians, views.views, camera, frames=max(2, round(recipe.seconds * recipe.fps)))


def _film(work: Work, loader: ImageLoader, movies: MovieWriter) -> dict[str, Any]:
    fps = work.recipe.preview.fps
    gaussians = cleaned_gaussians(work)
    path = path_of(work, gaussians, captured(work, loader))
    camera = path.views[0].camera
    work.log(f"filming {len(path.views)} frames, {path.kind}: {path.because}")
    (work.folder / "camera_path.json").write_text(json.dumps(orbit.nerfstudio_path(path, fps=fps)))
    poster = Poster()
    movies.write(work.folder / "preview.mp4", poster.watching(drawn(gaussians, path.views)), fps=fps)
    save_jpeg(poster.chosen(first=path.kind != "flight"), work.folder / "poster.jpg")
    size = {"width_px": camera.width_px, "height_px": camera.height_px, "fps": fps, "frames": len(path.views)}
    return {"ok": True, "path": path.kind, "reason": path.because, **size}
