"""Real captures: nobody knows their truth, so what becomes of them is told beside what a person expects."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gates.line import STAGES, Line
from benchmarks.gates.nursery import nursed


def judged(data: Path) -> list[dict[str, Any]]:
    """Return what becomes of each folder or file below ``data`` up to its splat, at the benchmark's small size."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="gates-") as home, nursed():
        line = Line(Path(home))
        Path(line.settings.place("store")).mkdir(parents=True)
        for path in sorted(data.iterdir()):
            began = time.monotonic()
            outcome = line.run(line.register(path, path.name), STAGES)
            rows.append(
                {
                    "name": path.name,
                    "shipped": outcome.reason is None,
                    "failure": outcome.reason and outcome.reason["failure"],
                    "cause": outcome.reason and outcome.reason["cause"],
                    "seconds": round(time.monotonic() - began, 1),
                }
            )
    return rows
