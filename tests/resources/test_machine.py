"""Time and memory of a stage are measured, not guessed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resources.colmap import ColmapBackend
from resources.guarded import GuardedReader
from resources.machine import LocalMachine, free_bytes, is_gone, this_process, usable_cores


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


def system(root: Path, *, membership: str, groups: dict[str, str]) -> tuple[Path, Path]:
    """Make files as Linux has them: 8 GB available, and what control groups say."""
    proc, tree = root / "proc", root / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n")
    (proc / "self" / "cgroup").write_text(membership)
    for name, text in groups.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return proc, tree


@pytest.mark.parametrize(
    ("membership", "groups", "free"),
    [
        ("0::/\n", {}, 8_192_000_000),
        (
            "0::/a/b\n",
            {
                "a/memory.max": "3000000000\n",
                "a/memory.current": "2500000000\n",
                "a/memory.stat": "anon 1\ninactive_file 400000000\n",
                "a/b/memory.max": "max\n",
                "a/b/memory.current": "1\n",
                "a/b/memory.stat": "inactive_file 0\n",
            },
            900_000_000,
        ),
        (
            "5:cpu:/\n4:memory:/x\n0::/\n",
            {
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.usage_in_bytes": "100\n",
                "memory/memory.stat": "total_inactive_file 0\n",
                "memory/x/memory.limit_in_bytes": "1000000\n",
                "memory/x/memory.usage_in_bytes": "2000000\n",
                "memory/x/memory.stat": "total_inactive_file 0\n",
            },
            0,
        ),
        ("4:memory:/of/the/host\n", {"memory/tasks": ""}, 8_192_000_000),
    ],
    ids=["no limit", "version 2", "version 1, nothing left", "a container"],
)
def test_free_memory_is_the_least_that_system_and_control_groups_leave(
    tmp_path: Path, membership: str, groups: dict[str, str], free: int
):
    assert free_bytes(*system(tmp_path, membership=membership, groups=groups)) == free


def test_where_there_is_no_proc_free_memory_is_unknown(tmp_path: Path):
    assert free_bytes(tmp_path, tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_machine_has_some_memory_left():
    left = LocalMachine().free_bytes()
    assert left is not None
    assert 1_000_000 < left < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_threads_are_the_cores_that_we_may_use(tmp_path):
    cores = len(os.sched_getaffinity(0))
    assert 1 <= ColmapBackend().threads <= cores
    assert GuardedReader(threads=1).clips_at_once == ColmapBackend().threads
    assert usable_cores(tmp_path / "no cgroup") == cores
    quota = tmp_path / "cpu.max"
    for text, expected in (("max 100000", cores), ("100000 100000", 1), ("50000 100000", 1)):
        quota.write_text(text)
        assert usable_cores(quota) == expected
