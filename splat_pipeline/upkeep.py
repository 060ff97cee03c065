"""What keeps an installation running: retention, room on the disk, budgets. Settings in, the parts put together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pandas as pd

from resources.followed import Followed
from resources.inventory import Inventory
from resources.machine import LocalMachine, has_nvidia_gpu
from resources.places import place_of
from resources.space import Guard
from resources.sweeping import busy_jobs, spare, sweep
from splat_pipeline.domain import tables
from splat_pipeline.domain.costs import Spent, spent
from splat_pipeline.domain.intake import RUNNING
from splat_pipeline.domain.retention import DAY_S, Decision
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings

EVERY_S = 60.0
"""Budgets are counted, and room is made, at most this often."""


def instance_of(settings: Settings) -> dg.DagsterInstance:
    """Return Dagster's instance: that of DAGSTER_HOME where it is set up, as in a container, or this installation's."""
    from splat_pipeline.launch import make_home

    set_up = Path(os.environ.get("DAGSTER_HOME", "/nonexistent"))
    home = set_up if (set_up / "dagster.yaml").is_file() else make_home(settings)
    return dg.DagsterInstance.from_config(str(home))


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


def training_pool_of(settings: Settings) -> str:
    """Return the pool that trainings of this installation take: one a machine, so that its GPU is never shared."""
    if settings.training_pool != "auto":
        return settings.training_pool
    return "gpu" if has_nvidia_gpu() else "train_cpu"


def guard_of(settings: Settings, spare: Callable[[int], object] = lambda _: None) -> Guard:
    """Return what watches every disk of this machine that jobs write to. ``spare`` makes room, or does nothing."""
    store = store_of(settings)
    places = [store.place, *(place_of(settings.place(name)) for name in ("delivered", "processed"))]
    here = [path for path in (place.here() for place in places) if path is not None]
    folders = [*here, store.local, settings.folder("dagster")]
    gpu = training_pool_of(settings) == "gpu"
    return Guard(folders=folders, rules=settings.disk, recipe=settings.recipe, gpu=gpu, spare=spare)


@dataclass(kw_only=True)
class Watch:
    """Says what new runs have to wait for, and what is amiss: room on the disks, budgets. One for a process."""

    settings: Settings
    job_name: str
    clock: Callable[[], float] = time.monotonic
    _spared_s: float = float("-inf")
    _counted_s: float = float("-inf")
    _spent: list[Spent] = field(default_factory=list)
    _stages: Followed | None = None

    def hold(self, instance: dg.DagsterInstance, upload: Upload, beside: int) -> str | None:
        """Return why the run of ``upload`` has to wait; None: it may start. ``beside``: so many others start now."""
        for each in self.spent():
            if each.state == "held" and each.product == upload.wishes.product:
                return f"the budget is used up: {each.because}"
        return self.guard(instance).hold(upload, running=beside + self._running(instance))

    def warnings(self, instance: dg.DagsterInstance) -> dict[str, str]:
        """Return what is amiss by name: disk_low, budget_warned:<product>, budget_held:<product>."""
        low = self.guard(instance).low()
        budgets = {f"budget_{s.state}:{s.product}": s.because for s in self.spent() if s.state != "within"}
        return {**({} if low is None else {"disk_low": low}), **budgets}

    def guard(self, instance: dg.DagsterInstance) -> Guard:
        """Return what watches the disks."""
        settings = self.settings

        def make_room(wanted_bytes: int) -> None:
            if self.clock() - self._spared_s < EVERY_S:  # looking through everything takes its time
                return
            inventory = inventory_of(settings, lambda: busy_jobs(instance))
            age_s = settings.disk.spare_days * DAY_S
            spare(inventory, wanted_bytes, least_age_s=age_s, utc=LocalMachine().utc())
            self._spared_s = self.clock()

        return guard_of(settings, make_room)

    def spent(self) -> list[Spent]:
        """Return the state of every budget, counted at most once in ``EVERY_S``."""
        if not self.settings.budgets or self.clock() - self._counted_s < EVERY_S:
            return self._spent
        if self._stages is None:
            self._stages = Followed(store_of(self.settings).place, tables.STAGES)
        utc, budgets = LocalMachine().utc(), self.settings.budgets
        self._spent = spent(self._stages.rows(), budgets, self.settings.prices, now_utc=utc)
        self._counted_s = self.clock()
        return self._spent

    def _running(self, instance: dg.DagsterInstance) -> int:
        statuses = [status for status in dg.DagsterRunStatus if status.value in RUNNING]
        return instance.get_runs_count(dg.RunsFilter(statuses=statuses, job_name=self.job_name))


def swept(settings: Settings, *, dry_run: bool) -> list[Decision]:
    """Remove what has had its time, or only say what would go; return every decision."""
    with instance_of(settings) as instance:
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
