"""The door that lets uploads in: an inbox that is looked at, one run and one partition for each complete upload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import dagster as dg

from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.traces import REUSE_TAG
from splat_pipeline.domain import inbox as rules
from splat_pipeline.domain.errors import InputError, SplatError, StoreUnavailable
from splat_pipeline.domain.intake import PARTITION_TAG, RUNNING, UPLOAD_TAG, Known, duplicate, tags_of
from splat_pipeline.ports import Store, UploadShelves


@dataclass(frozen=True, kw_only=True)
class Door:
    """What the sensor works with."""

    shelves: UploadShelves
    store: Store
    job_name: str
    stable_s: float
    now: Callable[[], rules.Moment]
    utc: Callable[[], str]


def uploads_sensor(door: Door, *, poll_s: int, inbox: str) -> dg.SensorDefinition:
    """Return the sensor over the inbox."""

    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen = door.shelves.seen()
        cursor, ready = rules.decide(rules.parse(context.cursor), seen, now=door.now(), stable_s=door.stable_s)
        requests, failed = [], []
        for name in ready:
            try:
                request = _let_in(name, door, context)
            except StoreUnavailable as error:
                context.log.error(f"{name} is tried again: {error} Remedy: {error.remedy}")  # noqa: TRY400  # for users
                failed.append(name)
            else:
                requests += [request] if request else []
        keys = {str(request.partition_key) for request in requests}
        new = [key for key in sorted(keys) if not context.instance.has_dynamic_partition(str(jobs.name), key)]
        return dg.SensorResult(
            run_requests=requests,
            dynamic_partitions_requests=[jobs.build_add_request(new)] if new else [],
            cursor=rules.dump(rules.again(cursor, failed)),
            skip_reason=None if requests else f"{len(seen)} uploads in the inbox, none newly complete",
        )

    return dg.SensorDefinition(
        name="uploads",
        evaluation_fn=tick,
        job_name=door.job_name,
        minimum_interval_seconds=poll_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts a run for every upload in {inbox} that did not change for {door.stable_s:g} s.",
    )


def _let_in(name: str, door: Door, context: dg.SensorEvaluationContext) -> dg.RunRequest | None:
    """Register one upload and ask for its run.

    What cannot even be listed goes to error/, what was computed already to processed/, at once and with the reason.
    """
    try:
        upload = door.shelves.upload(name)
    except InputError as error:
        _turn_away(name, door, context, error, key=f"refused {door.utc()}")
        return None
    # One content is one partition, whatever it is called: two runs of it are two versions of one job.
    upload = replace(upload, job=door.store.first_job(upload.content, upload.job))
    known = _known(context.instance, door.job_name, upload.job)
    if known is not None and not upload.wishes.force:
        if known.status in RUNNING and known.upload == name:
            context.log.info(f"{name} was touched, not changed: the run {known.run_id} of {upload.job} goes on with it")
            door.store.register(upload)
            return None
        if known.status == "SUCCESS" or known.status in RUNNING:
            told = duplicate(upload, known, utc=door.utc())
            shelved = door.shelves.shelve(name, told, stamp=upload.stamp)
            context.log.info(f"{name} has the content of {upload.job}: {shelved and shelved.place}")
            return None
    door.store.register(upload)
    # The stamp is part of the key, so that an upload that comes again after it was moved away runs again.
    tags = {**tags_of(upload), REUSE_TAG: str(not upload.wishes.force).lower()}
    return dg.RunRequest(run_key=f"{upload.job}:{upload.stamp}", partition_key=upload.job, tags=tags)


def _turn_away(name: str, door: Door, context: dg.SensorEvaluationContext, error: SplatError, *, key: str) -> None:
    shelved = door.shelves.shelve(name, {**error.to_json(), "key": key, "utc": door.utc()})
    lies = shelved.place if shelved else "no longer there"
    context.log.error(f"{name} was refused and is {lies}: {error} Remedy: {error.remedy}")


def _known(instance: dg.DagsterInstance, job_name: str, job: str) -> Known | None:
    """Return the last run of a job, out of Dagster's log; None when it never ran."""
    for run in instance.get_runs(dg.RunsFilter(job_name=job_name, tags={PARTITION_TAG: job}), limit=1):
        return Known(run_id=run.run_id, status=run.status.value, upload=run.tags.get(UPLOAD_TAG))
    return None
