"""The only module that sees everything: settings in, Dagster definitions out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import dagster as dg

from resources.clocks import now
from resources.colmap import ColmapBackend
from resources.drawers import InstalledDrawers
from resources.guarded import GuardedReader
from resources.images import KeyframeImages
from resources.json_io import JsonIOManager
from resources.lifeline import end_with_parent
from resources.logs import LOGGER, json_lines
from resources.machine import LocalMachine
from resources.movies import FfmpegWriter
from resources.outlet import Outlet
from resources.places import place_of
from resources.pose_sources import InstalledSources
from resources.run_workers import steps_in_processes
from resources.sheets import ContactSheets
from resources.shelves import Shelves
from resources.trainers import InstalledTrainers
from resources.webhooks import webhook_of
from sensors.alerts import alerts_sensor
from sensors.finals import finals_sensor
from sensors.outcomes import Exit, outcomes_sensor
from sensors.retention import retention_schedule
from sensors.second_chances import second_chances_sensor
from sensors.uploads import Door, uploads_sensor
from splat_pipeline.assets import (
    cleaning,
    delivery,
    frames,
    intake,
    linking,
    overview,
    poses,
    preview,
    reconstructions,
    splats,
    viewer,
)
from splat_pipeline.domain.backoff import Backoff
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings, Spot, load
from splat_pipeline.upkeep import Watch, sweep_of, training_pool_of

JOB = "video_to_splat"
HASTY = Backoff(first_s=0.5, longest_s=4.0, budget_s=15.0)
"""Of messages that a sensor sends: its tick must end before Dagster gives up on it, and the next one sends again."""
STAGES = [intake, frames, linking, reconstructions, poses, splats, cleaning, preview, viewer, delivery]
PRELOAD = ["sqlalchemy", "alembic", "pandas", "pyarrow", "splat_pipeline.definitions"]
"""Imported once in the fork server, not in every step. Never torch, CUDA or pycolmap: they do not survive a fork."""


def resources_of(settings: Settings) -> dict[str, Any]:
    """Return what stands behind each Protocol of ``ports``."""
    return {
        "store": store_of(settings),
        "machine": LocalMachine(),
        "recipe": settings.recipe,
        "reader": GuardedReader(),
        "sheets": ContactSheets(),
        "sfm": ColmapBackend(),
        "sources": InstalledSources(),
        "loader": KeyframeImages(),
        "trainers": InstalledTrainers(),
        "movies": FfmpegWriter(),
        "drawers": InstalledDrawers(),
        "outlet": Outlet(
            place=place_of(settings.place("delivered")),
            webhook=webhook_of(settings.webhook, os.environ),
            links_s=settings.links_s,
        ),
        "json_io": JsonIOManager(place_of(f"{settings.place('store')}/ops")),
    }


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """Return where steps run."""
    if settings.executor == "in_process":
        return dg.in_process_executor
    return steps_in_processes(PRELOAD)


def assets_of(settings: Settings) -> list[Any]:
    """Return the stages of an installation's job."""
    return [*dg.load_assets_from_modules(STAGES), splats.splat_in(training_pool_of(settings))]


def doors(settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensors that let uploads in and out, and runs go on."""
    names: tuple[Spot, ...] = ("inbox", "processed", "errors")
    inbox, processed, errors = (place_of(settings.place(name)) for name in names)
    shelves, store = Shelves(inbox=inbox, processed=processed, errors=errors), store_of(settings)
    watch = Watch(settings=settings, job_name=JOB)
    door = Door(
        shelves=shelves,
        store=store,
        job_name=JOB,
        stable_s=settings.stable_s,
        now=now,
        utc=LocalMachine().utc,
        hold=watch.hold,
        log_level=settings.log_level,
    )
    out = Exit(shelves=shelves, store=store, job_name=JOB, ui=settings.ui, now=now)
    webhook, poll_s = webhook_of(settings.webhook, os.environ, backoff=HASTY), settings.poll_s
    return [
        uploads_sensor(door, poll_s=poll_s, inbox=settings.place("inbox")),
        outcomes_sensor(out, poll_s=poll_s),
        *([] if webhook is None else [alerts_sensor(webhook, warnings=watch.warnings, job_name=JOB)]),
        second_chances_sensor(job_name=JOB, every_s=poll_s),
    ]


def build(settings: Settings, *, stages: Sequence[Any] | None = None) -> dg.Definitions:
    """Return the code location: assets (``stages``, where the job has others), checks, job, resources, sensors."""
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.all() - dg.AssetSelection.assets(overview.failure_overview),
        description="An upload, all the way to its package.",
        # After a crash the default strategy was seen to drop windows of the fan-out silently.
        tags={"dagster/retry_strategy": "FROM_ASSET_FAILURE"},
    )
    return dg.Definitions(
        assets=[*(assets_of(settings) if stages is None else stages), overview.failure_overview],
        jobs=[job],
        schedules=[overview_schedule(), retention_schedule(sweep_of(settings), cron=settings.retention_cron)],
        sensors=[
            *doors(settings),
            finals_sensor(store=store_of(settings), job=job, poll_s=settings.poll_s),
        ],
        resources=resources_of(settings),
        loggers={LOGGER: json_lines},
        executor=executor_of(settings),
    )


def overview_schedule() -> dg.ScheduleDefinition:
    """Return when what goes wrong over all jobs is looked at anew."""
    return dg.ScheduleDefinition(
        name="overview_daily",
        target=dg.AssetSelection.assets(overview.failure_overview),
        cron_schedule="0 5 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Ranks recurring failures, stages and costs over all jobs.",
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Load the code location of this installation: first thing in every process of a run."""
    end_with_parent()
    return build(load())
