"""The door that lets uploads in: an inbox that is looked at, one run and one partition for each complete upload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from sensors.discreet import discreet
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.traces import REUSE_TAG
from splat_pipeline.domain import inbox as rules
from splat_pipeline.domain.errors import InputError, SplatError, StoreUnavailable
from splat_pipeline.domain.intake import PARTITION_TAG, RUNNING, UPLOAD_TAG, Known, duplicate, tags_of
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.ports.stores import Store, UploadShelves

BUDGET_S = 20
"""After so long no further upload is read in a tick: Dagster ends one after 60 s, and all that it did with it."""
Hold = Callable[[dg.DagsterInstance, Upload, int], str | None]
"""Says why the run of an upload has to wait beside so many that this tick starts; None: it may start."""


def _let_all_in(_instance: dg.DagsterInstance, _upload: Upload, _beside: int) -> str | None:
    return None


class _Held(Exception):  # no error: it waits
    """An upload is complete and has to wait."""


class _Follows(Exception):  # no error: it waits
    """An upload has the content of another one that is computed."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """What the sensor works with."""

    shelves: UploadShelves
    store: Store
    job_name: str
    stable_s: float
    now: Callable[[], rules.Moment]
    utc: Callable[[], str]
    hold: Hold = _let_all_in
    log_level: str = "INFO"
    """Least level of what the runs log, as JSON."""


def uploads_sensor(door: Door, *, poll_s: int, inbox: str) -> dg.SensorDefinition:
    """Return the sensor over the inbox."""

    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen = door.shelves.seen()
        now = door.now()
        cursor, ready = rules.decide(rules.parse(context.cursor), seen, now=now, stable_s=door.stable_s)
        requests: list[dg.RunRequest] = []
        later: list[str] = []
        late: list[str] = []
        held: dict[str, str] = {}
        for name in ready:
            if door.now().s - now.s > BUDGET_S:
                late.append(name)
                continue
            try:
                request = _let_in(name, door, context, beside=requests)
            except _Held as because:
                held[name] = str(because)
            except (StoreUnavailable, _Follows) as error:
                context.log.info(f"{name} waits: {error}")
                later.append(name)
            else:
                requests += [request] if request else []
        keys = sorted({str(request.partition_key) for request in requests})  # Dagster passes over those that it knows
        return dg.SensorResult(
            run_requests=requests,
            dynamic_partitions_requests=[jobs.build_add_request(keys)] if keys else [],
            cursor=rules.dump(rules.again(rules.again(cursor, later, now=now), [*late, *held])),
            skip_reason=None if requests else _why_nothing(len(seen), held),
        )

    return dg.SensorDefinition(
        name="uploads",
        evaluation_fn=discreet(tick),
        job_name=door.job_name,
        minimum_interval_seconds=poll_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts a run for every upload in {inbox} that did not change for {door.stable_s:g} s.",
    )


def _why_nothing(seen: int, held: Mapping[str, str]) -> str:
    if not held:
        return f"{seen} uploads in the inbox, none newly complete"
    reasons = "; ".join(dict.fromkeys(held.values()))
    return f"{len(held)} of {seen} uploads in the inbox are complete and wait: {reasons}"


def _let_in(
    name: str, door: Door, context: dg.SensorEvaluationContext, *, beside: Sequence[dg.RunRequest]
) -> dg.RunRequest | None:
    """Register one upload and ask for its run, beside others of this tick. Raises ``_Held``, ``_Follows``.

    What cannot even be listed goes to error/, what was computed already to processed/, at once and with the reason.
    """
    try:
        upload = door.shelves.upload(name)
    except InputError as error:
        _turn_away(name, door, context, error, key=f"refused {door.utc()}")
        return None
    # One content is one partition, whatever it is called: two runs of it are two versions of one job.
    upload = replace(upload, job=door.store.first_job(upload.content, upload.job))
    if any(upload.job == request.partition_key for request in beside):
        raise _Follows(f"its content is that of another upload, which comes first as {upload.job}")
    known = _known(context.instance, door.job_name, upload.job)
    if known is not None and not upload.wishes.force:
        if known.status in RUNNING and known.upload != name:
            raise _Follows(f"its content is being computed for {upload.job}, by the run {known.run_id}")
        if known.status in RUNNING:
            context.log.info(f"{name} was touched, not changed: the run {known.run_id} of {upload.job} goes on with it")
            door.store.register(upload)
            return None
        if known.status == "SUCCESS":
            told = duplicate(upload, known, utc=door.utc())
            shelved = door.shelves.shelve(name, told, stamp=upload.stamp)
            context.log.info(f"{name} has the content of {upload.job}: {shelved and shelved.place}")
            return None
    because = door.hold(context.instance, upload, len(beside))
    if because is not None:
        context.log.info(f"{name} waits: {because}")
        raise _Held(because)
    door.store.register(upload)
    # The stamp is part of the key, so that an upload that comes again after it was moved away runs again.
    tags = {**tags_of(upload), REUSE_TAG: str(not upload.wishes.force).lower()}
    return dg.RunRequest(
        run_key=f"{upload.job}:{upload.stamp}",
        partition_key=upload.job,
        tags=tags,
        run_config={"loggers": {"console": {"config": {"log_level": door.log_level}}}},
    )


def _turn_away(name: str, door: Door, context: dg.SensorEvaluationContext, error: SplatError, *, key: str) -> None:
    shelved = door.shelves.shelve(name, {**error.to_json(), "key": key, "utc": door.utc()})
    lies = shelved.place if shelved else "no longer there"
    context.log.error(f"{name} was refused and is {lies}: {error} Remedy: {error.remedy}")


def _known(instance: dg.DagsterInstance, job_name: str, job: str) -> Known | None:
    """Return the last run of a job, out of Dagster's log; None when it never ran."""
    for run in instance.get_runs(dg.RunsFilter(job_name=job_name, tags={PARTITION_TAG: job}), limit=1):
        return Known(run_id=run.run_id, status=run.status.value, upload=run.tags.get(UPLOAD_TAG))
    return None
