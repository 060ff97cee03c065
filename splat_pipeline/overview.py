"""What became of every job, out of the store, its cross-job tables and the deliveries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from resources.stores import FileStore
from splat_pipeline.domain import tables
from splat_pipeline.domain.alike import code_in
from splat_pipeline.domain.costs import Prices, costs_of
from splat_pipeline.domain.formats.files import format_of_name
from splat_pipeline.settings import Settings

_MEGABYTE = 1e6


def store_of(settings: Settings) -> FileStore:
    """Return the store that the settings name."""
    return FileStore(
        settings.place("store"),
        settings.place("delivered"),
        local=settings.folder("work"),
        copies_bytes=round(settings.copies_gb * 1e9),
        address=settings.artifact_url,
    )


def summary_of(settings: Settings, job: str) -> dict[str, Any]:
    """Return what a run ends with, out of the package that was delivered last: outputs by kind, and the metrics."""
    folder = store_of(settings).delivery_of(job)
    assert folder is not None
    facts = json.loads((folder / "delivery.json").read_text())
    outputs = {_output(file): str(folder / file["name"]) for file in facts["files"]}
    metrics = {name: round(v, 4) if isinstance(v, float) else v for name, v in facts["metrics"].items()}
    about = {"job": job, "status": facts["status"], "detail": facts["detail"]}
    about |= {"draft": True} if facts.get("draft") else {}
    return {**about, "outputs": outputs, **metrics}


def _outcomes(stages: pd.DataFrame) -> pd.Series[str]:
    """Return success, or the class of failure."""
    failures = stages["failure_signature"].astype(object)
    outcomes: pd.Series[str] = stages["outcome"].astype(object)
    return outcomes.where(failures.isna(), failures.map(code_in, na_action="ignore"))


def _output(file: dict[str, Any]) -> str:
    """Return ply for model-20260101000000.ply, preview for preview.mp4."""
    path = Path(file["name"])
    return format_of_name(path) if file["data_type"] in {"splat_data", "splat_model"} else path.stem


def jobs_table(store: FileStore) -> pd.DataFrame:
    """Return a line for each job: what it is called, what was delivered, what failed last."""
    stages = store.rows(tables.STAGES)
    rows = []
    for job in store.jobs():
        mine = stages[stages["job"] == job]
        outcome = f"{mine['stage'].iloc[-1]}: {_outcomes(mine).iloc[-1]}" if len(mine) else ""
        delivered = store.delivery_of(job)
        facts = json.loads((delivered / "delivery.json").read_text()) if delivered else {}
        rows.append(
            {
                "job": job,
                "title": store.upload(job).title,
                "last stage": outcome,
                "detail": facts.get("detail", ""),
                "delivered": str(delivered or ""),
            }
        )
    return pd.DataFrame(rows, columns=["job", "title", "last stage", "detail", "delivered"])


def stages_table(store: FileStore, job: str, prices: Prices | None = None) -> pd.DataFrame:
    """Return a line for each stage of one job: the last time that it ran, and what all its times cost together.

    The price is left out where none is set. Raises ``MissingArtifact``.
    """
    store.upload(job)
    stages = store.rows(tables.STAGES)
    mine = stages[stages["job"] == job]
    last = mine.drop_duplicates("stage", keep="last")
    cost = {}
    if prices is not None and len(mine) and (prices.hour is not None or prices.gigabyte is not None):
        sums = costs_of(mine, prices, ["stage"]).set_index("stage")["price"]
        cost = {prices.currency: last["stage"].map(sums).round(4)}
    return pd.DataFrame(
        {
            "stage": last["stage"],
            "outcome": _outcomes(last),
            "seconds": last["seconds"].round(1),
            "peak MB": (last["peak_rss_bytes"] / _MEGABYTE).round().astype(int),
            "in MB": (last["bytes_in"] / _MEGABYTE).round(1),
            "out MB": (last["bytes_out"] / _MEGABYTE).round(1),
            **cost,
            "at": last["utc"],
        }
    )
