"""What goes wrong over all jobs, as one table asset beside the graph of a job."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pandas as pd

from splat_pipeline.assets.failures import classified
from splat_pipeline.assets.partitions import GROUP
from splat_pipeline.assets.stages import Stores
from splat_pipeline.domain import tables
from splat_pipeline.domain.failure_overview import Overview, overview
from splat_pipeline.domain.quality import LIMITS
from splat_pipeline.ports.stores import Store

ALL_JOBS = "all-jobs"
"""Stands in the place of a job where an artifact is of none; no key of a job is without its digest."""
SHOWN = 20
"""Rows of a table in the metadata; the artifact has all."""


def overview_of(store: Store) -> Overview:
    """Return what goes wrong over all jobs of a store, as its tables are now."""
    stages, gates, corrections = (store.rows(spec) for spec in (tables.STAGES, tables.GATES, tables.CORRECTIONS))
    return overview(stages, gates, corrections, {gate: limit.error for gate, limit in LIMITS.items()})


@dg.asset(group_name=GROUP, kinds={"pandas"})
@classified
def failure_overview(context: dg.AssetExecutionContext, store: Stores) -> dg.MaterializeResult[Any]:
    """Over all jobs: recurring failures, success by stage, corrections a segment, cost by type of scene."""
    found = overview_of(store)
    parts = {"failures": found.failures, "stages": found.stages, "corrections": found.corrections, "cost": found.cost}
    with store.scratch(ALL_JOBS, "failure_overview") as folder:
        for name, frame in parts.items():
            frame.convert_dtypes().to_parquet(folder / f"{name}.parquet")
        made = store.publish(ALL_JOBS, "failure_overview", folder, provenance={"run_id": context.run.run_id})
    return dg.MaterializeResult(
        data_version=dg.DataVersion(made.digest),
        metadata={
            "kinds_of_failure": len(found.failures),
            "jobs": int(store.rows(tables.STAGES)["job"].nunique()),
            "corrections_per_segment": mean_corrections(found),
            **{name: dg.MetadataValue.md(markdown(frame)) for name, frame in parts.items()},
        },
    )


def mean_corrections(found: Overview) -> float:
    """Return how many attempts beyond the first a segment takes on average; 0 where there is none."""
    return round(float((found.corrections["attempts"] - 1).mean()), 4) if len(found.corrections) else 0.0


def markdown(frame: pd.DataFrame) -> str:
    """Return the first rows as a table."""
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    for row in frame.head(SHOWN).itertuples(index=False):
        cells = ["" if value is None else str(value).replace("|", "·") for value in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
