"""A run worker that is gone is found out, wherever it was; one that lives is left alone."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from resources.machine import this_process
from resources.run_workers import WORKER_TAG, WatchedRunLauncher, steps_in_processes
from splat_pipeline.launch import make_home
from splat_pipeline.settings import Settings

POOL = "scarce"
LOOK_S, HELD_S = 0.3, 3.0
ELSEWHERE = "another-machine/1/1"
GONE = f"{socket.gethostname()}/{os.getpid()}/1"  # this number, at another time


@dg.job
def nothing() -> None:
    """Of no interest."""


@dg.op(pool=POOL)
def speechless() -> None:
    """End as where the database is gone: no event can be told any more, not even the failure."""

    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("no database")

    type(dg.OpExecutionContext.get().instance).handle_new_event = lost  # type: ignore[method-assign, assignment]


@dg.op(pool=POOL)
def another() -> None:
    """Wait for the same slot."""


@dg.job(executor_def=steps_in_processes([]))
def lost_for_words() -> None:
    speechless()
    another.alias("then_another")()


@dg.job(executor_def=steps_in_processes([]))
def one_of_the_pool() -> None:
    another()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    settings = Settings(home=str(tmp_path_factory.mktemp("home")))
    with dg.DagsterInstance.from_config(str(make_home(settings))) as opened:
        yield opened


def started(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    return instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)


def answer(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    assert launcher.supports_check_run_worker_health
    return launcher.check_run_worker_health(run).status


def nobody() -> str:
    """Where no code server is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return json.dumps({"host": "127.0.0.1", "port": probe.getsockname()[1]})


def test_a_worker_of_this_machine_is_known_by_its_process(home: dg.DagsterInstance):
    assert answer(home, started(home, **{WORKER_TAG: this_process()})) is WorkerStatus.RUNNING
    assert answer(home, started(home, **{WORKER_TAG: GONE})) is WorkerStatus.FAILED


def test_the_pool_slots_of_a_worker_that_is_gone_are_free_at_once(home: dg.DagsterInstance):
    run, after = started(home, **{WORKER_TAG: GONE}), started(home)
    slots = home.event_log_storage
    slots.set_concurrency_slots("train_cpu", 1)
    assert slots.claim_concurrency_slot("train_cpu", run.run_id, "splat").is_claimed
    assert not slots.claim_concurrency_slot("train_cpu", after.run_id, "splat").is_claimed
    assert answer(home, run) is WorkerStatus.FAILED
    assert slots.claim_concurrency_slot("train_cpu", after.run_id, "splat").is_claimed


def test_a_code_server_elsewhere_may_be_out_of_reach_for_a_while(home: dg.DagsterInstance):
    run = started(home, **{WORKER_TAG: ELSEWHERE, GRPC_INFO_TAG: nobody()})
    assert answer(home, run) is WorkerStatus.RUNNING
    impatient = WatchedRunLauncher(patience_s=0)
    impatient.register_instance(home)
    told = impatient.check_run_worker_health(run)
    assert (told.status, "out of reach" in (told.msg or "")) == (WorkerStatus.FAILED, True)


def test_a_run_that_nobody_started_has_no_worker(home: dg.DagsterInstance):
    assert answer(home, started(home)) is WorkerStatus.FAILED


def test_a_step_that_ends_without_a_word_gives_its_slot_back(home: dg.DagsterInstance):
    home.event_log_storage.set_concurrency_slots(POOL, 1)
    with dg.execute_job(dg.reconstructable(lost_for_words), instance=home) as done:
        assert not done.success
        assert [event.step_key for event in done.all_events if event.is_step_success] == ["then_another"]
        reason = home.get_run_by_id(done.run_id)
    assert reason is not None
    assert reason.tags["dagster/failure_reason"] == "RUN_EXCEPTION", "which is retried"
    info = home.event_log_storage.get_concurrency_info(POOL)
    assert (info.active_slot_count, info.pending_steps) == (0, [])


def test_a_run_that_waits_for_a_slot_leaves_the_core_to_others(home: dg.DagsterInstance):
    slots = home.event_log_storage
    slots.set_concurrency_slots(POOL, 1)
    holder = started(home)
    assert slots.claim_concurrency_slot(POOL, holder.run_id, "at work").is_claimed
    shares: list[float] = []

    def hold() -> None:
        while not slots.get_concurrency_info(POOL).pending_steps:
            time.sleep(LOOK_S)
        began_s, spent_s = time.monotonic(), time.process_time()
        time.sleep(HELD_S)
        shares.append((time.process_time() - spent_s) / (time.monotonic() - began_s))
        slots.free_concurrency_slots_for_run(holder.run_id)

    other = threading.Thread(target=hold)
    other.start()
    with dg.execute_job(dg.reconstructable(one_of_the_pool), instance=home) as done:
        assert done.success
    other.join()
    assert shares[0] < 0.5, "of a core"
