"""Between training and export: Gaussians that only disturb are removed, if the held-out views do not suffer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.assets.pictures import evenly, likeness
from splat_pipeline.assets.stages import Loaders, Machines, Result, Stores, Work, job_asset, stage
from splat_pipeline.domain import tables
from splat_pipeline.domain.cleaning import Mask, Scene, captured, clean, unclean
from splat_pipeline.domain.formats.ply import read_ply, write_ply
from splat_pipeline.domain.fronts import front_of
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.ports.training import ImageLoader, TrainingViews

WEIGHED_PX = 480
"""Longer side of the training views in which contributions are summed."""
FRONT_VIEWS = 60
"""So many training views, evenly spread, tell where the triangulated points begin."""
SCORED_VIEWS = 24
"""So many held-out views, evenly spread, are drawn for each rule."""


class CleanConfig(dg.Config):
    """What a person may change in the launchpad; None: the job's own settings."""

    keep_all: bool | None = None
    crop: float | None = None


@job_asset(deps=["source_videos", "keyframes", "camera_poses", "point_cloud", "splat"], kinds={"python"})
def cleaned(
    context: dg.AssetExecutionContext, config: CleanConfig, store: Stores, machine: Machines, loader: Loaders
) -> Result:
    """The splat without floaters, needles, giants and what nobody sees, as far as held-out views do not suffer."""
    with stage(context, store, machine) as work:
        asked, recipe = config.model_dump(exclude_none=True), work.recipe.exports
        if asked:
            recipe = work.recipe.overridden({"exports": asked}, source="run config").exports
        scene = _scene(work, loader)
        heldout = _views(work, loader, longer_side_px=_trained_px(work), holdout=True)
        if recipe.keep_all or not heldout.views:
            because = "exports.keep_all is set" if recipe.keep_all else "no view was held out to measure the loss"
            kept, rows = np.ones(len(scene.gaussians), bool), unclean(because)
        else:
            kept, rows = clean(scene, likeness(*_spread(heldout)))
        if recipe.crop is not None and not recipe.keep_all:
            kept, row = _cropped(scene, kept, recipe.crop)
            rows = [*rows, row]
        _write(work, scene, kept, rows)
        removed = len(kept) - int(kept.sum())
        work.log(f"{removed} of {len(kept)} Gaussians removed")
        counts = {f"removed_{row['rule']}": row["removed"] for row in rows}
        shown = {"gaussians": int(kept.sum()), "removed": removed, **counts, "rules": cleaning_shown(rows)}
        work.publish(metadata=shown)
    return work.result()


def cleaned_gaussians(work: Work) -> Gaussians:
    """Return what is delivered."""
    return read_ply(work.input("cleaned") / "gaussians.ply")


def weights_of(work: Work) -> NDArray[np.float32]:
    """Return (N,) the contribution of each of ``cleaned_gaussians``, px."""
    frame = tables.read_table(work.input("cleaned") / "contributions.parquet", tables.CONTRIBUTIONS)
    return frame["weight_px"].to_numpy(np.float32)


def cleaning_told(work: Work) -> dict[str, Any]:
    """Return what was removed and by which rule, as ``delivery.json`` and the report tell it."""
    rows = tables.read_rows(work.input("cleaned") / "cleaning.parquet", tables.CLEANING)
    rows = [{name: None if pd.isna(value) else value for name, value in row.items()} for row in rows]
    return {"removed": sum(row["removed"] for row in rows), "rules": rows}


def cleaning_shown(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Return the rules as a table for the UI."""
    lines = ["| rule | found | removed | dB before | dB after | why |", "|---|--:|--:|--:|--:|---|"]
    for row in rows:
        seen = ["" if row[name] is None else f"{row[name]:.2f}" for name in ("psnr_before_db", "psnr_after_db")]
        lines.append(f"| {row['rule']} | {row['found']} | {row['removed']} | {' | '.join(seen)} | {row['because']} |")
    return dg.MetadataValue.md("\n".join(lines))


def _trained_px(work: Work) -> int:
    return int(json.loads((work.input("splat") / "plan.json").read_text())["longer_side_px"])


def _views(work: Work, loader: ImageLoader, *, longer_side_px: int, holdout: bool) -> TrainingViews:
    folders = (work.input("keyframes"), work.input("camera_poses"), work.input("point_cloud"))
    return loader.load(*folders, longer_side_px=longer_side_px, holdout=holdout)


def _scene(work: Work, loader: ImageLoader) -> Scene:
    # Here, so that the code location loads without the renderer's compiler.
    from splat_pipeline.splatting.contribution import contributions

    gaussians = read_ply(work.input("splat") / "gaussians.ply")
    views = _views(work, loader, longer_side_px=WEIGHED_PX, holdout=False).views
    cameras = np.array([view.center for view in views])
    points = tables.read_table(work.input("point_cloud") / "points.parquet", tables.POINTS)
    places = points[["x", "y", "z"]].to_numpy(float)
    fronts = [front_of(view, places) for view in evenly(views, FRONT_VIEWS)]
    return Scene(gaussians=gaussians, weights=contributions(gaussians, views), cameras=cameras, fronts=fronts)


def _spread(heldout: TrainingViews) -> tuple[list[Any], list[Any]]:
    chosen = evenly(range(len(heldout.views)), SCORED_VIEWS)
    return [heldout.views[i] for i in chosen], [heldout.images[i] for i in chosen]


def _cropped(scene: Scene, kept: Mask, crop: float) -> tuple[Mask, dict[str, Any]]:
    """Crop as was asked for, whatever it costs."""
    inside = kept & captured(scene, crop)
    found = int(kept.sum() - inside.sum())
    says = f"farther out than {crop:g} captured radii"
    told = {"rule": "crop", "says": says, "found": found, "removed": found, "because": "exports.crop asks for it"}
    return inside, {**told, "psnr_before_db": None, "psnr_after_db": None}


def _write(work: Work, scene: Scene, kept: Mask, rows: Sequence[Mapping[str, Any]]) -> None:
    write_ply(work.folder / "gaussians.ply", scene.gaussians.take(kept))
    tables.write_table(work.folder / "cleaning.parquet", tables.CLEANING, rows)
    weights = pd.DataFrame({"weight_px": scene.weights[kept]})
    tables.write_table(work.folder / "contributions.parquet", tables.CONTRIBUTIONS, weights)
