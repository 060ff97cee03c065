"""Becomes another program once limits are set: ``python -I -S launcher.py PARENT_PID LIMITS PROGRAM ARGS...``.

LIMITS: bytes of memory, bytes of a file, seconds of CPU (0: none) and 1 or 0 for the network, with commas between.

Done in a process of its own and not between fork and exec: a caller with threads may not run Python there.
It dies with its parent (Linux: PR_SET_PDEATHSIG survives exec), so a killed step leaves no tool behind.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def main() -> None:
    """Set the limits and replace this process."""
    parent, argv = int(sys.argv[1]), sys.argv[3:]
    memory_bytes, file_bytes, cpu_s, network = (int(number) for number in sys.argv[2].split(","))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before prctl: nobody would kill us
            sys.exit(125)
    limits = (resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_FSIZE, file_bytes), (resource.RLIMIT_CPU, cpu_s)
    for kind, limit in limits:
        if limit:
            resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not network and sys.platform == "linux":
        leave_network()
    os.execvp(argv[0], argv)  # noqa: S606  # no shell on purpose: an argument list from our own code


def leave_network() -> None:
    """Move to a network namespace of its own, which has no interface that is up, where the kernel lets us.

    A second lock: nothing that we start this way is meant to open a connection in the first place. Containers often
    refuse both ways, so a refusal is no error.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


if __name__ == "__main__":
    main()
