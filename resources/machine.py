"""Clock and meters of the machine that a step runs on."""

from __future__ import annotations

import os
import platform
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from resources import gpu_meter
from resources.gpu_meter import GpuFacts
from splat_pipeline.ports.machine import Usage

_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_DEAD = ("Z", "X")  # proc(5): a zombie was killed and nobody has asked how it ended
_RESET_PEAK = "5"  # proc(5): resets the high water mark of this process


class LocalMachine:
    """Fulfils ``Machine`` with the system's clock and the kernel's accounting."""

    def utc(self) -> str:
        """Return now as ISO 8601 with seconds."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def kind(self) -> dict[str, str]:
        """Return system, machine, processor, and how many cores may be used."""
        named = {"system": platform.system(), "machine": platform.machine(), "processor": _processor()}
        return {**named, "cores": str(usable_cores()), "threads": os.environ.get("NUMBA_NUM_THREADS", "all cores")}

    @contextmanager
    def metered(self) -> Iterator[Usage]:
        """Measure wall time and peak resident memory of what runs inside.

        What NVIDIA's GPUs were used for is measured too, where nvidia-ml-py and a driver are there.

        Where Linux lets the high water mark be reset, the figure is the peak inside; elsewhere the process's so far.
        A child counts when it is larger than every child before it, which is all that the kernel keeps.
        """
        start, children = time.perf_counter(), _children_peak()
        usage = Usage(peak_so_far=lambda: _peak_since(children))
        _reset_peak()
        gpus: list[GpuFacts] = []
        try:
            with gpu_meter.metered() as gpus:
                yield usage
        finally:
            for facts in gpus:
                usage.peak_vram_bytes, usage.gpu_share = facts.peak_vram_bytes, facts.share
                usage.gpu_power_w = facts.power_w
            usage.seconds = time.perf_counter() - start
            usage.peak_rss_bytes = _peak_since(children)

    def free_bytes(self) -> int | None:
        """Return the memory that may still be taken: the system's, or what control groups leave. None: not known."""
        return free_bytes()


def _peak_since(children: int) -> int:
    """Return the peak of this process, or of a child that is larger than ``children``."""
    grown = _children_peak()
    return max(_own_peak(), grown if grown > children else 0)


def _processor(info: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model as the kernel calls it, or what Python knows."""
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def has_nvidia_gpu(devices: Path = Path("/dev")) -> bool:
    """Tell whether the driver shows a GPU; says nothing of whether CUDA works (WSL shows one as ``dxg``)."""
    return any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists()


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many cores this process may use: by affinity, and by a container's quota (cgroup v2), at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    allowed, period = quota.read_text().split() if quota.is_file() else ("max", "0")
    return cores if allowed == "max" else max(1, min(cores, int(allowed) // int(period)))


def free_bytes(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the least of what Linux calls available and what the control groups above this process leave.

    Memory of files that can be dropped at once counts as free. None where /proc does not tell.
    """
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        membership = (proc / "self" / "cgroup").read_text().splitlines()
    except FileNotFoundError:
        return None
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for line in membership:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # cgroup v2: one tree, limits at every level
            names, root = ("memory.max", "memory.current", "inactive_file"), groups
        elif "memory" in controllers.split(","):
            names, root = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"), groups / "memory"
        else:
            continue
        here = root / path.lstrip("/")
        for folder in (here, *here.parents):
            if root in (folder, *folder.parents):
                available += _left(folder, *names)
    return min(available, default=None)


def _left(group: Path, limit: str, used: str, droppable: str) -> list[int]:
    """Return what one control group leaves; nothing where it sets no limit."""
    try:
        most, taken = (group / limit).read_text().strip(), int((group / used).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except FileNotFoundError:  # in a container the path may be that of the host
        return []
    return [] if most == "max" else [max(int(most) - taken + int(stat.get(droppable, 0)), 0)]


def this_process() -> str:
    """Name this process so that another one of this machine can tell whether it is still there."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(process: str) -> bool:
    """Tell whether the process that called itself so has ended. Of other machines nothing is known: False."""
    _, pid, started = process.rsplit("/", 2)
    return is_here(process) and _started(int(pid)) != started


def is_here(process: str) -> bool:
    """Tell whether the process that called itself so was started on this machine."""
    return process.rsplit("/", 2)[0] == socket.gethostname()


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot (proc(5), field 22); "" when it is gone."""
    try:
        if _STATUS.exists():
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if state in _DEAD else fields[18]
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "running"


def _reset_peak() -> None:
    if _CLEAR_REFS.exists():
        _CLEAR_REFS.write_text(_RESET_PEAK)


def _own_peak() -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return _bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _children_peak() -> int:
    return _bytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _bytes(maxrss: int) -> int:
    return maxrss if sys.platform == "darwin" else maxrss * 1024
