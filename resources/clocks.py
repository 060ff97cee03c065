"""A clock that never goes back, and says where it began."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from splat_pipeline.domain.inbox import Moment

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def now() -> Moment:
    """Return a reading of the machine's monotonic clock; the same clock goes on until the machine starts again."""
    boot = _BOOT.read_text().strip()[:8] if _BOOT.exists() else "?"
    return Moment(clock=f"{socket.gethostname()} {boot}", s=time.monotonic())
