"""What a package holds: files carried over with their checksums, the manifest, and what a replay needs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from splat_pipeline.assets import pages
from splat_pipeline.assets.cleaning import cleaned_gaussians, cleaning_told
from splat_pipeline.assets.labels import header_of
from splat_pipeline.assets.sections import versions
from splat_pipeline.assets.stages import Work, lineage_of
from splat_pipeline.assets.work import GATES_FILE
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import WebhookFailed
from splat_pipeline.domain.handover import SPLATTER, message_of, write_splatter
from splat_pipeline.domain.quality import verdict_json
from splat_pipeline.domain.report import Summary, data_type_of, in_order
from splat_pipeline.ports.machine import Machine
from splat_pipeline.ports.outlets import Outlet

SCHEMA = 1
"""Of ``delivery.json`` and ``snapshot.json``."""
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
"""What a package takes from which artifact; None: all its files but the verdicts, which ``delivery.json`` tells."""


def carried(work: Work) -> list[dict[str, Any]]:
    """Fill the package by the layout that the job asks for; return an entry for each file."""
    files = [entry for asset, names in CARRIED.items() for entry in _carry(work, asset, names)]
    if work.recipe.delivery.layout == "package":
        return files
    kinds = write_splatter(work.folder, cleaned_gaussians(work), header_of(work))
    models = [file for file in files if file["data_type"] == "splat_data"]
    for file in models:
        (work.folder / file["name"]).unlink()
    others = [_moved(work, file) for file in files if file not in models]
    return [*(_entry(work.folder, name, kind) for name, kind in kinds.items()), *others]


def hand_over(work: Work, delivery: Mapping[str, Any], outlet: Outlet) -> None:
    """Deliver what was published and tell who wants to know.

    A message that nobody takes is a warning: the package is there.
    """
    assert work.published is not None
    home = str(work.store.deliver(work.published))
    work.metadata["delivered_to"] = dg.MetadataValue.path(home)
    job, made = work.job, work.published.version
    message = message_of(delivery, delivered_to=home, version=made)
    try:
        told = outlet.tell("delivered", message, job=job, version=made)
    except WebhookFailed as error:
        told = f"WebhookFailed: {error}"
        work.log(told)
    if told is not None:
        work.metadata["webhook"] = told


def _carry(work: Work, asset: str, names: tuple[str, ...] | None) -> list[dict[str, Any]]:
    """Copy an artifact's files into the package; return their entries, by the checksums that were verified."""
    folder = work.input(asset)
    entries = []
    for entry in work.inputs[asset].manifest["files"]:
        name = str(entry["name"])
        if name != GATES_FILE and (names is None or name in names):
            (work.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, work.folder / name)
            about = {"name": name, "data_type": data_type_of(Path(name).name)}
            entries.append({**about, "sha256": entry["sha256"], "size_bytes": entry["size_bytes"]})
    return entries


def delivery_of(work: Work, summary: Summary, files: Sequence[Mapping[str, Any]], machine: Machine) -> dict[str, Any]:
    """Write ``snapshot.json`` and return what ``delivery.json`` says."""
    (work.folder / "snapshot.json").write_text(json.dumps(_snapshot(work, machine), indent=1))
    lineage = lineage_of(work.inputs)
    return {
        "schema": SCHEMA,
        "job": work.job,
        "title": summary.title,
        "status": summary.status,
        "detail": summary.detail,
        "draft": summary.draft,
        "reasons": list(summary.reasons),
        "warnings": list(summary.warnings),
        "layout": work.recipe.delivery.layout,
        "files": [*files, _entry(work.folder, "snapshot.json", "splat_snapshot")],
        "formats": _plain(tables.read_rows(work.input("exports") / "formats.parquet", tables.FORMATS)),
        "metrics": summary.metrics,
        "gates": [verdict_json(verdict) for verdict in summary.gates],
        "cleaning": cleaning_told(work),
        "frame_of_reference": pages.frame_of(work),
        "timings": dict(in_order({name: about["seconds"] for name, about in lineage.items()})),
    }


def _snapshot(work: Work, machine: Machine) -> dict[str, Any]:
    """Return what a replay needs: settings, seeds, versions, and the digests of all that went in."""
    lineage = lineage_of(work.inputs)
    videos = tables.read_table(work.input("source_videos") / "videos.parquet", tables.VIDEOS)
    plan = json.loads((work.input("splat") / "plan.json").read_text())
    return {
        "schema": SCHEMA,
        "job": work.job,
        "recipe": work.recipe.model_dump(mode="json"),
        "plan": {key: value for key, value in plan.items() if key != "attempts"},
        "asked": {name: about["asked"] for name, about in lineage.items() if about.get("asked")},
        "seed": work.recipe.seed,
        "versions": versions(),
        "machine": machine.kind(),
        "uploaded": dict(zip(videos["name"], videos["sha256"], strict=True)),
        "artifacts": {name: about["digest"] for name, about in lineage.items()},
        "artifact_versions": {name: about["version"] for name, about in lineage.items()},
    }


def _moved(work: Work, file: dict[str, Any]) -> dict[str, Any]:
    """Put the film where this layout has it."""
    if file["data_type"] != "splat_preview_video":
        return file
    name = f"{SPLATTER}/{file['name']}"
    (work.folder / file["name"]).rename(work.folder / name)
    return {**file, "name": name}


def _entry(folder: Path, name: str, data_type: str) -> dict[str, Any]:
    with (folder / name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": name, "data_type": data_type, "sha256": digest, "size_bytes": (folder / name).stat().st_size}


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON has them: NaN is null."""
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]  # noqa: PLR0124
