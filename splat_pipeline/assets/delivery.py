"""From Gaussians to what people receive: files in common formats, a film, a report, one package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from splat_pipeline.assets import packaging, pages
from splat_pipeline.assets.cleaning import cleaned_gaussians
from splat_pipeline.assets.pictures import Poster, compared, drawn, evenly, save_jpeg
from splat_pipeline.assets.stages import Loaders, Machines, Movies, Outlets, Result, Stores, Work, job_asset, stage
from splat_pipeline.domain import orbit, tables
from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.delivered_poses import write_cameras
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.formats.exports import export
from splat_pipeline.domain.reference import header_lines
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.ports import ImageLoader, MovieWriter

POSES_ONLY_PX = 96
"""The loader gives pictures with their poses; where only poses are wanted, the pictures are small."""
COMPARED_PX, COMPARED_VIEWS = 480, 3
"""What a format loses is seen in so many pictures of this size."""
FILMED = ("source_videos", "keyframes", "camera_poses", "point_cloud", "cleaned")
TOLD = (*FILMED, "splat", "frame_quality", "exports", "preview")


@job_asset(deps=["keyframes", "camera_poses", "point_cloud", "cleaned"], kinds={"python"})
def exports(context: dg.AssetExecutionContext, store: Stores, machine: Machines, loader: Loaders) -> Result:
    """The splat in the formats that viewers read, each read back, drawn and compared."""
    with stage(context, store, machine) as work:
        gaussians = cleaned_gaussians(work)
        views = evenly(_captured(work, loader, longer_side_px=COMPARED_PX), COMPARED_VIEWS)
        # The time in the name is the contract with those who collect files; it gives equal Gaussians a new digest.
        stamp = machine.utc().translate(str.maketrans("", "", "-:TZ"))
        wanted, told = work.recipe.exports.formats, header_lines(pages.frame_of(work))
        compare = compared(gaussians, views) if views and len(gaussians) else None
        rows = export(gaussians, work.folder, stem=f"model-{stamp}", formats=wanted, comments=told, compare=compare)
        tables.write_table(work.folder / "formats.parquet", tables.FORMATS, rows)
        _write_cameras(work)
        work.publish(metadata=exports_shown(rows, len(gaussians)))
    return work.result()


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
        (work.folder / "preview.json").write_text(json.dumps(told, indent=1))
        work.publish(metadata=told)
    return work.result()


@job_asset(deps=TOLD, kinds={"python"})
def report(context: dg.AssetExecutionContext, store: Stores, machine: Machines, loader: Loaders) -> Result:
    """The page that a person reads first: what came out, how sure we are of it, and why."""
    with stage(context, store, machine) as work:
        for name in TOLD:
            work.input(name)
        summary = pages.summary_of(work)
        (work.folder / "report.html").write_text(pages.report_html(work, summary, loader), encoding="utf-8")
        work.publish(metadata={"detail": summary.detail, "status": summary.status, **pages.measured(summary)})
    return work.result()


@job_asset(deps=[*FILMED, "splat", "exports", "preview", "report"], kinds={"python"})
def package(context: dg.AssetExecutionContext, store: Stores, machine: Machines, outlet: Outlets) -> Result:
    """All that is handed over, with checksums, and what is needed to make it again."""
    with stage(context, store, machine) as work:
        summary = pages.summary_of(work)
        files = packaging.carried(work)
        delivery = packaging.delivery_of(work, summary, files, machine)
        (work.folder / "delivery.json").write_text(json.dumps(delivery, indent=1, ensure_ascii=False), encoding="utf-8")
        work.publish(metadata={"detail": summary.detail, "status": summary.status, "files": len(files)})
        packaging.hand_over(work, delivery, outlet)
    return work.result()


def _write_cameras(work: Work) -> None:
    """Write the cameras in the world of the splat."""
    kinds = work.recipe.exports.cameras
    world_from_sfm = Similarity.from_json(pages.frame_of(work)["world_from_sfm"])
    if kinds:
        write_cameras(work.folder, read_model(work.input("camera_poses") / "sparse"), world_from_sfm, kinds=kinds)


def exports_shown(rows: Sequence[Mapping[str, Any]], gaussians: int) -> dict[str, Any]:
    """Return the metadata of ``exports``."""
    lines = ["| format | bytes | a Gaussian | dB | what is lost |", "|---|---|---|---|---|"]
    for row in rows:
        seen = "" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}"
        each = row["size_bytes"] / max(1, gaussians)
        lines.append(f"| {row['format']} | {row['size_bytes']} | {each:.1f} | {seen} | {row['lost'] or ''} |")
    sizes = {f"{row['format']}_bytes": row["size_bytes"] for row in rows}
    return {"gaussians": gaussians, "formats": dg.MetadataValue.md("\n".join(lines)), **sizes}


def _captured(work: Work, loader: ImageLoader, *, longer_side_px: int) -> Sequence[View]:
    folders = (work.input("keyframes"), work.input("camera_poses"), work.input("point_cloud"))
    return loader.load(*folders, longer_side_px=longer_side_px, holdout=False).views


def _film(work: Work, loader: ImageLoader, movies: MovieWriter) -> dict[str, Any]:
    recipe = work.recipe.preview
    gaussians = cleaned_gaussians(work)
    captured = _captured(work, loader, longer_side_px=POSES_ONLY_PX)
    if not captured or not len(gaussians):
        raise SplatError("there is nothing to film: no Gaussians or no cameras")
    sides = sorted((recipe.width_px, recipe.height_px))
    camera = orbit.preview_camera(captured, longer_px=sides[1], shorter_px=sides[0])
    path = orbit.preview_path(gaussians, captured, camera, frames=max(2, round(recipe.seconds * recipe.fps)))
    work.log(f"filming {len(path.views)} frames, {path.kind}: {path.because}")
    (work.folder / "camera_path.json").write_text(json.dumps(orbit.nerfstudio_path(path, fps=recipe.fps)))
    poster = Poster()
    movies.write(work.folder / "preview.mp4", poster.watching(drawn(gaussians, path.views)), fps=recipe.fps)
    save_jpeg(poster.chosen(first=path.kind != "flight"), work.folder / "poster.jpg")
    size = {"width_px": camera.width_px, "height_px": camera.height_px, "fps": recipe.fps, "frames": len(path.views)}
    return {"ok": True, "path": path.kind, "reason": path.because, **size}
