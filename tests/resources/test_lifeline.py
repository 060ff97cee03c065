"""What multiprocessing started ends when whoever started it is killed, however that happens."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import multiprocessing, os, sys, time
from resources.lifeline import end_with_parent

def stay():
    end_with_parent()
    end_with_parent()
    print(os.getpid(), flush=True)
    while True:
        time.sleep(3600)

def start(method):
    child = multiprocessing.get_context(method).Process(target=stay)
    child.start()
    child.join()

if __name__ == "__main__":
    start(sys.argv[1])
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_ends_when_the_one_that_started_it_is_killed(method: str, tmp_path: Path):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, str(script), method], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    ) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        assert not select.select([child], [], [], 0)[0]  # it lives
        parent.send_signal(signal.SIGKILL)
        assert select.select([child], [], [], 60)[0]  # a process that ended makes its descriptor readable
        os.close(child)
