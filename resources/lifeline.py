"""A process that multiprocessing started ends when the process that started it is killed.

Without it a step runs on beside its own retry after its run worker was killed, and a run worker beside its successor
after its code server was. The tools that a step starts end with it by PR_SET_PDEATHSIG (``launcher``).
"""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait

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
