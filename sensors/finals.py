"""After a draft was delivered, the run for the final result: it takes over all that the draft's run found out."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

from sensors.discreet import discreet
from splat_pipeline.assets.splats import final_config
from splat_pipeline.assets.traces import REUSE_TAG
from splat_pipeline.domain.errors import MissingArtifact
from splat_pipeline.domain.intake import OWNER_TAG, PARTITION_TAG, PRIORITY_TAG, PRODUCT_TAG, TITLE_TAG
from splat_pipeline.ports.stores import Store

DRAFT_TAG = "splat/draft"
"""Of the run for a final result: the run whose draft it replaces."""


def finals_sensor(*, store: Store, job: dg.UnresolvedAssetJobDefinition, poll_s: int) -> dg.SensorDefinition:
    """Return the sensor that asks for the final result of every draft that was delivered."""

    @dg.run_status_sensor(
        name="finals",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[job],
        request_job=job,
        minimum_interval_seconds=poll_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the run for the final result when a draft was delivered.",
    )
    @discreet
    def finals(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        run = context.dagster_run
        partition = run.tags.get(PARTITION_TAG)
        if OWNER_TAG in run.tags:
            return dg.SkipReason(f"run {run.run_id} is of a command, which goes on by itself")
        if partition is None or not _is_draft_of(store, partition, run.run_id):
            return dg.SkipReason(f"run {run.run_id} delivered no draft")
        tags = {name: run.tags[name] for name in (TITLE_TAG, PRODUCT_TAG, PRIORITY_TAG) if name in run.tags}
        return dg.RunRequest(
            run_key=f"final:{run.run_id}",
            partition_key=partition,
            run_config=final_run_config(run.run_config),
            tags={**tags, DRAFT_TAG: run.run_id, REUSE_TAG: "true"},
        )

    return finals


def final_run_config(run_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the launchpad said of the draft's run, with the final result asked for."""
    config = copy.deepcopy(dict(run_config))
    config["ops"] = final_config(config.get("ops", {}))
    return config


def _is_draft_of(store: Store, job: str, run_id: str) -> bool:
    """Tell whether the package of a job is a draft, and the one that this run made."""
    try:
        package = store.fetch(job, "package")
    except MissingArtifact:
        return False  # a run of some stages only
    delivery = json.loads((package.folder / "delivery.json").read_text())
    return bool(delivery.get("draft")) and package.manifest["run_id"] == run_id
