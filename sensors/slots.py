"""Slots of pools that nobody was given: a step may wait for one that is free, for ever.

A step asks whether a slot is free, is told that none is, and enters itself as waiting. Dagster gives a slot on to who
waits when it is freed. When that happens between the question and the entry, nobody waits yet, and nobody tells the
step later; a pool of one slot stands still until another step of the pool comes and goes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg
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
