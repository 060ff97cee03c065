"""The door out of the inbox: an upload moves to processed/ or, with a reason, to error/ when its run has ended.

What ended is read from Dagster's log, by the numbers of its entries and by no clock. What could not be moved is tried
again at every tick; a move that was made, or was broken off, ends the same when it is made again. So nothing but the
log and the places has to outlive a crash.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from sensors.discreet import discreet
from sensors.second_chances import is_owed_a_retry, is_undecided
from splat_pipeline.assets.failures import evidence, explain
from splat_pipeline.domain.errors import Cancelled, MissingArtifact, SplatError
from splat_pipeline.domain.inbox import Moment
from splat_pipeline.domain.intake import PARTITION_TAG, STAMP_TAG, UPLOAD_TAG, outcome
from splat_pipeline.ports.stores import Shelved, Store, UploadShelves

WILL_RETRY = "dagster/will_retry"
ENDS = {
    "success": dg.DagsterEventType.RUN_SUCCESS,
    "failure": dg.DagsterEventType.RUN_FAILURE,
    "canceled": dg.DagsterEventType.RUN_CANCELED,
}
AT_ONCE = 300
"""Ends of runs that a tick reads of each kind; more wait for the next."""
BUDGET_S = 20
"""After so long no further upload is moved in a tick: Dagster ends one after 60 s, and all that it did with it."""
MARGIN = 200
"""Entries of the log that are read again: of two that are written at once, the later one may be seen first."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """What is remembered from one tick to the next."""

    after: Mapping[str, int] = field(default_factory=dict)
    """Last entry of the log that was read, by kind of end."""
    pending: tuple[str, ...] = ()
    """Runs whose upload could not be moved yet."""
    done: tuple[str, ...] = ()
    """Runs that were dealt with lately."""

    def dump(self) -> str:
        """Return it as text."""
        return json.dumps({"after": self.after, "pending": self.pending, "done": self.done}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Invert ``dump``; None is where the log begins."""
        data = json.loads(text) if text else {}
        lists = {name: tuple(data.get(name, ())) for name in ("pending", "done")}
        return cls(after=data.get("after", {}), **lists)


@dataclass(frozen=True, kw_only=True)
class Exit:
    """What the sensor works with."""

    shelves: UploadShelves
    store: Store
    job_name: str
    ui: str
    """Address of Dagster's UI, for links."""
    now: Callable[[], Moment]


def outcomes_sensor(out: Exit, *, poll_s: int) -> dg.SensorDefinition:
    """Return the sensor that clears the inbox of uploads whose run has ended."""

    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor, runs = _ended(context.instance, Cursor.parse(context.cursor), out.job_name)
        pending: list[str] = []
        done: list[str] = []
        began = out.now().s
        for run in runs:
            settled = out.now().s - began < BUDGET_S and _settle(run, out, context)
            (done if settled else pending).append(run.run_id)
        said = f"{len(done)} runs have ended, {len(pending)} uploads wait to be moved"
        kept = tuple(dict.fromkeys([*done, *cursor.done]))[:AT_ONCE]
        return dg.SensorResult(
            cursor=replace(cursor, pending=tuple(pending), done=kept).dump(), skip_reason=dg.SkipReason(said)
        )

    return dg.SensorDefinition(
        name="outcomes",
        evaluation_fn=discreet(tick),
        job_name=out.job_name,
        minimum_interval_seconds=poll_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Moves the upload of a run that has ended to processed/ or, with its reason, to error/.",
    )


def _ended(instance: dg.DagsterInstance, cursor: Cursor, job_name: str) -> tuple[Cursor, list[dg.DagsterRun]]:
    """Return the runs of the job that ended since, with those that wait, and where the log was read up to."""
    ids, after = list(cursor.pending), dict(cursor.after)
    for name, kind in ENDS.items():
        read = dg.RunStatusChangeRecordsFilter(
            event_type=kind,  # type: ignore[arg-type]  # its kinds are named one by one there
            after_storage_id=max(0, after.get(name, 0) - MARGIN),
        )
        for record in instance.fetch_run_status_changes(read, limit=AT_ONCE, ascending=True).records:
            ids.append(record.event_log_entry.run_id)
            after[name] = max(after.get(name, 0), record.storage_id)
    new = [run_id for run_id in dict.fromkeys(ids) if run_id not in cursor.done]
    found = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=new))} if new else {}
    runs = [found[run_id] for run_id in new if run_id in found and found[run_id].job_name == job_name]
    return replace(cursor, after=after), [run for run in runs if UPLOAD_TAG in run.tags]


def _settle(run: dg.DagsterRun, out: Exit, context: dg.SensorEvaluationContext) -> bool:
    """Move the upload of a run; tell whether there is nothing left to do."""
    instance = context.instance
    if not run.is_finished or is_undecided(instance, run):
        return False  # Dagster writes the end into its log first, then into its table of runs, then what follows
    if run.status is dg.DagsterRunStatus.FAILURE and instance.run_retries_enabled:
        if run.tags.get(WILL_RETRY) == "true":
            context.log.info(f"Dagster runs {run.run_id} again: the upload stays")
            return True
        if is_owed_a_retry(instance, run):
            return False
    name, job = run.tags[UPLOAD_TAG], run.tags[PARTITION_TAG]
    told = _told(run, instance, out)
    try:
        shelved = _shelved(name, job, run.tags[STAMP_TAG], told, out)
    except (SplatError, OSError) as error:
        context.log.error(f"{name} is moved later: {error}")  # noqa: TRY400  # no traceback for users
        return False
    if shelved is None:
        context.log.info(f"{name} is not in the inbox, or changed since: it stays")
    else:
        context.log.info(f"{name} now lies in {shelved.place}")
    return True


def _shelved(name: str, job: str, stamp: str, told: Mapping[str, Any], out: Exit) -> Shelved | None:
    """Move an upload that is as it was when its run was asked for, or as it was registered since."""
    try:
        upload = out.store.upload(job)
    except MissingArtifact:
        upload = None
    stamps = [stamp, *([upload.stamp] if upload is not None and upload.entry == name else [])]
    for lay in dict.fromkeys(stamps):
        shelved = out.shelves.shelve(name, told, stamp=lay)
        if shelved is not None:
            if upload is not None and upload.managed and upload.entry == name:
                out.store.register(replace(upload, location=shelved.location, managed=False))
            return shelved
    return None


def _told(run: dg.DagsterRun, instance: dg.DagsterInstance, out: Exit) -> dict[str, Any]:
    record = instance.get_run_record_by_id(run.run_id)
    ended = datetime.fromtimestamp(record.end_time, UTC) if record and record.end_time else datetime.now(UTC)
    told = outcome(
        run.run_id,
        run.tags,
        job=run.tags[PARTITION_TAG],
        utc=ended.strftime("%Y-%m-%dT%H:%M:%SZ"),
        link=f"{out.ui.rstrip('/')}/runs/{run.run_id}",
    )
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return {"result": "delivered", **told}
    if run.status is dg.DagsterRunStatus.CANCELED:
        return {**Cancelled("the run was ended before it was done").to_json(), **told}
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    return {**explain(events), "evidence": evidence(events), **told}
