"""Processes that belong together end together: when one is killed, and when one is told to stop.

Without it a step runs on beside its own retry after its run worker was killed, and a run worker beside its successor
after its code server was. The tools that a step starts end with it by PR_SET_PDEATHSIG (``launcher``).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing import active_children, parent_process
from multiprocessing.connection import wait
from types import FrameType

GRACE_S = 20.0
"""Between the request to stop and the end of who does not."""
_NAME = "lifeline"


def end_with_parent() -> None:
    """Watch the parent from now on, once; nothing to do in a process that multiprocessing did not start.

    PR_SET_PDEATHSIG would not do: the parent of a step is the fork server, which lives as long as its children, and
    that of a run worker is a thread. The pipe that multiprocessing keeps open to the true parent ends with it.
    """
    parent = parent_process()
    if parent is None or any(thread.name == _NAME for thread in threading.enumerate()):
        return
    threading.Thread(target=_follow, args=(parent.sentinel,), name=_NAME, daemon=True).start()


def _follow(sentinel: int) -> None:
    """SIGKILL, as a graceful end would publish or report what a successor is about to make."""
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def end_children_when_told() -> None:
    """Have SIGTERM interrupt what multiprocessing started, and kill what goes on after ``GRACE_S``.

    A code server that is told to stop would otherwise wait for its runs, which take hours. A run that is interrupted
    tells so; it is run again from the first stage that was not finished. For processes that multiprocessing did not
    start; of those, the parent decides.
    """
    before = signal.getsignal(signal.SIGTERM)
    ours = getattr(before, "__qualname__", "") == f"{end_children_when_told.__name__}.<locals>.told"
    if ours or parent_process() is not None or threading.current_thread() is not threading.main_thread():
        return

    def told(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=_end_children, daemon=True).start()
        if callable(before):
            before(number, frame)
        elif before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, told)


def _end_children() -> None:
    children, deadline_s = active_children(), time.monotonic() + GRACE_S
    for child in children:
        assert child.pid is not None
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGINT)
    for child in children:
        child.join(max(0.0, deadline_s - time.monotonic()))
        child.kill()
