"""Time and quality of the CPU trainer.

    python benchmarks/cpu_splatting.py                       # a small scene made by the project, true poses
    python benchmarks/cpu_splatting.py --case DIR --longer-side 480 --seconds 45 --json FILE

DIR holds clips or photos, which the pipeline poses first (slow: keep the outcome with --cache), or images with poses:
COLMAP's sparse/0, binary or text, or nerfstudio's or instant-ngp's transforms.json, undistorted on the way. Where
poses come without points, as in transforms.json, COLMAP triangulates them first (a minute or two; --cache keeps them
too), and poses that contradict the images are refused; with --points none the trainer begins on random ones.

Every 8th view is held out. Figures: PSNR and SSIM held out, milliseconds an iteration (of the training as a whole,
coarse levels included) and of each phase of a step (of the trained Gaussians at the full resolution), Gaussians, peak
memory while training, and a curve of the held-out figures over the training, whose evaluation counts as no time.
Kernels are compiled before the clock starts. Run it on an idle machine, and compare runs of one machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the OpenMP library is loaded

import numba
import numpy as np
from cases import Case, load
from phases import as_table, ms_per_phase

from resources.machine import LocalMachine
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import Detail, TrainingPlan, plan_for
from splat_pipeline.ports.training import TrainingViews
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.train import Probe, Progress, Trained, evaluate, train

SHARES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
"""Of the training: where the curve is measured, besides its end."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one case."""
    args = options().parse_args(arguments)
    if args.threads:
        numba.set_num_threads(args.threads)
    try:
        with tempfile.TemporaryDirectory() as home:
            case = load(
                args.case,
                poses=args.poses,
                longer_side_px=args.longer_side,
                cache=args.cache,
                home=Path(home),
                points=args.points,
            )
        figures = measured(case, plan_of(args), seconds=args.seconds)
    except SplatError as error:
        sys.exit(f"{error.cause}. {error.remedy}")
    print(as_table(figures["curve"]))
    print(json.dumps({name: value for name, value in figures.items() if name != "curve"}, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, metavar="DIR", help="see above; default: a scene of the project")
    parser.add_argument("--poses", choices=("auto", "pipeline", "transforms", "colmap"), default="auto")
    parser.add_argument("--points", choices=("auto", "none"), default="auto", help="triangulate them if there are none")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep posed cases here")
    parser.add_argument("--longer-side", type=int, default=320, help="pixels")
    parser.add_argument("--gaussians", type=int, help="cap; default 20000 of the project's scene, 50000 of others")
    parser.add_argument("--threads", type=int, help="default: as many as cores")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, help="train so long")
    length.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    return parser


def plan_of(args: argparse.Namespace) -> TrainingPlan:
    """Return the plan of the full detail with the asked changes."""
    return replace(
        plan_for(Detail.FULL, seed=0),
        longer_side_px=args.longer_side,
        iterations=args.iterations,
        max_gaussians=args.gaussians or (50_000 if args.case else 20_000),
    )


@dataclass(kw_only=True, eq=False)
class Curve:
    """Held-out figures over a training."""

    heldout: TrainingViews
    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    """Spent on evaluating."""

    def note(self, gaussians: Gaussians, iterations: int, seconds: float) -> None:
        """Add a row."""
        start = time.perf_counter()
        psnr, ssim = np.mean(evaluate(gaussians, self.heldout.images, self.heldout.views), axis=0)
        self.rows.append(
            {
                "seconds": round(seconds, 2),
                "iterations": iterations,
                "gaussians": len(gaussians),
                "psnr": round(float(psnr), 3),
                "ssim": round(float(ssim), 4),
            }
        )
        self.seconds += time.perf_counter() - start


def measured(case: Case, plan: TrainingPlan, *, seconds: float | None) -> dict[str, Any]:
    """Train once, briefly, to load or compile the kernels, then once for the figures."""
    views, heldout = case.split()
    if not len(case.points):
        print("no points: the training begins on random ones", file=sys.stderr)

    def run(plan: TrainingPlan, **changes: Any) -> Trained:
        return train(views.images, views.views, case.points, case.colors, plan, **changes)

    warm = run(replace(plan, iterations=20), recipe=TrainRecipe(trained_ratio=9)).gaussians
    evaluate(warm, heldout.images[:1], heldout.views[:1])
    curve = Curve(heldout=heldout)
    start, cpu = time.perf_counter(), time.process_time()
    with LocalMachine().metered() as usage:
        trained = run(plan, seconds=seconds, probe=Probe(shares=SHARES, call=curve.note), progress=_tell)
    took, spent = time.perf_counter() - start - curve.seconds, time.process_time() - cpu
    iterations = trained.history[-1].iteration
    curve.note(trained.gaussians, iterations, took)
    last = curve.rows[-1]
    return {
        "psnr_heldout": last["psnr"],
        "ssim_heldout": last["ssim"],
        "ms_per_iteration": round(1000 * took / iterations, 2),
        "ms_per_phase": ms_per_phase(trained.gaussians, views, TrainRecipe()),
        "iterations": iterations,
        "gaussians": len(trained.gaussians),
        "peak_rss_bytes": usage.peak_rss_bytes,
        "seconds": round(took, 2),
        "seconds_evaluating": round(curve.seconds, 2),
        "cpu_seconds_evaluating_too": round(spent, 2),
        "threads": numba.get_num_threads(),
        "views": len(views.views),
        "views_heldout": len(heldout.views),
        "points": len(case.points),
        "size_px": [views.views[0].camera.width_px, views.views[0].camera.height_px],
        "poses": case.origin,
        "curve": curve.rows,
    }


def _tell(at: Progress) -> None:
    print(f"{at.seconds:.0f} s: iteration {at.iteration}, {at.gaussians} Gaussians", file=sys.stderr)


if __name__ == "__main__":
    main()
