"""A slot that is freed at the moment at which a step enters itself as waiting is given to it nevertheless."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from sensors.second_chances import second_chances_sensor
from sensors.slots import assign_free_slots, free_slots_assigned, slots_awaited
from splat_pipeline.launch import make_home
from splat_pipeline.settings import Settings

POOL = "sfm"
PATIENCE_S = 60


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    settings = Settings(home=str(tmp_path_factory.mktemp("home")))
    with dg.DagsterInstance.from_config(str(make_home(settings))) as opened:
        opened.event_log_storage.set_concurrency_slots(POOL, 1)
        yield opened


def claims(home: dg.DagsterInstance, run_id: str) -> bool:
    return home.event_log_storage.claim_concurrency_slot(POOL, run_id, "step").is_claimed


@pytest.fixture
def forgotten(home: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """An instance in which the step of run b waits for a slot that run a gave back while b asked for one."""
    storage = home.event_log_storage
    asked: Callable[[str], bool] = storage.has_unassigned_slots  # type: ignore[attr-defined]

    def ask_then_free(pool: str) -> bool:
        answer = asked(pool)
        storage.free_concurrency_slot_for_step("a", "step")
        return answer

    assert claims(home, "a")
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(storage, "has_unassigned_slots", ask_then_free)
        assert not claims(home, "b")
    return home


def test_without_help_the_step_would_wait_for_a_free_slot(forgotten: dg.DagsterInstance):
    assert not any(claims(forgotten, "b") for _ in range(3))
    info = forgotten.event_log_storage.get_concurrency_info(POOL)
    assert (info.slot_count, info.active_slot_count, info.pending_step_count) == (1, 0, 1)


def test_the_step_gets_the_slot_once(forgotten: dg.DagsterInstance):
    assert assign_free_slots(forgotten) == [POOL]
    assert claims(forgotten, "b")
    assert assign_free_slots(forgotten) == []


def test_a_slot_that_is_taken_is_given_to_nobody(home: dg.DagsterInstance):
    assert claims(home, "a")
    assert not claims(home, "b")
    assert assign_free_slots(home) == []
    assert not claims(home, "b")


def test_the_sensor_looks_after_it(forgotten: dg.DagsterInstance):
    said = second_chances_sensor(job_name="nothing", every_s=30)(dg.build_sensor_context(instance=forgotten))
    assert isinstance(said, dg.SkipReason)
    assert POOL in (said.skip_message or "")
    assert claims(forgotten, "b")


def test_a_command_looks_after_it_while_it_runs(forgotten: dg.DagsterInstance):
    until = time.monotonic() + PATIENCE_S
    with free_slots_assigned(forgotten, every_s=0.05):
        while not claims(forgotten, "b"):
            assert time.monotonic() < until
            time.sleep(0.02)


@dg.op(pool=POOL)
def short() -> None:
    """Of no interest."""


@dg.job
def brief() -> None:
    """One step, in the pool."""
    short()


def test_who_waits_for_a_slot_keeps_no_core_from_who_has_it(home: dg.DagsterInstance):
    assert claims(home, "a")
    over = threading.Timer(3, home.event_log_storage.free_concurrency_slot_for_step, ("a", "step"))
    began_s, spent_s = time.monotonic(), time.process_time()
    with slots_awaited(), free_slots_assigned(home, every_s=1):
        over.start()
        assert brief.execute_in_process(instance=home).success
    over.join()
    assert time.monotonic() - began_s > 2
    assert time.process_time() - spent_s < 1.5  # all of the time, where it asks without a pause
