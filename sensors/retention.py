"""The door for what has had its time: a job that removes it, once a day."""
# No "from __future__ import annotations" here: Dagster reads the annotation of an op's context as it stands.

from collections import Counter
from collections.abc import Callable, Sequence

import dagster as dg

from splat_pipeline.domain.retention import Decision

Sweep = Callable[[dg.DagsterInstance], Sequence[Decision]]
"""Removes what goes and returns every decision."""
JOB = "retention"
LINES = 50
"""Of the table in the UI; the ``freed`` table has all."""


def retention_schedule(sweep: Sweep, *, cron: str) -> dg.ScheduleDefinition:
    """Return the schedule, with its job."""

    @dg.op(description="Removes what the retention rules say.")
    def remove(context: dg.OpExecutionContext) -> None:
        decisions = sweep(context.instance)
        gone = [each for each in decisions if each.goes]
        freed: Counter[str] = Counter()
        for each in gone:
            freed[each.thing.kind] += each.thing.size_bytes
        head = "| what | MB | why |\n|---|--:|---|\n"
        lines = [f"| {e.thing.name} | {e.thing.size_bytes / 1e6:.1f} | {e.because} |" for e in gone[:LINES]]
        context.log.info(f"{len(gone)} of {len(decisions)} things went, {sum(freed.values()) / 1e6:.1f} MB")
        sizes = {f"{kind}_bytes": size for kind, size in freed.items()}
        context.add_output_metadata(
            {"freed_bytes": sum(freed.values()), **sizes, "gone": dg.MetadataValue.md(head + "\n".join(lines))}
        )

    @dg.job(name=JOB, description="Removes what has had its time: see the settings under retention.")
    def retention() -> None:
        remove()

    return dg.ScheduleDefinition(
        name=JOB,
        job=retention,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes what has had its time.",
    )
