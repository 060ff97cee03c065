"""Writing and reading each format: seconds, memory, bytes, and the largest difference of a position that comes back.

    python benchmarks/formats.py --gaussians 1000000 --json FILE

The Gaussians are random, with harmonics of degree 3: nothing that packs well. One core; where the machine is not idle,
the CPU seconds are what it takes. Memory is what writing takes beside the Gaussians, and reading with those that come
back, which are as large: the peak above what was resident before, where Linux tells.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resources.machine import LocalMachine
from splat_pipeline.domain.formats.files import FORMATS, Format
from splat_pipeline.domain.gaussians import Gaussians


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every format."""
    args = options().parse_args(arguments)
    gaussians = some(args.gaussians, degree=args.degree)
    with tempfile.TemporaryDirectory() as folder:
        figures = {name: measure(kind, gaussians, Path(folder)) for name, kind in FORMATS.items()}
    for name, row in figures.items():
        sys.stdout.write(
            f"{name:<16} write {row['write_s']:.2f} s ({row['write_cpu_s']:.2f} CPU), "
            f"read {row['read_s']:.2f} s ({row['read_cpu_s']:.2f} CPU), {row['bytes']} bytes, memory "
            f"{row['write_peak_bytes'] / 1e6:.0f} and {row['read_peak_bytes'] / 1e6:.0f} MB, "
            f"largest error {row['max_error']:.2g}\n"
        )
    if args.json:
        args.json.write_text(json.dumps({"gaussians": args.gaussians, "formats": figures}, indent=1) + "\n")


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaussians", type=int, default=1_000_000, help="how many")
    parser.add_argument("--degree", type=int, default=3, choices=range(4), help="of the harmonics")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser


def some(count: int, *, degree: int) -> Gaussians:
    """Return Gaussians of a room's size."""
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(count, 4))
    return Gaussians(
        means=rng.normal(size=(count, 3), scale=5).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        log_scales=rng.normal(-4, 1, size=(count, 3)).astype(np.float32),
        logit_opacities=rng.normal(size=count, scale=2).astype(np.float32),
        sh=rng.normal(size=(count, (degree + 1) ** 2, 3), scale=0.2).astype(np.float32),
    )


def measure(kind: Format, gaussians: Gaussians, folder: Path) -> dict[str, Any]:
    """Return the figures of one format."""
    path = folder / f"g{kind.suffix}"
    meter, before = LocalMachine(), resident_bytes()
    busy = time.process_time()
    with meter.metered() as writing:
        kind.write(path, gaussians)
    busy_written = time.process_time()
    between = resident_bytes()
    with meter.metered() as reading:
        got = kind.read(path)
    busy_read = time.process_time()
    error = float(np.abs(got.means - gaussians.means[kind.order(gaussians)]).max(initial=0))
    size = path.stat().st_size
    path.unlink()
    return {
        "write_s": round(writing.seconds, 3),
        "read_s": round(reading.seconds, 3),
        "write_cpu_s": round(busy_written - busy, 3),
        "read_cpu_s": round(busy_read - busy_written, 3),
        "write_peak_bytes": max(0, writing.peak_rss_bytes - before),
        "read_peak_bytes": max(0, reading.peak_rss_bytes - between),
        "bytes": size,
        "max_error": error,
    }


def resident_bytes() -> int:
    """Return what of this process is in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
