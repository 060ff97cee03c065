"""What keeps an installation running: retention, room on the disk, budgets. Settings in, the parts put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import dagster as dg
import pandas as pd

from resources.inventory import Inventory
from resources.machine import LocalMachine
from resources.places import place_of
from resources.sweeping import busy_jobs, sweep
from splat_pipeline.domain.retention import Decision
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings


def inventory_of(settings: Settings, running: Callable[[], Collection[str]]) -> Inventory:
    """Return what lies where the settings say. ``running``: the jobs with a run that is not over."""
    store = store_of(settings)
    return Inventory(
        store=store,
        artifacts=store.place,
        work=place_of(store.local),
        delivered=place_of(settings.place("delivered")),
        processed=place_of(settings.place("processed")),
        now_s=time.time,
        running=running,
    )


def sweep_of(settings: Settings) -> Callable[[dg.DagsterInstance], Sequence[Decision]]:
    """Return what the schedule calls."""
    return lambda instance: sweep(
        inventory_of(settings, lambda: busy_jobs(instance)), settings.retention, utc=LocalMachine().utc()
    )


def swept(settings: Settings, *, dry_run: bool) -> list[Decision]:
    """Remove what has had its time, or only say what would go; return every decision."""
    from splat_pipeline.launch import make_home

    with dg.DagsterInstance.from_config(str(make_home(settings))) as instance:
        inventory = inventory_of(settings, lambda: busy_jobs(instance))
        return sweep(inventory, settings.retention, utc=LocalMachine().utc(), dry_run=dry_run)


def decisions_table(decisions: Sequence[Decision]) -> pd.DataFrame:
    """Return a row for each decision."""
    rows = [
        {
            "kind": each.thing.kind,
            "product": each.thing.product,
            "job": each.thing.job,
            "name": each.thing.name,
            "size_bytes": each.thing.size_bytes,
            "days": round(each.thing.age_s / 86_400, 2),
            "goes": each.goes,
            "because": each.because,
        }
        for each in decisions
    ]
    columns = ["kind", "product", "job", "name", "size_bytes", "days", "goes", "because"]
    return pd.DataFrame(rows, columns=columns)
