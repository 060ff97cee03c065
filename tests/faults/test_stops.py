"""Whatever goes down or stops in the middle of a run: it is seen, and only what was not finished is redone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import dagster as dg
from cheap_stages import HOLD, expected
from harm import PATIENCE_S, PATIENT, torn
from plant import Plant, kill

SEEN_S = 60
"""After a host is up again, its runs that died with it are known to be dead within this time."""
STOP_S = 30
"""After SIGTERM to all of it, nothing is left within this time; docs/operations.md says so."""
POOL = "train_cpu"
CONTENTS = {"a.mp4": b"film"}


def told(plant: Plant) -> tuple[Counter[str], int]:
    """Return how often each step of any run succeeded, and how many slots of the pool are taken."""
    with dg.DagsterInstance.from_config(str(plant.settings.folder("dagster"))) as instance:
        done = Counter(
            str(entry.step_key)
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
        )
        return done, instance.event_log_storage.get_concurrency_info(POOL).active_slot_count


def at_work(plant: Plant) -> dict[str, set[int]]:
    """Wait until a tool works, and return the processes by role."""
    plant.until(lambda: "tool" in plant.processes().values(), within_s=PATIENCE_S)
    found: dict[str, set[int]] = {}
    for pid, role in plant.processes().items():
        found.setdefault(role, set()).add(pid)
    return found


def gone(plant: Plant, pids: set[int]) -> None:
    """Wait until none of the processes lives."""
    plant.until(lambda: not pids & plant.processes().keys(), within_s=PATIENCE_S)


def test_whatever_goes_down_in_the_middle_of_a_run_only_the_rest_is_redone(tmp_path: Path):
    hold = tmp_path / "hold"
    hold.touch()
    with Plant(home=tmp_path, module="cheap", instance=PATIENT, environ={HOLD: str(hold)}).running() as plant:
        plant.drop("one", CONTENTS)

        a_step_takes_its_tool_with_it = at_work(plant)
        assert all(kill(pid) for pid in a_step_takes_its_tool_with_it["step"])
        gone(plant, a_step_takes_its_tool_with_it["tool"])
        assert len(plant.runs()) == 1  # the step is tried again, not the run

        a_worker_takes_both_with_it = at_work(plant)
        assert all(kill(pid) for pid in a_worker_takes_both_with_it["worker"])
        gone(plant, a_worker_takes_both_with_it["step"] | a_worker_takes_both_with_it["tool"])

        at_work(plant)  # of the run's retry: the pool of one has its slot back
        plant.crash()
        dead = plant.runs()[0]
        assert dead.status is dg.DagsterRunStatus.STARTED  # as the database has it
        plant.until(plant.is_up, within_s=PATIENCE_S)
        seen_s = plant.until(lambda: plant.status(dead) is dg.DagsterRunStatus.FAILURE, within_s=PATIENCE_S)

        at_work(plant)
        stopped_s = plant.stop(within_s=PATIENCE_S)
        hold.unlink()
        plant.until(plant.ended, within_s=PATIENCE_S)
        done, taken = told(plant)
        assert (done["source"], done["package"], taken) == (1, 1, 0), plant.told()
        (result,) = plant.place("delivered").glob("one-*/latest/result.txt")
        assert result.read_text() == expected(CONTENTS)
        assert torn(plant.place("store")) == []
        assert seen_s < SEEN_S
        assert stopped_s < STOP_S
