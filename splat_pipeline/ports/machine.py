"""What the machine has, and what a stage took of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(kw_only=True)
class Usage:
    """What a stage took; filled when the measuring ends."""

    seconds: float = 0.0
    peak_rss_bytes: int = 0
    peak_vram_bytes: int | None = None
    """None, as those below: no GPU, or nobody who tells."""
    gpu_share: float | None = None
    """Of the time in which the busiest GPU ran a kernel."""
    gpu_power_w: float | None = None
    peak_so_far: Callable[[], int] = lambda: 0
    """Return the peak resident memory in bytes until now; 0: not known."""


class Machine(Protocol):
    """Clock and meters."""

    def utc(self) -> str:
        """Return now as ISO 8601 with seconds, e.g. 2026-11-20T10:00:00Z."""
        ...

    def kind(self) -> Mapping[str, str]:
        """Return what a result may rest on: system, machine, processor, cores. Equal where machines are alike."""
        ...

    def free_bytes(self) -> int | None:
        """Return how much memory may still be taken; None where the machine does not tell."""
        ...

    def metered(self) -> AbstractContextManager[Usage]:
        """Measure wall time and peak memory of what runs inside, children included."""
        ...
