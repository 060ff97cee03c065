"""Runs without a daemon: the same job, IO and checks as in production, in this process, against the same instance."""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import dagster as dg

from resources.disk import write_atomic
from resources.machine import is_gone, this_process
from resources.places import place_of
from sensors.slots import free_slots_assigned, slots_awaited
from splat_pipeline.assets.failures import GOES_ON, explain, in_full
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.traces import REUSE_TAG
from splat_pipeline.definitions import JOB, build
from splat_pipeline.domain.errors import Cancelled, DiskFull, StoreUnavailable
from splat_pipeline.domain.intake import OWNER_TAG, PRODUCT_TAG
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings, Spot
from splat_pipeline.upkeep import guard_of

Listener = Callable[[dg.EventLogEntry], None]
Reason = dict[str, str | None]
SILENT: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The terminal shows our own lines; Dagster's go to its event log."""
LOOK_S = 5.0
"""Between two looks after steps that wait for a free slot: no daemon does it."""
MADE = ".database-made"
"""In DAGSTER_HOME, once Dagster has made its database."""


def make_home(settings: Settings) -> Path:
    """Make the folders and, when there is none, Dagster's own settings; return DAGSTER_HOME.

    Raises ``StoreUnavailable`` when they cannot be made.
    """
    home = settings.folder("dagster")
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name in get_args(Spot):
            place_of(settings.place(name)).check()
        if not (home / "dagster.yaml").exists():
            write_atomic(home / "dagster.yaml", files("splat_pipeline").joinpath("dagster.yaml").read_text())
        _make_database(home)
    except OSError as error:
        cause = f"{error.filename}: {(error.strerror or 'cannot be written').lower()}"
        raise StoreUnavailable(cause, remedy="Set SPLAT__HOME to a folder that you can write to.") from None
    return home


def _make_database(home: Path) -> None:
    """Have Dagster make its database, once: two processes that both find none leave a broken one."""
    made = home / MADE
    if made.exists():
        return
    with (home / f"{MADE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs_count()
        made.touch()


def run_upload(
    settings: Settings,
    upload: Upload,
    *,
    config: dict[str, Any],
    listener: Listener,
    assets: Sequence[str] | None = None,
    reuse: bool = False,
) -> tuple[bool, Reason | None]:
    """Register ``upload`` and run the whole job, or some ``assets``, on it. Returns success, and why it failed.

    ``reuse``: take over what still holds of an earlier run.
    """
    make_home(settings)
    if assets is None:
        because = guard_of(settings).hold(upload, running=0)
        if because is not None:
            raise DiskFull(because.replace("new runs wait for", "the job needs"))
    store_of(settings).register(upload)
    return run_job(settings, upload.job, assets=assets, config=config, listener=listener, reuse=reuse)


def run_job(
    settings: Settings,
    job: str,
    *,
    assets: Sequence[str] | None,
    config: dict[str, Any],
    listener: Listener,
    reuse: bool = False,
) -> tuple[bool, Reason | None]:
    """Materialize ``assets`` (None: all) of one job, in this process."""
    product = store_of(settings).upload(job).wishes.product
    definitions = build(settings.model_copy(update={"executor": "in_process"}))
    with dg.DagsterInstance.from_config(str(make_home(settings))) as instance:
        if not instance.has_dynamic_partition(str(jobs.name), job):
            instance.add_dynamic_partitions(str(jobs.name), [job])
        bury_dead(instance)
        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, listener)
        try:
            with free_slots_assigned(instance, every_s=LOOK_S), slots_awaited():
                result = definitions.resolve_job_def(JOB).execute_in_process(
                    instance=instance,
                    partition_key=job,
                    run_id=run_id,
                    raise_on_error=False,
                    # Who killed it decides whether to try again.
                    tags={
                        OWNER_TAG: this_process(),
                        "dagster/max_retries": "0",
                        REUSE_TAG: str(reuse).lower(),
                        PRODUCT_TAG: product,
                    },
                    run_config={**SILENT, "ops": config} if config else SILENT,
                    asset_selection=[dg.AssetKey(name) for name in assets] if assets else None,
                )
        except dg.DagsterExecutionInterruptedError:  # between two steps; within one, that step tells it
            return False, _stopped(instance, run_id)
        return result.success, None if result.success else explain(result.all_events)


def _stopped(instance: dg.DagsterInstance, run_id: str) -> Reason:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, "the command was stopped")
    return in_full(Cancelled("the command was stopped", remedy=GOES_ON).to_json())


def bury_dead(instance: dg.DagsterInstance) -> None:
    """End the runs whose process was killed: without a daemon nobody else would, and they keep their pool slots."""
    running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    for run in instance.get_runs(running):
        owner = run.tags.get(OWNER_TAG)
        if owner is not None and is_gone(owner):
            instance.report_run_failed(run, "the process that computed it was killed")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def stages_of(settings: Settings) -> list[str]:
    """Return the names of all assets of a job, upstream first."""
    graph = build(settings).resolve_asset_graph()
    keys = [key for level in graph.toposorted_asset_keys_by_level for key in sorted(level)]
    return [key.to_user_string() for key in keys if graph.get(key).is_partitioned]


def with_downstream(settings: Settings, asset: str) -> list[str]:
    """Return ``asset`` and everything after it."""
    graph = build(settings).resolve_asset_graph()
    chosen = dg.AssetSelection.assets(asset).downstream().resolve(graph)
    return [name for name in stages_of(settings) if dg.AssetKey(name) in chosen]
