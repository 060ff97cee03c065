"""A run whose retry could not be started is started again, within the budget; what failed for its content is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, JobFailureData, RunFailureReason
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, MAX_RETRIES_TAG, PARENT_RUN_ID_TAG, WILL_RETRY_TAG
from dagster_shared.error import SerializableErrorInfo

from resources.machine import this_process
from resources.run_workers import WORKER_TAG
from sensors.second_chances import bury_unborn, forgotten, is_owed_a_retry, never_decided, second_chances_sensor
from splat_pipeline.assets.failures import explain
from splat_pipeline.launch import make_home
from splat_pipeline.settings import Settings


@dg.job
def nothing() -> None:
    """Of no interest."""


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    settings = Settings(home=str(tmp_path_factory.mktemp("home")))
    with dg.DagsterInstance.from_config(str(make_home(settings))) as opened:
        yield opened


def died(instance: dg.DagsterInstance, reason: RunFailureReason | None = None, **tags: str) -> dg.DagsterRun:
    """Return a run that failed, as it is after Dagster tried in vain to start its retry."""
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.report_run_failed(run, "killed", JobFailureData(error=None, failure_reason=reason) if reason else None)
    instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
    return seen(instance, run)


def seen(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def tick(instance: dg.DagsterInstance) -> None:
    second_chances_sensor(job_name="nothing", every_s=30)(dg.build_sensor_context(instance=instance))


def test_a_run_whose_retry_could_not_be_started_is_told_of_again(home: dg.DagsterInstance):
    run = died(home)
    assert is_owed_a_retry(home, run)
    tick(home)
    assert seen(home, run).tags[WILL_RETRY_TAG] == "true"
    failures = home.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert len(failures) == 2
    tick(home)
    assert len(home.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)) == 2


@pytest.mark.parametrize(
    ("reason", "tags"),
    [
        (RunFailureReason.STEP_FAILURE, {}),
        (None, {MAX_RETRIES_TAG: "0"}),
        (None, {AUTO_RETRY_RUN_ID_TAG: "the-retry"}),
    ],
    ids=["a step failed", "the budget is spent", "it was retried"],
)
def test_what_ended_for_good_stays_so(home: dg.DagsterInstance, reason: RunFailureReason | None, tags: dict[str, str]):
    run = died(home, reason, **tags)
    assert not is_owed_a_retry(home, run)
    tick(home)
    assert seen(home, run).tags[WILL_RETRY_TAG] == "false"


def test_a_run_whose_process_died_before_it_said_anything_is_given_up(home: dg.DagsterInstance):
    runs = [
        home.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTING, tags={WORKER_TAG: owner})
        for owner in ("", this_process())
    ]
    assert bury_unborn(home, "nothing") == 0  # they are young
    assert bury_unborn(home, "nothing", settled=timedelta(0)) == 1
    assert [seen(home, run).status.value for run in runs] == ["FAILURE", "STARTING"]


@pytest.mark.parametrize(("retried", "found"), [(False, True), (True, False)])
def test_a_retry_that_was_announced_and_never_came_is_seen_once_the_daemon_had_its_time(
    home: dg.DagsterInstance, retried: bool, found: bool
):
    run = died(home, **{MAX_RETRIES_TAG: "3"})
    home.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
    if retried:
        home.create_run_for_job(nothing, tags={PARENT_RUN_ID_TAG: run.run_id})
    assert forgotten(home, "nothing") == [], "the daemon may be about to"
    owed = forgotten(home, "nothing", settled=timedelta(seconds=-5))
    assert [each.run_id for each in owed] == [run.run_id] * found


def step_failed(instance: dg.DagsterInstance, run: dg.DagsterRun, *errors: str) -> None:
    """Write into the log that a step failed; ``errors``: what went wrong, and what caused each."""
    error: SerializableErrorInfo | None = None
    for name in reversed(errors):
        error = SerializableErrorInfo(f"{name}: it is told here", [], name, cause=error)
    event = DagsterEvent(
        event_type_value=dg.DagsterEventType.STEP_FAILURE.value,
        job_name="nothing",
        step_key="piece",
        event_specific_data=StepFailureData(error=error, user_failure_data=None),
    )
    instance.report_dagster_event(event, run_id=run.run_id)


@pytest.mark.parametrize(
    ("errors", "again"),
    [
        ([("DagsterPostgresException", "OperationalError", "OperationalError")], True),
        ([("InterfaceError",), ("DagsterPostgresException", "OperationalError")], True),
        ([("OperationalError",), ("KeyError",)], False),
        ([("KeyError",)], False),
        ([], False),
    ],
)
def test_a_run_in_which_a_step_could_not_reach_the_database_is_run_again(
    home: dg.DagsterInstance, errors: list[tuple[str, ...]], again: bool
):
    run = home.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    for told in errors:
        step_failed(home, run, *told)
    because = JobFailureData(error=None, failure_reason=RunFailureReason.STEP_FAILURE)
    home.report_run_failed(run, "steps failed", because)
    assert seen(home, run).tags[WILL_RETRY_TAG] == "false", "Dagster takes it for its content"
    assert is_owed_a_retry(home, seen(home, run)) == again
    tick(home)
    assert seen(home, run).tags[WILL_RETRY_TAG] == str(again).lower()
    told = explain([entry.get_dagster_event() for entry in home.all_logs(run.run_id) if entry.dagster_event])
    assert (told["class"] == "DatabaseUnavailable") == bool(errors and "KeyError" not in errors[0])


def test_what_nobody_decided_is_decided_once_dagster_had_its_time(
    home: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run = home.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    with monkeypatch.context() as broken:
        broken.setattr(type(home), "run_retries_enabled", False)  # the failure is written, what follows is not
        home.report_run_failed(run, "killed")
    assert WILL_RETRY_TAG not in seen(home, run).tags
    assert never_decided(home, "nothing") == [], "Dagster may be about to"
    assert [each.run_id for each in never_decided(home, "nothing", settled=timedelta(seconds=-5))] == [run.run_id]
    sensor = second_chances_sensor(job_name="nothing", every_s=30, settled=timedelta(seconds=-5))
    sensor(dg.build_sensor_context(instance=home))
    assert seen(home, run).tags[WILL_RETRY_TAG] == "true"
