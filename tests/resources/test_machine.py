"""Time and memory of a stage are measured, not guessed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np

from resources.machine import LocalMachine, is_gone, this_process


def test_utc_is_iso_8601_with_seconds():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", LocalMachine().utc())


def test_the_peak_of_a_stage_counts_memory_that_it_gave_back():
    size = 300_000_000
    with LocalMachine().metered() as small:
        np.ones(10)
    with LocalMachine().metered() as large:
        np.ones(size // 8).sum()
    assert large.peak_rss_bytes - small.peak_rss_bytes > size * 0.8
    assert large.seconds > 0


def test_a_stage_that_fails_is_measured_too():
    machine = LocalMachine().metered()
    usage = machine.__enter__()
    assert machine.__exit__(ZeroDivisionError, ZeroDivisionError(), None) is False
    assert usage.seconds > 0
    assert usage.peak_rss_bytes > 1_000_000


def test_a_process_that_ended_is_gone_and_this_one_is_not():
    code = "from resources.machine import this_process; print(this_process())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert is_gone(ended)
    assert not is_gone(this_process())


def test_a_killed_process_that_nobody_waited_for_is_gone():
    code = "from resources.machine import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert not is_gone(name)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(name)


def test_a_number_that_is_used_again_is_another_process():
    host, pid, _ = this_process().rsplit("/", 2)
    assert is_gone(f"{host}/{pid}/1")


def test_of_another_machine_nothing_is_known():
    assert not is_gone("elsewhere/1/1")
