"""From Gaussians to what people receive: files in common formats, a report, one package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from splat_pipeline.assets import packaging, pages
from splat_pipeline.assets.checks import Gated
from splat_pipeline.assets.cleaning import cleaned_gaussians, weights_of
from splat_pipeline.assets.labels import header_of, plan_of
from splat_pipeline.assets.pictures import compared, evenly
from splat_pipeline.assets.preview import FILMED, captured
from splat_pipeline.assets.stages import Loaders, Machines, Outlets, Result, Stores, Work, job_asset, stage
from splat_pipeline.domain import tables
from splat_pipeline.domain.delivered_poses import write_cameras
from splat_pipeline.domain.formats.budgets import Budget
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.formats.exports import export
from splat_pipeline.domain.metrics.exports import export_metrics
from splat_pipeline.domain.rigid import Similarity

COMPARED_PX, COMPARED_VIEWS = 480, 3
"""What a format loses is seen in so many pictures of this size."""
TOLD = (*FILMED, "frame_quality", "exports", "preview", "viewer")


@job_asset(deps=["keyframes", "camera_poses", "point_cloud", "splat", "cleaned"], kinds={"python"})
def exports(
    context: dg.AssetExecutionContext, config: Gated, store: Stores, machine: Machines, loader: Loaders
) -> Result:
    """The splat in the formats that viewers read, each read back, drawn and compared."""
    with stage(context, store, machine, lift=config.lift) as work:
        gaussians = cleaned_gaussians(work)
        views = evenly(captured(work, loader, longer_side_px=COMPARED_PX).views, COMPARED_VIEWS)
        # The time in the name is the contract with those who collect files; it gives equal Gaussians a new digest.
        stamp = machine.utc().translate(str.maketrans("", "", "-:TZ"))
        how: dict[str, Any] = {"formats": work.recipe.exports.formats, "comments": header_of(work)}
        how |= {"budget": _budget(work), "compare": compared(gaussians, views) if views and len(gaussians) else None}
        rows = export(gaussians, work.folder, stem=f"model-{stamp}", **how)
        tables.write_table(work.folder / "formats.parquet", tables.FORMATS, rows)
        _write_cameras(work)
        shown = {"detail": plan_of(work)["detail"], **exports_shown(rows, len(gaussians))}
        work.publish(metadata=shown, metrics=export_metrics(gaussians, rows))
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
        work.links("report.html")
    return work.result()


@job_asset(deps=[*FILMED, "exports", "preview", "viewer", "report"], kinds={"python"}, reusable=False)
def package(context: dg.AssetExecutionContext, store: Stores, machine: Machines, outlet: Outlets) -> Result:
    """All that is handed over, with checksums, and what is needed to make it again."""
    with stage(context, store, machine) as work:
        summary = pages.summary_of(work)
        files = packaging.carried(work)
        delivery = packaging.delivery_of(work, summary, files, machine)
        (work.folder / "delivery.json").write_text(json.dumps(delivery, indent=1, ensure_ascii=False), encoding="utf-8")
        work.publish(metadata={"detail": summary.detail, "status": summary.status, "files": len(files)})
        work.links("report.html", "viewer.html", "preview.mp4")
        packaging.hand_over(work, delivery, outlet)
    return work.result()


def _budget(work: Work) -> Budget | None:
    most = work.recipe.exports.max_bytes
    return None if most is None else Budget(most_bytes=most, weights=weights_of(work))


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
        lost = "; ".join(filter(None, (row["left_out"], row["lost"])))
        lines.append(f"| {row['format']} | {row['size_bytes']} | {each:.1f} | {seen} | {lost} |")
    sizes = {f"{row['format']}_bytes": row["size_bytes"] for row in rows}
    return {"gaussians": gaussians, "formats": dg.MetadataValue.md("\n".join(lines)), **sizes}
