"""What a stage took of the GPUs, as NVIDIA's management library (nvidia-ml-py) tells it while the stage runs.

Where the package or a driver is missing nothing is told. Memory is that of this process and its children where the
driver knows them; in a container it may know them by other numbers: then what the device has more than at the start.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

EVERY_S = 1.0


@dataclass(kw_only=True)
class Device:
    """One GPU, watched."""

    handle: Any
    used_first: int
    looks: int = 0
    peak_bytes: int = 0
    shares: list[float] = field(default_factory=list)
    """Of the time, in [0, 1], in which a kernel ran."""
    watts: list[float] = field(default_factory=list)

    def look(self, nvml: Any, pids: frozenset[int]) -> None:
        """Take a sample. Raises ``nvml.NVMLError``."""
        held = [p for p in nvml.nvmlDeviceGetComputeRunningProcesses(self.handle) if p.pid in pids and p.usedGpuMemory]
        grown = nvml.nvmlDeviceGetMemoryInfo(self.handle).used - self.used_first
        self.peak_bytes = max(self.peak_bytes, sum(p.usedGpuMemory for p in held) if held else grown)
        self.looks += 1
        with suppress(nvml.NVMLError):  # one that is shared out (MIG) does not tell how busy it is
            self.shares.append(nvml.nvmlDeviceGetUtilizationRates(self.handle).gpu / 100)
        with suppress(nvml.NVMLError):  # not every GPU tells its power
            self.watts.append(nvml.nvmlDeviceGetPowerUsage(self.handle) / 1000)


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """Of the GPU that was busiest."""

    peak_vram_bytes: int
    share: float | None
    """Of the time in which a kernel ran."""
    power_w: float | None
    """Mean."""


class GpuMeter:
    """Watches all GPUs from a thread."""

    def __init__(self, nvml: Any, *, every_s: float = EVERY_S) -> None:
        """``nvml``: the module ``pynvml``, initialised."""
        self._nvml, self._every_s, self._over = nvml, every_s, threading.Event()
        count = nvml.nvmlDeviceGetCount()
        handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
        self._devices = [Device(handle=h, used_first=nvml.nvmlDeviceGetMemoryInfo(h).used) for h in handles]
        self._thread = threading.Thread(target=self._watch, name="gpu-meter", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> GpuFacts | None:
        """Take a last sample, end, and return what was seen; None where there is no GPU."""
        self._over.set()
        self._thread.join()
        seen = [device for device in self._devices if device.looks]
        if not seen:
            return None
        busiest = max(seen, key=lambda device: (sum(device.shares), device.peak_bytes))
        shares, watts = busiest.shares, busiest.watts
        return GpuFacts(
            peak_vram_bytes=max(device.peak_bytes for device in seen),
            share=sum(shares) / len(shares) if shares else None,
            power_w=sum(watts) / len(watts) if watts else None,
        )

    def _watch(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._every_s)
            pids = family(os.getpid())
            for device in self._devices:
                with suppress(self._nvml.NVMLError):  # a GPU that was lost has no more to tell
                    device.look(self._nvml, pids)


def family(pid: int, proc: Path = Path("/proc")) -> frozenset[int]:
    """Return a process and all that it started and those started, as far as Linux tells."""
    parents: dict[int, int] = {}
    for entry in proc.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # it ended meanwhile
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found and child not in found}:
        found |= more
    return frozenset(found)


@contextmanager
def metered() -> Iterator[list[GpuFacts]]:
    """Give a list that holds the facts afterwards; empty where nothing can be told."""
    facts: list[GpuFacts] = []
    meter = _meter()
    if meter is None:
        yield facts
        return
    meter.start()
    try:
        yield facts
    finally:
        told = meter.stop()
        if told is not None:
            facts.append(told)


def _meter() -> GpuMeter | None:
    if find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        return GpuMeter(pynvml)
    except pynvml.NVMLError:
        return None
