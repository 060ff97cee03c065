"""What became of every job, out of the cross-job tables and the deliveries."""

from __future__ import annotations

import json

import pandas as pd

from resources.stores import FileStore
from splat_pipeline.domain import tables

_MEGABYTE = 1e6


def jobs_table(store: FileStore) -> pd.DataFrame:
    """Return a line for each job: what it is called, what was delivered, what failed last."""
    stages = store.rows(tables.STAGES)
    rows = []
    for job in store.jobs():
        mine = stages[stages["job"] == job]
        last = mine.iloc[-1] if len(mine) else None
        outcome = "" if last is None else f"{last['stage']}: {last['failure_signature'] or last['outcome']}"
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


def stages_table(store: FileStore, job: str) -> pd.DataFrame:
    """Return a line for each stage of one job: the last time that it was computed. Raises ``MissingArtifact``."""
    store.upload(job)
    stages = store.rows(tables.STAGES)
    last = stages[stages["job"] == job].drop_duplicates("stage", keep="last")
    return pd.DataFrame(
        {
            "stage": last["stage"],
            "outcome": last["failure_signature"].fillna(last["outcome"]),
            "seconds": last["seconds"].round(1),
            "peak MB": (last["peak_rss_bytes"] / _MEGABYTE).round().astype(int),
            "in MB": (last["bytes_in"] / _MEGABYTE).round(1),
            "out MB": (last["bytes_out"] / _MEGABYTE).round(1),
            "at": last["utc"],
        }
    )
