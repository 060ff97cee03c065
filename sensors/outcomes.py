"""The door out of the inbox: an upload moves to processed/ or, with a reason, to error/ when its run ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from sensors.second_chances import is_owed_a_retry
from splat_pipeline.assets.failures import explain
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.ports import Store

PARTITION_TAG = "dagster/partition"
WILL_RETRY = "dagster/will_retry"
REASON = ".reason.json"


@dataclass(frozen=True, kw_only=True)
class Shelves:
    """Where uploads lie before and after their run."""

    inbox: Path
    processed: Path
    errors: Path

    def shelve(self, name: str, reason: Mapping[str, Any] | None) -> Path:
        """Move ``inbox/name`` to its shelf and return where it lies now; ``reason`` tells that it failed, and why.

        The reason is written before the move: an upload is never in error/ without one. Names that are taken get a
        UTC suffix.
        """
        shelf = self.processed if reason is None else self.errors
        shelf.mkdir(parents=True, exist_ok=True)
        target = _free(shelf / name)
        if reason is not None:
            target.with_name(target.name + REASON).write_text(json.dumps(reason, indent=1))
        shutil.move(self.inbox / name, target)
        return target

    def name_of(self, upload: Upload) -> str | None:
        """Return the name of a managed upload in the inbox, or None when it is not there (any more)."""
        place = Path(upload.location)
        if not upload.managed:
            return None
        name = place.name if place.parent == self.inbox else upload.files[0].name
        return name if (self.inbox / name).exists() and self.inbox in (place, place.parent) else None


def outcome_sensors(
    shelves: Shelves, *, store: Store, job: dg.UnresolvedAssetJobDefinition
) -> list[dg.SensorDefinition]:
    """Return the two sensors that clear the inbox after a run succeeded or failed."""

    @dg.run_status_sensor(
        name="shelve_processed",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[job],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Moves the upload of a successful run to {shelves.processed}.",
    )
    def processed(context: dg.RunStatusSensorContext) -> None:
        _end(context, shelves, store, reason=None)

    @dg.run_failure_sensor(
        name="shelve_failed",
        monitored_jobs=[job],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Moves the upload of a failed run to {shelves.errors}, with its reason beside it.",
    )
    def failed(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        if run.tags.get(WILL_RETRY) == "true" or is_owed_a_retry(context.instance, run):
            context.log.info("it is run again: the upload stays")
            return
        run_id = context.dagster_run.run_id
        records = context.instance.all_logs(run_id)
        reason = explain(entry.dagster_event for entry in records if entry.dagster_event)
        _end(context, shelves, store, reason={**reason, "job": _partition(context), "run_id": run_id})

    return [processed, failed]


def _end(
    context: dg.RunStatusSensorContext, shelves: Shelves, store: Store, *, reason: Mapping[str, Any] | None
) -> None:
    upload = store.upload(_partition(context))
    name = shelves.name_of(upload)
    if name is None:
        context.log.info(f"the upload of {upload.job} is not in the inbox: nothing to move")
        return
    target = shelves.shelve(name, reason)
    location = target.parent if name != Path(upload.location).name else target
    store.register(replace(upload, location=str(location), managed=False))
    context.log.info(f"{name} now lies in {target}")


def _partition(context: dg.RunStatusSensorContext) -> str:
    return context.dagster_run.tags[PARTITION_TAG]


def _free(path: Path) -> Path:
    if not path.exists():
        return path
    return path.with_name(f"{path.stem}-{datetime.now(UTC):%Y%m%d%H%M%S%f}{path.suffix}")
