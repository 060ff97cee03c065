"""Child processes: own session, time and memory limit, streamed log, peak memory; none outlives its parent or limit."""

from __future__ import annotations

import math
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resources.child_lines import Lines
from splat_pipeline.domain.errors import ProcessKilled, ToolCrashed, ToolMissing, ToolTimeout
from splat_pipeline.ports.progress import Say

_LAUNCHER = Path(__file__).with_name("launcher.py")
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_POLL_S, _LOOK_S = 0.02, 0.25


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a child, and each of its own children, may take. None: as much as it likes."""

    memory_bytes: int | None = None
    """Of address space."""
    file_bytes: int | None = None
    """Of any file that it writes."""
    cpu_s: float | None = None
    network: bool = True
    """False: no network, where the kernel lets us take it away."""

    def as_argument(self) -> str:
        """Return what the launcher reads."""
        cpu_s = math.ceil(self.cpu_s or 0)
        return f"{self.memory_bytes or 0},{self.file_bytes or 0},{cpu_s},{int(self.network)}"


UNLIMITED = Limits()


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a child ended."""

    argv: Sequence[str]
    returncode: int
    """Negative: the signal that killed it."""
    timed_out: bool
    seconds: float
    peak_rss_bytes: int
    """Of the child, or of the largest descendant that it waited for."""
    cpu_s: float
    """Of the child and those that it waited for."""
    last_lines: Sequence[str]
    cpu_limit_s: float | None = None

    @property
    def problem(self) -> ToolTimeout | ToolCrashed | ProcessKilled | None:
        """What went wrong, with the last lines; None when it ended by itself and said success.

        SIGKILL comes from outside (a person, a kernel without memory), unless it is the kernel's for too much CPU: it
        says nothing of the program or what it was given.
        """
        name, tail = Path(self.argv[0]).name, "Its last lines:\n" + "\n".join(self.last_lines)
        if self.timed_out:
            return ToolTimeout(f"{name} was stopped after {self.seconds:.0f} s. {tail}")
        if self.returncode < 0:
            how = f"killed by signal {-self.returncode} ({signal.strsignal(-self.returncode)})"
            if self.returncode == -signal.SIGKILL and not (self.cpu_limit_s and self.cpu_s > self.cpu_limit_s - 1):
                return ProcessKilled(f"{name} was {how} from outside. {tail}")
            return ToolCrashed(f"{name} was {how}. {tail}")
        if self.returncode > 0:
            return ToolCrashed(f"{name} ended with exit code {self.returncode}. {tail}")
        return None


def run_child(
    argv: Sequence[str],
    *,
    time_limit_s: float,
    limits: Limits = UNLIMITED,
    cwd: Path | None = None,
    log: Path | None = None,
    say: Say = lambda _: None,
) -> Finished:
    """Run a program to its end, as ``watch_child``.

    Raises ``ToolMissing``, ``ToolTimeout``, ``ToolCrashed``, ``ProcessKilled``.
    """
    finished = watch_child(argv, time_limit_s=time_limit_s, limits=limits, cwd=cwd, log=log, say=say)
    if finished.problem is not None:
        raise finished.problem
    return finished


def watch_child(
    argv: Sequence[str],
    *,
    time_limit_s: float,
    limits: Limits = UNLIMITED,
    cwd: Path | None = None,
    log: Path | None = None,
    say: Say = lambda _: None,
) -> Finished:
    """Run a program and return how it ended, well or not. Raises ``ToolMissing``.

    Each line of its output (stdout and stderr as one) goes to ``say`` and to the file ``log``. Whatever it started in
    its process group is killed with it: at its end, at the time limit, and when the caller is interrupted. It also dies
    when the calling thread's process is killed.
    """
    if shutil.which(argv[0]) is None:
        raise ToolMissing(f"{argv[0]} is not installed")
    launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), limits.as_argument(), *argv]
    started = time.monotonic()
    lines = Lines(say=say, log=None if log is None else log.open("w", encoding="utf-8"))
    try:
        child = _Child.start(launch, cwd=cwd)
        try:
            timed_out = not child.follow(lines, deadline=started + time_limit_s)
        finally:
            child.kill()
        lines.finish()
    finally:
        lines.close()
    return Finished(
        argv=tuple(argv),
        returncode=child.returncode,
        timed_out=timed_out,
        seconds=time.monotonic() - started,
        peak_rss_bytes=child.peak_rss_bytes,
        cpu_s=child.cpu_s,
        last_lines=tuple(lines.kept),
        cpu_limit_s=limits.cpu_s,
    )


@dataclass(kw_only=True)
class _Child:
    process: subprocess.Popen[bytes]
    pipe: IO[bytes]
    returncode: int = 0
    peak_rss_bytes: int = 0
    """As seen so far; as accounted by the kernel in the end."""
    cpu_s: float = 0.0
    reaped: bool = False

    @classmethod
    def start(cls, argv: Sequence[str], *, cwd: Path | None) -> _Child:
        process = subprocess.Popen(  # noqa: S603  # an argument list from our own code, no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        return cls(process=process, pipe=process.stdout)

    def follow(self, lines: Lines, *, deadline: float) -> bool:
        """Pass output on until the child ends (True) or the deadline comes (False)."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.pipe, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                self.peak_rss_bytes = max(self.peak_rss_bytes, _own_peak(self.process.pid))
                if not selector.get_map():
                    time.sleep(min(left, _POLL_S))  # it closed its output and still runs
                elif selector.select(min(left, _LOOK_S)) and not self._read(lines):
                    selector.unregister(self.pipe)
                if self._reap(os.WNOHANG):
                    while self._read(lines):
                        pass
                    return True
        return False

    def _read(self, lines: Lines) -> bool:
        try:
            data = os.read(self.pipe.fileno(), 1 << 16)
        except BlockingIOError:
            return False
        lines.feed(data)
        return bool(data)

    def _reap(self, options: int) -> bool:
        """Peak memory comes from wait4: RUSAGE_CHILDREN knows only the largest child so far.

        A new process starts with the peak of the one that forked it: below that, what was seen while it ran counts.
        """
        pid, status, usage = os.wait4(self.process.pid, options)
        if pid:
            self.returncode = self.process.returncode = os.waitstatus_to_exitcode(status)
            inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if usage.ru_maxrss > inherited or not self.peak_rss_bytes:
                self.peak_rss_bytes = usage.ru_maxrss * _RSS_UNIT
            self.cpu_s, self.reaped = usage.ru_utime + usage.ru_stime, True
        return bool(pid)

    def kill(self) -> None:
        """Kill what is left of the group and wait for the child."""
        with suppress(ProcessLookupError, PermissionError):  # gone, or (macOS) only zombies left
            os.killpg(self.process.pid, signal.SIGKILL)
        if not self.reaped:
            self._reap(0)
        self.pipe.close()


def _own_peak(pid: int) -> int:
    """Return VmHWM (proc(5)), which starts anew with each program; 0 where there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
