"""The door for runs that died with their process and were not started again, or wait for what is free.

Run monitoring asks after runs that have started; of one that was about to, nothing is known until a time limit that
must be long, as a busy machine takes a minute to start a process. So its code server is asked here.

Dagster tries to start a retry once: where the code server is down at that moment (it often died of the same cause) the
retry is given up for good, and the upload would end as an error that is none. Nor does it retry a run in which a step
could not reach the database, which to Dagster is a step that failed; and where the database goes away between the
failure and what is to become of it, nobody ever decides that. What ran out of retries, or failed by its content, stays
as it is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, PARENT_RUN_ID_TAG, RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

from sensors.discreet import discreet
from sensors.slots import assign_free_slots
from splat_pipeline.assets.failures import lost_its_log

LOOK_BACK = timedelta(days=7)
MOST = 100
"""Runs of one tick."""
SETTLED = timedelta(seconds=20)
"""After this long a run that is being started is known to its code server."""
FORGOTTEN = timedelta(seconds=60)
"""After this long the daemon has made the retry that it announced."""


def is_owed_a_retry(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell whether a failed run may be retried by the instance's settings, and nobody does it."""
    if run.tags.get(WILL_RETRY_TAG) != "false" or AUTO_RETRY_RUN_ID_TAG in run.tags:
        return False
    return bool(auto_reexecution_should_retry_run(instance, run, why(instance, run)))


def why(instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunFailureReason | None:
    """Return why a run failed: what Dagster says, but for steps that failed by its own database."""
    told = run.tags.get(RUN_FAILURE_REASON_TAG)
    reason = RunFailureReason(told) if told else None
    if reason is not RunFailureReason.STEP_FAILURE:
        return reason
    failures = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    lost = lost_its_log(entry.get_dagster_event() for entry in failures)
    return RunFailureReason.RUN_EXCEPTION if lost else reason


def is_undecided(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell whether a run has failed and it is not known yet if it is retried: Dagster writes one after the other."""
    return run.status is dg.DagsterRunStatus.FAILURE and instance.run_retries_enabled and WILL_RETRY_TAG not in run.tags


def was_forgotten(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell whether a failed run was to be retried and is not: the daemon died between the two."""
    if run.tags.get(WILL_RETRY_TAG) != "true" or AUTO_RETRY_RUN_ID_TAG in run.tags:
        return False
    return not instance.get_runs(filters=dg.RunsFilter(tags={PARENT_RUN_ID_TAG: run.run_id}), limit=1)


def forgotten(instance: dg.DagsterInstance, job_name: str, *, settled: timedelta = FORGOTTEN) -> list[dg.DagsterRun]:
    """Return the failed runs whose retry was announced and never came."""
    announced = dg.RunsFilter(
        job_name=job_name,
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={WILL_RETRY_TAG: "true"},
        updated_after=datetime.now(UTC) - LOOK_BACK,
        updated_before=datetime.now(UTC) - settled,
    )
    return [run for run in instance.get_runs(filters=announced, limit=MOST) if was_forgotten(instance, run)]


def never_decided(
    instance: dg.DagsterInstance, job_name: str, *, settled: timedelta = FORGOTTEN
) -> list[dg.DagsterRun]:
    """Return the failed runs of which nobody said whether they are retried."""
    failed = dg.RunsFilter(
        job_name=job_name,
        statuses=[dg.DagsterRunStatus.FAILURE],
        updated_after=datetime.now(UTC) - LOOK_BACK,
        updated_before=datetime.now(UTC) - settled,
    )
    return [run for run in instance.get_runs(filters=failed, limit=MOST) if is_undecided(instance, run)]


def bury_unborn(instance: dg.DagsterInstance, job_name: str, *, settled: timedelta = SETTLED) -> int:
    """End the runs whose process died before it could say anything, and return how many; Dagster then retries them."""
    if not instance.run_launcher.supports_check_run_worker_health:
        return 0
    starting = dg.RunsFilter(
        job_name=job_name,
        statuses=[dg.DagsterRunStatus.STARTING],
        updated_before=datetime.now(UTC) - settled,
    )
    dead = 0
    for run in instance.get_runs(filters=starting, limit=MOST):
        health = instance.run_launcher.check_run_worker_health(run)
        if health.status is WorkerStatus.FAILED:
            instance.report_run_failed(run, f"It died while it was started: {health.msg}")
            dead += 1
    return dead


def second_chances_sensor(*, job_name: str, every_s: int, settled: timedelta = FORGOTTEN) -> dg.SensorDefinition:
    """Return the sensor that has such runs started again. It ticks only while the code server answers.

    ``settled``: how long the daemon has to do it by itself.
    """

    def tick(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        found = context.instance.get_runs(
            filters=dg.RunsFilter(
                job_name=job_name,
                statuses=[dg.DagsterRunStatus.FAILURE],
                tags={WILL_RETRY_TAG: "false"},
                updated_after=datetime.now(UTC) - LOOK_BACK,
            ),
            limit=MOST,
        )
        owed = [run for run in found if is_owed_a_retry(context.instance, run)]
        owed += forgotten(context.instance, job_name, settled=settled)
        owed += never_decided(context.instance, job_name, settled=settled)
        for run in owed:
            # Telling of the failure anew has Dagster decide anew, within the same budget.
            because = JobFailureData(error=None, failure_reason=why(context.instance, run))
            context.instance.report_run_failed(run, "It is decided anew whether it is tried once more.", because)
        dead = bury_unborn(context.instance, job_name)
        stood = assign_free_slots(context.instance)
        moved = f"; free slots given to who waited for them: {', '.join(stood)}" if stood else ""
        return dg.SkipReason(f"{len(owed)} failed runs are told of again; {dead} died while starting{moved}")

    return dg.SensorDefinition(
        name="second_chances",
        evaluation_fn=discreet(tick),
        job_name=job_name,
        minimum_interval_seconds=every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Has runs started again that died with their process and whose retry could not be started.",
    )
