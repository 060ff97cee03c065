"""An error of ours ends a step with class, file, cause and remedy; anything else stays what it is."""

from __future__ import annotations

import dagster as dg
import pytest
from gates import metrics_of
from sqlalchemy.exc import OperationalError

from splat_pipeline.assets.checks import results_of, specs_of
from splat_pipeline.assets.failures import RETRIES, classified, explain
from splat_pipeline.domain.errors import DiskFull, OutOfMemory, TooDark
from splat_pipeline.domain.quality import judge_stage
from splat_pipeline.domain.taxonomy import BY_CODE


def run(body, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    asset = dg.asset(name="only")(classified(body))
    return dg.materialize([asset], raise_on_error=False, instance=instance)


def test_our_error_is_explained_from_the_event_log(instance: dg.DagsterInstance):
    def body() -> None:
        raise TooDark("median luma 2 of 255", file="a.mp4")

    told = explain(run(body, instance).all_events)
    assert told.items() >= TooDark("median luma 2 of 255", file="a.mp4").to_json().items()
    assert told["failure"] == "too-dark"
    assert told["operator"] == BY_CODE["too-dark"].operator


def test_running_out_of_memory_has_a_class(instance: dg.DagsterInstance):
    def body() -> None:
        raise MemoryError("4 GB")

    assert explain(run(body, instance).all_events)["class"] == "OutOfMemory"


def test_an_unexpected_error_is_told_as_internal_and_not_hidden(instance: dg.DagsterInstance):
    def body() -> None:
        raise ZeroDivisionError("oops")

    told = explain(run(body, instance).all_events)
    assert told["class"] == "SplatError"
    assert "only" in (told["cause"] or "")
    assert "oops" in (told["cause"] or "")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (DiskFull("full"), 3),
        (TooDark("dark"), 1),
        (ConnectionResetError("peer"), 3),
        (OperationalError("insert", {}, Exception("server closed the connection")), 3),
        (caused(RuntimeError("too many retries for DB connection"), OperationalError("connect", {}, Exception())), 3),
        (caused(KeyError("a bug"), ValueError("another")), 1),
        (KeyError("a bug"), 1),
        (OutOfMemory("same plan, same end"), 1),
    ],
)
def test_only_transient_faults_are_retried(error: Exception, tries: int, instance: dg.DagsterInstance):
    seen = []

    def body() -> None:
        seen.append(1)
        raise error

    asset = dg.asset(name="only", retry_policy=dg.RetryPolicy(max_retries=2, delay=0))(classified(body))
    dg.materialize([asset], raise_on_error=False, instance=instance)
    assert len(seen) == tries


def test_a_blocking_gate_that_failed_explains_the_run(instance: dg.DagsterInstance):
    from splat_pipeline.assets.partitions import jobs

    @dg.asset(check_specs=specs_of("camera_poses"), partitions_def=jobs)
    def camera_poses() -> dg.MaterializeResult:
        verdicts = judge_stage("camera_poses", metrics_of("camera_poses", registered_share=0.1, rms_px=0.5))
        return dg.MaterializeResult(check_results=results_of("camera_poses", verdicts))

    @dg.asset(deps=[camera_poses], partitions_def=jobs)
    def after() -> None:
        raise AssertionError("must not run")

    instance.add_dynamic_partitions("jobs", ["j"])
    done = dg.materialize([camera_poses, after], partition_key="j", instance=instance, raise_on_error=False)
    assert not done.success
    told = explain(done.all_events)
    assert told["class"] == "FewRegistered"
    assert "registered_share 0.1, must be at least 0.4" in (told["cause"] or "")
    assert told["failure"] == "few-registered"


def test_the_wait_before_a_retry_grows_and_is_not_the_same_for_all():
    waits = [[RETRIES.calculate_delay(attempt) for _ in range(200)] for attempt in (1, 2, 3)]
    assert RETRIES.max_retries == len(waits)
    assert [(round(min(w), -1), round(max(w), -1)) for w in waits] == [(0, 10), (10, 20), (30, 40)]
    assert all(len(set(drawn)) > 100 for drawn in waits)


def test_a_run_whose_process_was_killed_says_so(instance: dg.DagsterInstance):
    @dg.job
    def nothing() -> None:
        pass

    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(
        run, "Detected run worker status FAILED: 'its process was killed'. Marking run as failed."
    )
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    told = explain(events)
    assert told["class"] == "ProcessKilled"
    assert "its process was killed" in (told["cause"] or "")


def test_a_gate_has_the_class_of_its_row(instance: dg.DagsterInstance):
    verdicts = judge_stage("camera_poses", metrics_of("camera_poses", registered_share=1.0, rms_px=9.0))
    classes = {result.check_name: result.metadata["class"].value for result in results_of("camera_poses", verdicts)}
    assert classes["reprojection"] == "PoseError"
