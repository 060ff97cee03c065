"""Slots of pools: steps that wait for a free one for ever, and steps that wait for one without a pause.

A step asks whether a slot is free, is told that none is, and enters itself as waiting. Dagster gives a slot on to who
waits when it is freed. When that happens between the question and the entry, nobody waits yet, and nobody tells the
step later; a pool of one slot stands still until another step of the pool comes and goes.

A run whose steps have no processes of their own asks for a slot again and again without a pause, and so keeps a core
from the one that has it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from sqlalchemy.exc import SQLAlchemyError


def assign_free_slots(instance: dg.DagsterInstance) -> list[str]:
    """Give free slots to steps that wait for one; return the pools in which there were both.

    Where Dagster does the same at this moment a step too many is told to take one, and goes on waiting.
    """
    storage, stood = instance.event_log_storage, []
    if not storage.supports_global_concurrency_limits:
        return []
    for pool in sorted(storage.get_concurrency_keys()):
        waiting = [step for step in storage.get_concurrency_info(pool).pending_steps if step.assigned_timestamp is None]
        if waiting and storage.has_unassigned_slots(pool):  # type: ignore[attr-defined]  # of storages in a database
            storage.assign_pending_steps([pool])  # type: ignore[attr-defined]
            stood.append(pool)
    return stood


@contextmanager
def free_slots_assigned(instance: dg.DagsterInstance, *, every_s: float) -> Iterator[None]:
    """Look after the pools meanwhile: for commands, which no sensor ticks beside."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every_s):
            with suppress(SQLAlchemyError):  # a busy database is asked again; of one that is gone the run itself tells
                assign_free_slots(instance)

    watcher = threading.Thread(target=watch, name="free slots", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextmanager
def slots_awaited() -> Iterator[None]:
    """Have runs of this process rest until it is time to ask for a slot again.

    Dagster 1.13 means to and takes the least of zero and the time that is left.
    """
    restless = InstanceConcurrencyContext.interval_to_next_pending_claim_check

    def rest_s(claims: InstanceConcurrencyContext) -> float:
        ready_at_s = claims._pending_timeouts.values()  # noqa: SLF001  # there is no other way to ask
        return max(0.0, min(ready_at_s, default=0.0) - time.time())

    InstanceConcurrencyContext.interval_to_next_pending_claim_check = rest_s  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        InstanceConcurrencyContext.interval_to_next_pending_claim_check = restless  # type: ignore[method-assign]
