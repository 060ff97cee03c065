"""Becomes another program once limits are set: ``python -I -S launcher.py PARENT_PID MEMORY_BYTES PROGRAM ARGS...``.

Done in a process of its own and not between fork and exec: a caller with threads may not run Python there.
It dies with its parent (Linux: PR_SET_PDEATHSIG survives exec), so a killed step leaves no tool behind.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the limits and replace this process."""
    parent, memory_bytes, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before prctl: nobody would kill us
            sys.exit(125)
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.execvp(argv[0], argv)  # noqa: S606  # no shell on purpose: an argument list from our own code


if __name__ == "__main__":
    main()
