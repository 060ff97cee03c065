"""Writing and reading each format: seconds, bytes, and the largest difference of a position that comes back.

    python benchmarks/formats.py --gaussians 1000000 --json FILE

The Gaussians are random, with harmonics of degree 3: nothing that packs well. One core; where the machine is not idle,
the CPU seconds are what it takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
            f"read {row['read_s']:.2f} s ({row['read_cpu_s']:.2f} CPU), {row['bytes']} bytes, "
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
    start, busy = time.perf_counter(), time.process_time()
    kind.write(path, gaussians)
    written, busy_written = time.perf_counter(), time.process_time()
    got = kind.read(path)
    read, busy_read = time.perf_counter(), time.process_time()
    error = float(np.abs(got.means - gaussians.means[kind.order(gaussians)]).max(initial=0))
    size = path.stat().st_size
    path.unlink()
    return {
        "write_s": round(written - start, 3),
        "read_s": round(read - written, 3),
        "write_cpu_s": round(busy_written - busy, 3),
        "read_cpu_s": round(busy_read - busy_written, 3),
        "bytes": size,
        "max_error": error,
    }


if __name__ == "__main__":
    main()
