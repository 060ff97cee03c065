"""The frame around every stage: inputs fetched and recorded, scratch, publication, timing, tables, result.

@job_asset(deps=["source_videos"])
def frame_quality(context: dg.AssetExecutionContext, store: Stores, machine: Machines, reader: Readers) -> Result:
    with stage(context, store, machine) as work:
        source = work.input("source_videos")          # verified folder
        ... write files into work.folder ...
        work.publish(metadata={"frames": 100}, metrics={"sharp_share": 0.8})
    return work.result()
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
import structlog

from splat_pipeline.assets.checks import specs_of
from splat_pipeline.assets.failures import RETRIES, classified
from splat_pipeline.assets.partitions import GROUP, jobs
from splat_pipeline.assets.records import asked_of, gate_row, lineage_of, shown_before, stage_row
from splat_pipeline.assets.traces import KEY, REUSE_TAG, Context, Present, recipe_of
from splat_pipeline.assets.work import GATES_FILE, Result, Work
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import ArtifactError, MissingArtifact, SplatError
from splat_pipeline.domain.intake import PRODUCT_TAG
from splat_pipeline.domain.quality import read_verdicts, scene_of
from splat_pipeline.domain.retention import STANDARD
from splat_pipeline.ports.machine import Machine
from splat_pipeline.ports.media import MediaReader, MovieWriter, PathDrawers, SheetMaker
from splat_pipeline.ports.outlets import Outlet
from splat_pipeline.ports.sfm import SfmBackend
from splat_pipeline.ports.sources import PoseSources
from splat_pipeline.ports.stores import Store
from splat_pipeline.ports.training import ImageLoader, SplatTrainers

Stores = dg.ResourceParam[Store]
Machines = dg.ResourceParam[Machine]
Readers = dg.ResourceParam[MediaReader]
Sheets = dg.ResourceParam[SheetMaker]
Sfm = dg.ResourceParam[SfmBackend]
Sources = dg.ResourceParam[PoseSources]
Loaders = dg.ResourceParam[ImageLoader]
Trainers = dg.ResourceParam[SplatTrainers]
Movies = dg.ResourceParam[MovieWriter]
Drawers = dg.ResourceParam[PathDrawers]
Outlets = dg.ResourceParam[Outlet]


@contextmanager
def stage(
    context: Context, store: Store, machine: Machine, *, name: str | None = None, lift: Sequence[str] = ()
) -> Iterator[Work]:
    """Frame one stage. Success or failure, its cost is written to the ``stages`` table, its verdicts to ``gates``.

    ``name`` is for ops of a graph-backed asset, whose artifact is not called like the asset. ``lift``: gates that a
    person lifted for this run.
    """
    asset = name or context.asset_key.to_user_string()
    job, run_id = context.partition_key, context.run.run_id
    error: BaseException | None = None
    with store.scratch(job, asset) as folder:
        work = Work(job=job, asset=asset, run_id=run_id, folder=folder, store=store, log=context.log.info, lift=lift)
        work.product, work.asked = product_of(context), asked_of(context, asset)
        work.present = Present.of(context, store)
        try:
            with machine.metered() as usage, structlog.contextvars.bound_contextvars(attempt=context.retry_number + 1):
                work.usage = usage
                yield work
        except BaseException as caught:
            error = caught
            raise
        finally:
            _record(work, machine, attempts=context.retry_number + 1, error=error)


def _record(work: Work, machine: Machine, *, attempts: int, error: BaseException | None) -> None:
    utc, published = machine.utc(), work.published
    outcome = "failure" if error is not None else "reused" if work.reused_from else "success"
    about = {"job": work.job, "run_id": work.run_id, "utc": utc, "stage": work.asset}
    size = published.size_bytes if published and outcome == "success" else 0
    row = stage_row(about, work.usage, bytes_in=work.bytes_in, bytes_out=size, attempts=attempts, error=error)
    work.store.append(tables.STAGES, [row | {"outcome": outcome, "product": work.product}])
    if work.verdicts:
        scene_type = work.scene_type
        work.store.append(tables.GATES, [gate_row(about, v, scene_type=scene_type) for v in work.verdicts])


def taken_over(context: Context, store: Store, machine: Machine, *, name: str | None = None) -> Work | None:
    """Return what an earlier run made of the stage, where it still holds; None, and why in the log, where not.

    Nothing is written but a row of the ``stages`` table: the artifact is current already, and was verified.
    """
    asset = name or context.asset_key.to_user_string()
    with machine.metered() as usage:
        try:
            found = store.fetch(context.partition_key, asset)
            trace = found.manifest.get(KEY)
            changed = "what it rests on" if trace is None else Present.of(context, store).changed(trace)
        except MissingArtifact:
            return None  # it is made for the first time: nothing to tell
        except ArtifactError as error:
            changed = str(error)
        if changed is not None:
            context.log.info(f"{asset} is computed: not as it was, or not known: {changed}")
            return None
    work = Work(
        job=context.partition_key, asset=asset, run_id=context.run.run_id, folder=found.folder, store=store,
        log=context.log.info, published=found, usage=usage, product=product_of(context),
    )  # fmt: skip
    gates = found.folder / GATES_FILE
    if gates.exists():
        work.told_scene = scene_of(gates)
        work.verdicts = read_verdicts(gates, work.gates)
    work.metadata, work.reused_from = shown_before(context, found), found.version
    work.log(f"{asset}: reused from {found.version}, which run {found.manifest['run_id']} made")
    _record(work, machine, attempts=context.retry_number + 1, error=None)
    return work


def product_of(context: Context) -> str:
    """Return the product class of the job that a run is of."""
    return str(context.run.tags.get(PRODUCT_TAG, STANDARD))


def reuse_asked(context: Context) -> bool:
    """Tell whether the run asks to take over what still holds."""
    return context.run.tags.get(REUSE_TAG) == "true"


def _reusing(body: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an asset's body so that it is not called where the run asks for reuse and an earlier result holds."""
    signature = inspect.signature(body)

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        context = given["context"]
        work = taken_over(context, given["store"], given["machine"]) if reuse_asked(context) else None
        return body(*args, **kwargs) if work is None else work.result()

    return wrapped


def job_asset(
    *, deps: Sequence[str] = (), kinds: set[str] | None = None, pool: str | None = None, reusable: bool = True
) -> Callable[..., Any]:
    """Decorate an asset of the graph: partitioned by job, one group, gates as checks, errors classified.

    ``reusable``: a run that asks for reuse may take over its earlier result.
    """

    def decorate(body: Callable[..., Any]) -> dg.AssetsDefinition:
        return dg.asset(
            deps=list(deps),
            partitions_def=jobs,
            group_name=GROUP,
            kinds=kinds,
            pool=pool,
            retry_policy=RETRIES,
            check_specs=specs_of(body.__name__),
            description=body.__doc__,
        )(classified(_reusing(body) if reusable else body))

    return decorate


__all__ = [
    "GATES_FILE", "Context", "Loaders", "Machines", "Movies", "Outlets", "Readers", "Result", "Sfm", "Sheets",
    "Sources", "SplatError", "Stores", "Trainers", "Work", "job_asset", "lineage_of", "recipe_of", "reuse_asked",
    "stage", "taken_over",
]  # fmt: skip
