"""What a stage took of a GPU is what the driver says; without one nothing is made up. No GPU is needed here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from resources import gpu_meter
from resources.gpu_meter import GpuMeter, family
from resources.machine import LocalMachine


class NVMLError(Exception):
    pass


class Driver:
    """Plays ``pynvml`` with two GPUs: the second one works for us."""

    NVMLError = NVMLError

    def __init__(self, *, known: bool = True, tells_power: bool = True, tells_use: bool = True) -> None:
        self.known, self.tells_power, self.tells_use, self.looks = known, tells_power, tells_use, 0

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        self.looks += 1
        return SimpleNamespace(used=10_000 + (7_000 if handle and self.looks > 2 else 0))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        others = [SimpleNamespace(pid=1, usedGpuMemory=10_000)]
        ours = [SimpleNamespace(pid=os.getpid(), usedGpuMemory=5_000)]
        return others + ours if handle and self.known else others

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if not self.tells_use:
            raise NVMLError
        return SimpleNamespace(gpu=80 if handle else 3)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        if not self.tells_power:
            raise NVMLError
        return 250_000 if handle else 40_000


@pytest.mark.parametrize(("known", "peak_bytes"), [(True, 5_000), (False, 7_000)])
def test_the_busiest_gpu_is_told_of_with_our_share_of_its_memory(known, peak_bytes):
    meter = GpuMeter(Driver(known=known), every_s=60)
    meter.start()
    facts = meter.stop()
    assert (facts.peak_vram_bytes, facts.share, facts.power_w) == (peak_bytes, 0.8, 250)


def test_a_gpu_that_does_not_tell_its_power_has_none():
    meter = GpuMeter(Driver(tells_power=False), every_s=60)
    meter.start()
    assert meter.stop().power_w is None


def test_a_gpu_that_does_not_tell_how_busy_it_is_still_tells_of_its_memory_and_power():
    meter = GpuMeter(Driver(tells_use=False), every_s=60)
    meter.start()
    facts = meter.stop()
    assert (facts.peak_vram_bytes, facts.share, facts.power_w) == (5_000, None, 250)


def test_a_stage_has_the_figures_of_its_gpu_even_when_it_fails(monkeypatch):
    monkeypatch.setattr(gpu_meter, "_meter", lambda: GpuMeter(Driver(), every_s=60))
    usages = []

    def fails() -> None:
        with LocalMachine().metered() as usage:
            usages.append(usage)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert (usages[0].peak_vram_bytes, usages[0].gpu_share, usages[0].gpu_power_w) == (5_000, 0.8, 250)


@pytest.mark.parametrize("driver", [None, "broken"])
def test_without_a_driver_nothing_is_told(monkeypatch, driver):
    if driver is None:
        monkeypatch.setattr(gpu_meter, "find_spec", lambda name: None)
    else:
        broken = Driver()
        monkeypatch.setattr(broken, "nvmlInit", lambda: (_ for _ in ()).throw(NVMLError()))
        monkeypatch.setattr(gpu_meter, "find_spec", lambda name: object())
        monkeypatch.setitem(sys.modules, "pynvml", broken)
    with LocalMachine().metered() as usage:
        pass
    assert (usage.peak_vram_bytes, usage.gpu_share, usage.gpu_power_w) == (None, None, None)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="the kernel tells families in /proc only")
def test_what_a_child_starts_is_family():
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); input(); p.kill()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        grandchild = int(child.stdout.readline())
        assert {os.getpid(), child.pid, grandchild} <= family(os.getpid())
        assert os.getpid() not in family(child.pid)
    finally:
        child.communicate("\n")
