"""A run whose retry could not be started is started again, within the budget; what failed for its content is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, MAX_RETRIES_TAG, WILL_RETRY_TAG

from resources.machine import this_process
from resources.run_workers import WORKER_TAG
from sensors.second_chances import bury_unborn, is_owed_a_retry, second_chances_sensor
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
