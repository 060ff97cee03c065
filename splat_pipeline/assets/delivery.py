"""From Gaussians to what people receive: files in common formats, a report, one package."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg

from splat_pipeline.assets import pages
from splat_pipeline.assets.cleaning import cleaned_gaussians, cleaning_told
from splat_pipeline.assets.pictures import compared, evenly
from splat_pipeline.assets.preview import FILMED, captured
from splat_pipeline.assets.stages import Loaders, Machines, Result, Stores, Work, job_asset, lineage_of, stage
from splat_pipeline.domain import tables
from splat_pipeline.domain.formats.exports import export
from splat_pipeline.domain.reference import header_lines
from splat_pipeline.domain.report import Summary, data_type_of, in_order

COMPARED_PX, COMPARED_VIEWS = 480, 3
"""What a format loses is seen in so many pictures of this size."""
TOLD = (*FILMED, "splat", "frame_quality", "exports", "preview", "viewer")
CARRIED = {
    "exports": None,
    "preview": None,
    "viewer": ("viewer.html",),
    "report": None,
    "point_cloud": ("points.ply", "frame_of_reference.json"),
    "camera_poses": ("poses.parquet",),
    "splat": ("heldout.parquet",),
    "cleaned": ("cleaning.parquet",),
}
"""What a package takes from which artifact; None: all its files."""
PACKAGES = (
    "splat_pipeline",
    "dagster",
    "numpy",
    "numba",
    "pandas",
    "pyarrow",
    "pycolmap",
    "opencv-python-headless",
    "av",
)


@job_asset(deps=["keyframes", "camera_poses", "point_cloud", "cleaned"], kinds={"python"})
def exports(context: dg.AssetExecutionContext, store: Stores, machine: Machines, loader: Loaders) -> Result:
    """The splat in the formats that viewers read, each read back, drawn and compared."""
    with stage(context, store, machine) as work:
        gaussians = cleaned_gaussians(work)
        views = evenly(captured(work, loader, longer_side_px=COMPARED_PX).views, COMPARED_VIEWS)
        # The time in the name is the contract with those who collect files; it gives equal Gaussians a new digest.
        stamp = machine.utc().translate(str.maketrans("", "", "-:TZ"))
        wanted, told = work.recipe.exports.formats, header_lines(pages.frame_of(work))
        compare = compared(gaussians, views) if views and len(gaussians) else None
        rows = export(gaussians, work.folder, stem=f"model-{stamp}", formats=wanted, comments=told, compare=compare)
        tables.write_table(work.folder / "formats.parquet", tables.FORMATS, rows)
        work.publish(metadata=exports_shown(rows, len(gaussians)))
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


@job_asset(deps=[*FILMED, "splat", "exports", "preview", "viewer", "report"], kinds={"python"}, reusable=False)
def package(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> Result:
    """All that is handed over, with checksums, and what is needed to make it again."""
    with stage(context, store, machine) as work:
        summary = pages.summary_of(work)
        files = [entry for asset, names in CARRIED.items() for entry in _carry(work, asset, names)]
        (work.folder / "snapshot.json").write_text(json.dumps(_snapshot(work), indent=1))
        delivery = _delivery(work, summary, files)
        (work.folder / "delivery.json").write_text(json.dumps(delivery, indent=1, ensure_ascii=False), encoding="utf-8")
        work.publish(metadata={"detail": summary.detail, "status": summary.status, "files": len(files)})
        assert work.published is not None
        work.metadata["delivered_to"] = dg.MetadataValue.path(str(store.deliver(work.published)))
    return work.result()


def exports_shown(rows: Sequence[Mapping[str, Any]], gaussians: int) -> dict[str, Any]:
    """Return the metadata of ``exports``."""
    lines = ["| format | bytes | a Gaussian | dB | what is lost |", "|---|---|---|---|---|"]
    for row in rows:
        seen = "" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}"
        each = row["size_bytes"] / max(1, gaussians)
        lines.append(f"| {row['format']} | {row['size_bytes']} | {each:.1f} | {seen} | {row['lost'] or ''} |")
    sizes = {f"{row['format']}_bytes": row["size_bytes"] for row in rows}
    return {"gaussians": gaussians, "formats": dg.MetadataValue.md("\n".join(lines)), **sizes}


def _carry(work: Work, asset: str, names: tuple[str, ...] | None) -> list[dict[str, Any]]:
    """Copy an artifact's files into the package; return their entries, by the checksums that were verified."""
    folder = work.input(asset)
    entries = []
    for entry in work.inputs[asset].manifest["files"]:
        name = str(entry["name"])
        if names is None or name in names:
            shutil.copyfile(folder / name, work.folder / Path(name).name)
            about = {"name": Path(name).name, "data_type": data_type_of(Path(name).name)}
            entries.append({**about, "sha256": entry["sha256"], "size_bytes": entry["size_bytes"]})
    return entries


def _delivery(work: Work, summary: Summary, files: list[dict[str, Any]]) -> dict[str, Any]:
    lineage = lineage_of(work.inputs)
    return {
        "job": work.job,
        "title": summary.title,
        "status": summary.status,
        "detail": summary.detail,
        "reasons": list(summary.reasons),
        "warnings": list(summary.warnings),
        "files": files,
        "metrics": summary.metrics,
        "gates": [pages.gate_of(verdict) for verdict in summary.gates],
        "cleaning": cleaning_told(work),
        "frame_of_reference": pages.frame_of(work),
        "timings": dict(in_order({name: about["seconds"] for name, about in lineage.items()})),
    }


def _snapshot(work: Work) -> dict[str, Any]:
    """Return what a replay needs: settings, seeds, versions, and the digests of all that went in."""
    videos = tables.read_table(work.input("source_videos") / "videos.parquet", tables.VIDEOS)
    plan = json.loads((work.input("splat") / "plan.json").read_text())
    return {
        "recipe": work.recipe.model_dump(mode="json"),
        "plan": {key: value for key, value in plan.items() if key != "attempts"},
        "seed": work.recipe.seed,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "uploaded": dict(zip(videos["name"], videos["sha256"], strict=True)),
        "artifacts": {name: about["digest"] for name, about in lineage_of(work.inputs).items()},
    }
