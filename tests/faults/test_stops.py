"""A host that goes down or is told to stop in the middle of a run: only what was not finished is redone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from cheap_stages import HOLD, expected
from harm import torn
from plant import Plant, kill

SEEN_S = 60
STOP_S = 300
CONTENTS = {"a.mp4": b"film"}


def done(plant: Plant) -> Counter[str]:
    """Return how often each step of any run succeeded."""
    with dg.DagsterInstance.from_config(str(plant.settings.folder("dagster"))) as instance:
        return Counter(
            str(entry.step_key)
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
        )


@contextmanager
def held(home: Path) -> Iterator[Plant]:
    """Give a plant that is in the middle of a run: the source is read, the tools of the pieces wait."""
    hold = home / "hold"
    hold.touch()
    with Plant(home=home, module="cheap", environ={HOLD: str(hold)}).running() as plant:
        plant.drop("one", CONTENTS)
        plant.until(lambda: "tool" in plant.processes().values(), within_s=900)
        assert done(plant)["source"] == 1
        yield plant
        hold.unlink(missing_ok=True)
        plant.until(plant.ended, within_s=900)
        assert done(plant)["source"] == 1
        (result,) = plant.place("delivered").glob("one-*/latest/result.txt")
        assert result.read_text() == expected(CONTENTS)
        assert torn(plant.place("store")) == []


def test_after_a_host_crash_the_run_is_given_up_within_a_minute_and_only_the_rest_is_redone(tmp_path: Path):
    with held(tmp_path) as plant:
        plant.crash()
        (run,) = plant.runs()
        assert run.status is dg.DagsterRunStatus.STARTED  # as the database has it
        plant.until(plant.is_up, within_s=900)
        assert plant.until(lambda: plant.runs()[-1].status is dg.DagsterRunStatus.FAILURE, within_s=900) < SEEN_S
    assert [run.status.value for run in plant.runs()] == ["SUCCESS", "FAILURE"]


def test_a_step_that_is_killed_takes_its_tool_with_it_and_is_tried_again(tmp_path: Path):
    with held(tmp_path) as plant:
        (step,) = (pid for pid, role in plant.processes().items() if role == "step")
        tools = {pid for pid, role in plant.processes().items() if role == "tool"}
        assert kill(step)
        plant.until(lambda: not tools & plant.processes().keys(), within_s=60)
    assert [run.status.value for run in plant.runs()] == ["SUCCESS"]


def test_a_run_worker_that_is_killed_takes_its_step_and_tool_with_it_before_the_retry_starts(tmp_path: Path):
    with held(tmp_path) as plant:
        old = {pid: role for pid, role in plant.processes().items() if role in {"worker", "step", "tool"}}
        assert set(old.values()) == {"worker", "step", "tool"}
        for pid, role in old.items():
            assert role != "worker" or kill(pid)
        assert plant.until(lambda: not old.keys() & plant.processes().keys(), within_s=60) < 10


def test_what_is_told_to_stop_stops_and_goes_on_when_it_is_started_again(tmp_path: Path):
    with held(tmp_path) as plant:
        assert plant.stop(within_s=STOP_S) < STOP_S
