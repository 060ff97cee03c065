import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from resources.sandbox import Limits, run_child, watch_child
from splat_pipeline.domain.errors import ProcessKilled, ToolCrashed, ToolMissing, ToolTimeout


def python(code):
    return [sys.executable, "-c", textwrap.dedent(code)]


def is_alive(pid):
    """A zombie is dead: its parent (or init) just has not looked yet."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_dead(pid):
    """Block until the process is gone; a child of ours or not."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    assert select.select([fd], [], [], 10)[0], f"{pid} is still alive"
    os.close(fd)


def test_lines_of_both_streams_are_passed_on_in_order(tmp_path):
    said = []
    finished = run_child(
        python("""
            import sys
            print("one", flush=True)
            print("two", file=sys.stderr, flush=True)
            print("50 %\\r100 %\\n\\nno newline", end="", flush=True)
        """),
        time_limit_s=30,
        log=tmp_path / "log.txt",
        say=said.append,
    )
    assert said == ["one", "two", "50 %", "100 %", "no newline"]
    assert (tmp_path / "log.txt").read_text().splitlines() == said
    assert list(finished.last_lines) == said
    assert finished.returncode == 0
    assert finished.seconds > 0


def test_the_last_200_lines_and_the_exit_code_are_in_the_error():
    with pytest.raises(ToolCrashed) as caught:
        run_child(python("print('\\n'.join(f'line {i}' for i in range(500))); raise SystemExit(3)"), time_limit_s=30)
    lines = caught.value.cause.splitlines()
    assert "exit code 3" in lines[0]
    assert lines[1] == "line 300"
    assert lines[-1] == "line 499"


def test_a_signal_is_named():
    with pytest.raises(ToolCrashed, match=r"killed by signal 6 \(Aborted\)"):
        run_child(python("import os; os.abort()"), time_limit_s=30)


def test_a_kill_from_outside_is_no_fault_of_the_program_and_may_pass():
    with pytest.raises(ProcessKilled, match=r"killed by signal 9 \(Killed\) from outside") as caught:
        run_child(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), time_limit_s=30)
    assert caught.value.retry == "same"


def test_a_kill_for_too_much_cpu_is_one_of_the_program():
    with pytest.raises(ToolCrashed, match="killed by signal"):
        run_child(python("while True: pass"), time_limit_s=300, limits=Limits(cpu_s=1))


def test_a_program_that_is_not_there_is_missing():
    with pytest.raises(ToolMissing, match="no-such-program"):
        run_child(["no-such-program"], time_limit_s=1)


def test_the_time_limit_kills_the_whole_group():
    """The child ignores SIGTERM, and has a child of its own that would hold the pipe open."""
    said = []
    with pytest.raises(ToolTimeout, match="was stopped after"):
        run_child(
            python("""
                import os, signal
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                pid = os.fork()
                if pid:
                    print(pid, flush=True)
                signal.pause()
            """),
            time_limit_s=1,
            say=said.append,
        )
    wait_until_dead(int(said[0]))


def test_what_a_child_leaves_behind_is_killed_when_it_ends():
    said = []
    finished = run_child(
        python("""
            import os, signal
            pid = os.fork()
            if pid:
                print(pid, flush=True)
                os._exit(0)
            signal.pause()
        """),
        time_limit_s=30,
        say=said.append,
    )
    assert finished.seconds < 10
    wait_until_dead(int(said[0]))


def test_an_exception_of_the_listener_kills_the_child():
    pids = []

    def listener(line):
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child(
            python("import os, signal; print(os.getpid(), flush=True); signal.pause()"), time_limit_s=30, say=listener
        )
    assert not is_alive(pids[0])


def test_a_child_that_closes_its_output_is_still_waited_for():
    finished = run_child(
        python("import os, sys; os.close(1); os.close(2); sum(range(10**6)); os._exit(0)"), time_limit_s=30
    )
    assert finished.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_child_dies_with_its_parent():
    """As when a step is killed with kill -9."""
    code = """
        import sys
        from resources.sandbox import run_child
        child = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
        run_child([sys.executable, "-c", child], time_limit_s=60, say=lambda line: print(line, flush=True))
    """
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        os.kill(parent.pid, signal.SIGKILL)
    wait_until_dead(child)


def test_peak_memory_is_that_of_this_child():
    """A forked process begins with the peak of its parent, which here has imported a lot."""
    big = run_child(python("import time; x = b'x' * 900_000_000; time.sleep(0.7)"), time_limit_s=30)
    small = run_child(python("print(flush=True); sum(range(10**6))"), time_limit_s=30)
    assert 900_000_000 < big.peak_rss_bytes < 1_200_000_000
    assert 0 < small.peak_rss_bytes < 60_000_000


def test_the_memory_limit_stops_a_greedy_child():
    finished = watch_child(python("x = bytes(10**9)"), time_limit_s=30, limits=Limits(memory_bytes=300_000_000))
    assert finished.returncode == 1
    assert "MemoryError" in finished.last_lines[-1]


def test_one_endless_line_is_cut_and_does_not_fill_memory():
    finished = run_child(python("print('x' * 100_000)"), time_limit_s=30)
    assert max(map(len, finished.last_lines)) <= 4000
