"""Figures of an installation for Prometheus, read anew at every scrape: from Dagster's database, tables, disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pandas as pd
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from resources.followed import Followed
from resources.space import free_room
from splat_pipeline.domain.costs import Prices, Spent, costs_of

PACKAGE = "package"
"""The stage whose success is the job's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Figures(Collector):
    """All figures; one object a process, for it remembers what it has read of the tables."""

    instance: dg.DagsterInstance
    stages: Followed
    gates: Followed
    freed: Followed
    folders: Sequence[Path]
    prices: Prices
    spent: Callable[[], Sequence[Spent]]
    now_s: Callable[[], float]
    """Unix time."""

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        stages = self.stages.rows()
        yield from self._runs()
        yield from _work(stages)
        yield from _outcomes(stages, self.gates.rows())
        yield _cost(stages, self.prices)
        share = GaugeMetricFamily("splat_budget_share", "Used of a product class's budget; 1: held", labels=["product"])
        for each in self.spent():
            share.add_metric([each.product], each.share)
        yield share
        yield from self._disks()
        yield _counted(
            "splat_freed_bytes", "Bytes that retention removed", self.freed.rows(), by=["kind"], value="size_bytes"
        )

    def _runs(self) -> Iterator[Metric]:
        runs = GaugeMetricFamily("splat_runs", "Runs by Dagster's status", labels=["status"])
        for status in dg.DagsterRunStatus:
            runs.add_metric([status.value.lower()], self.instance.get_runs_count(dg.RunsFilter(statuses=[status])))
        yield runs
        waiting = self.instance.get_run_records(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]), limit=1, ascending=True
        )
        age_s = self.now_s() - waiting[0].create_timestamp.timestamp() if waiting else 0.0
        yield GaugeMetricFamily("splat_queue_age_seconds", "Age of the run that waits longest", value=max(0.0, age_s))

    def _disks(self) -> Iterator[Metric]:
        sizes = GaugeMetricFamily("splat_disk_free_bytes", "Free for us", labels=["path"])
        inodes = GaugeMetricFamily("splat_disk_free_inodes", "Free for us, where they are counted", labels=["path"])
        for folder in dict.fromkeys(self.folders):
            free = free_room(folder)
            sizes.add_metric([str(folder)], free.size_bytes)
            if free.inodes is not None:
                inodes.add_metric([str(folder)], free.inodes)
        yield sizes
        yield inodes


def _work(stages: pd.DataFrame) -> Iterator[Metric]:
    by = ["stage", "outcome"]
    yield _counted("splat_stage_runs", "Times that a stage ended", stages, by=by)
    yield _counted("splat_stage_seconds", "Wall time of stages", stages, by=by, value="seconds")
    yield _counted("splat_stage_bytes_written", "Bytes of artifacts", stages, by=["stage"], value="bytes_out")
    highest: Mapping[str, tuple[str, str, str]] = {
        "splat_stage_peak_rss_bytes": ("peak_rss_bytes", "max", "Highest memory of a stage"),
        "splat_stage_peak_vram_bytes": ("peak_vram_bytes", "max", "Highest memory of a GPU"),
        "splat_stage_gpu_share": ("gpu_share", "mean", "Share of the wall time that a GPU was busy"),
    }
    for name, (column, how, told) in highest.items():
        family = GaugeMetricFamily(name, told, labels=["stage"])
        known = stages.assign(value=pd.to_numeric(stages[column])).dropna(subset=["value"])
        for stage, value in known.groupby("stage")["value"].agg(how).items():
            family.add_metric([str(stage)], float(value))
        yield family


def _outcomes(stages: pd.DataFrame, gates: pd.DataFrame) -> Iterator[Metric]:
    """Jobs that were delivered; gates that lowered the detail, by name; steps that failed, by signature."""
    family = CounterMetricFamily(
        "splat_outcomes", "Deliveries, fallbacks and failures, by what caused them", labels=["outcome", "signature"]
    )
    done = stages[(stages["stage"] == PACKAGE) & (stages["outcome"] == "success")]
    family.add_metric(["success", ""], len(done))
    lowered = gates[(gates["severity"] == "WARN") & ~gates["passed"].astype(bool)]
    failed = stages[stages["outcome"] == "failure"]
    for outcome, names in (("fallback", lowered["gate"]), ("failure", failed["failure_signature"].fillna("unknown"))):
        for name, count in names.value_counts().items():
            family.add_metric([outcome, str(name)], int(count))
    yield family


def _cost(stages: pd.DataFrame, prices: Prices) -> Metric:
    family = CounterMetricFamily("splat_cost", "Price of what was computed", labels=["product", "stage", "currency"])
    rows = stages.assign(product=stages["product"].fillna("standard"))
    for row in costs_of(rows, prices, ["product", "stage"]).to_dict("records"):
        family.add_metric([str(row["product"]), str(row["stage"]), prices.currency], float(row["price"]))
    return family


def _counted(name: str, told: str, rows: pd.DataFrame, *, by: list[str], value: str | None = None) -> Metric:
    """Return the number of rows, or the sum of a column, for each combination of the columns ``by``."""
    family = CounterMetricFamily(name, told, labels=by)
    groups = rows.groupby(by)
    sums = groups.size() if value is None else groups[value].sum()
    for key, total in sums.items():
        labels = key if isinstance(key, tuple) else (key,)
        family.add_metric([str(label) for label in labels], float(total))
    return family
