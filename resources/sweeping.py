"""Things that may go, gone: by their rules or for want of room. What went is a row of the ``freed`` table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from resources.inventory import Held, Inventory
from splat_pipeline.domain import tables
from splat_pipeline.domain.intake import PARTITION_TAG, RUNNING
from splat_pipeline.domain.retention import Decision, KeepRules, decide, make_room


def sweep(inventory: Inventory, rules: Mapping[str, KeepRules], *, utc: str, dry_run: bool = False) -> list[Decision]:
    """Return a decision on everything; unless ``dry_run``, what goes by ``rules`` is gone, and only that ``goes``.

    The parts of cross-job tables are put together by days, too.
    """
    held = inventory.things()
    decisions = decide([each.thing for each in held], rules)
    if dry_run:
        return decisions
    gone = _remove(inventory, held, decisions, utc=utc)
    inventory.store.merge_tables(tables.CROSS_JOB, now_s=inventory.now_s())
    return [*gone, *(each for each in decisions if not each.goes)]


def spare(inventory: Inventory, wanted_bytes: int, *, least_age_s: float, utc: str) -> list[Decision]:
    """Remove old things that were delivered until ``wanted_bytes`` are free, uploads first; return what went."""
    held = inventory.things()
    decisions = make_room([each.thing for each in held], wanted_bytes=wanted_bytes, least_age_s=least_age_s)
    return _remove(inventory, held, decisions, utc=utc)


def busy_jobs(instance: dg.DagsterInstance) -> set[str]:
    """Return the jobs with a run that is not over, waiting ones too."""
    statuses = [status for status in dg.DagsterRunStatus if status.value in RUNNING]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}


def _remove(inventory: Inventory, held: Sequence[Held], decisions: Sequence[Decision], *, utc: str) -> list[Decision]:
    gone = inventory.remove(held, decisions)
    if gone:
        columns = [column.name for column in tables.FREED.columns]
        rows = [{**vars(each.thing), "because": each.because, "utc": utc} for each in gone]
        inventory.store.append(tables.FREED, [{name: row[name] for name in columns} for row in rows])
    return gone
