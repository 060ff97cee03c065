"""The door for bad news: failed runs, and warnings that begin or end, go to a webhook.

What was told is remembered in the cursor. A message that nobody takes is sent again at the next tick, in order, so
that none is lost while the receiver is down; the tick's reason says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import dagster as dg

from sensors.discreet import discreet
from sensors.second_chances import is_owed_a_retry, is_undecided
from splat_pipeline.assets.failures import explain
from splat_pipeline.domain.errors import WebhookFailed
from splat_pipeline.ports.outlets import Messenger

Step = tuple[str | None, Mapping[str, Any], dict[str, Any]]
"""What to tell (None: nothing), and what changes of the cursor once it is told."""
PARTITION_TAG, TITLE_TAG, WILL_RETRY = "dagster/partition", "splat/title", "dagster/will_retry"
FAILED = "run_failed"
AT_ONCE = 10
"""Failures told in a tick: it must end before Dagster gives up on it."""

Warnings = Callable[[dg.DagsterInstance], Mapping[str, str]]
"""Returns what is amiss right now: event name to words. Names end in what it is about: disk_low, budget_held:gold."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """What was told so far."""

    after: int | None = None
    """Entry of Dagster's log of the last failure that was told."""
    active: Mapping[str, str] = field(default_factory=dict)
    """Warnings that were told and have not ended."""

    def dump(self) -> str:
        """Return it as text."""
        return json.dumps({"after": self.after, "active": dict(self.active)})

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Invert ``dump``; None is where nothing was told yet."""
        return cls(**json.loads(text)) if text else cls()


def alerts_sensor(messenger: Messenger, *, warnings: Warnings, job_name: str, every_s: int = 30) -> dg.SensorDefinition:
    """Return the sensor that tells. Failures before its first tick are not told."""

    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor, said, sent = Cursor.parse(context.cursor), "", 0
        told = chain(_warned(cursor, warnings(context.instance)), _failed(cursor, context.instance, job_name))
        for event, message, after in told:
            if event is not None:
                try:
                    messenger.post(event, message)
                except WebhookFailed as error:
                    said = f"; {error} It is sent again."
                    break
                sent += 1
            cursor = replace(cursor, **after)
        return dg.SensorResult(cursor=cursor.dump(), skip_reason=dg.SkipReason(f"{sent} messages sent{said}"))

    return dg.SensorDefinition(
        name="alerts",
        evaluation_fn=discreet(tick),
        job_name=job_name,
        minimum_interval_seconds=every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells a webhook of failed runs, and of warnings of disk and budgets when they begin and end.",
    )


def _warned(cursor: Cursor, now: Mapping[str, str]) -> Iterator[Step]:
    """Yield warnings that began or ended since ``cursor``."""
    active = dict(cursor.active)
    for name in sorted(now.keys() - active.keys()):
        active[name] = now[name]
        yield name, {"warning": name, "because": now[name]}, {"active": dict(active)}
    for name in sorted(active.keys() - now.keys()):
        because = active.pop(name)
        yield f"{name}_over", {"warning": name, "because": because}, {"active": dict(active)}


def _failed(cursor: Cursor, instance: dg.DagsterInstance, job_name: str) -> Iterator[Step]:
    """Yield runs that failed since ``cursor``, oldest first, without those that are run again."""
    newest = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    last = newest[0].storage_id if newest else 0
    if cursor.after is None:
        yield None, {}, {"after": last}
        return
    since = dg.RunStatusChangeRecordsFilter(event_type=dg.DagsterEventType.RUN_FAILURE, after_storage_id=cursor.after)
    for record in instance.fetch_run_status_changes(since, limit=AT_ONCE, ascending=True).records:
        run = instance.get_run_by_id(record.run_id)
        if run is not None and is_undecided(instance, run):
            return  # it is asked after at the next tick
        ours = run is not None and run.job_name == job_name and _is_final(instance, run)
        message = _message(instance, run) if run is not None and ours else {}
        yield FAILED if ours else None, message, {"after": record.storage_id}


def _is_final(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    return run.tags.get(WILL_RETRY) != "true" and not is_owed_a_retry(instance, run)


def _message(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, Any]:
    events = (entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event)
    about = {"job": run.tags.get(PARTITION_TAG), "title": run.tags.get(TITLE_TAG), "run_id": run.run_id}
    return {**about, **explain(events)}
