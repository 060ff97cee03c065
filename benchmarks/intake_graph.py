"""A code location as the real one, doors and first stage included, whose second stage delivers at once."""

import json
from typing import Any

import dagster as dg

from splat_pipeline.assets.intake import source_videos
from splat_pipeline.assets.stages import Machines, Stores, job_asset, stage
from splat_pipeline.definitions import JOB, doors, executor_of, resources_of
from splat_pipeline.settings import Settings, load


@job_asset(deps=["source_videos"], reusable=False)
def package(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> dg.MaterializeResult[Any]:
    """Deliver the names of the clips."""
    with stage(context, store, machine) as work:
        manifest = json.loads((work.input("source_videos") / "manifest.json").read_text())
        (work.folder / "delivery.json").write_text(json.dumps(manifest["upload"]))
        work.publish(metadata={})
        assert work.published is not None
        store.deliver(work.published)
    return work.result()


def build(settings: Settings) -> dg.Definitions:
    """Return what ``splat_pipeline.definitions.build`` does, of these two stages."""
    return dg.Definitions(
        assets=[source_videos, package],
        jobs=[dg.define_asset_job(JOB, selection=dg.AssetSelection.all())],
        sensors=doors(settings),
        resources=resources_of(settings),
        executor=executor_of(settings),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Load it by the environment, as ``splat_pipeline.definitions`` does."""
    return build(load())
