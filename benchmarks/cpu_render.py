"""Frames a second of the CPU renderer, by number of Gaussians and picture size, on the sample scene.

    python benchmarks/cpu_render.py --json FILE

Gaussians are thinned out and made larger, so that they still cover the scene. Run it on an idle machine, and compare
runs of one machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the OpenMP library is loaded

import numba
from cpu_scaling import of_count

from resources.sample import load_textures
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.sample import sample_camera, scene, walk
from splat_pipeline.splatting.film import film

CASES = [(50_000, 480, 270), (100_000, 1280, 720), (400_000, 1280, 720), (400_000, 1920, 1080)]


def timed(gaussians: Gaussians, width_px: int, height_px: int, frames: int) -> dict[str, float]:
    """Return the frames a second of a walk of ``frames`` pictures, the first left out."""
    views = walk(sample_camera(width_px, height_px), frames=frames + 1, fps=4, seed=0)
    pictures = film(gaussians, views)
    next(pictures)
    start = time.perf_counter()
    drawn = sum(1 for _ in pictures)
    seconds = time.perf_counter() - start
    return {
        "gaussians": len(gaussians),
        "width_px": width_px,
        "height_px": height_px,
        "frames_per_s": round(drawn / seconds, 2),
        "ms_per_frame": round(1000 * seconds / drawn, 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args(arguments)
    whole = scene(load_textures())
    cases = [
        timed(of_count(whole, count, degree=whole.sh_degree), width, height, args.frames)
        for count, width, height in CASES
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {"cases": cases, "threads": numba.get_num_threads(), "peak_rss_bytes": peak}
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
