"""Our trainer for GPUs against gsplat's own example trainer: the same captures, settings, machine and run.

    make gpu ASK="--case garden=/data/garden"           # installs what is needed below build/, and runs this

or, where the packages of gpu.requirements.txt are installed and gsplat is checked out,

    PYTHONPATH=. python benchmarks/gpu.py --json build/gpu.json --case garden=/data/garden --gsplat /src/gsplat

A case is a folder with images and a COLMAP model or ``transforms.json`` (as cpu_splatting.py has it); without --case
it is a scene of the project. gsplat's kernels are built first, which takes minutes. Every 8th view is held out; what
both trained is drawn by our renderer and compared with those. Time is that of training from images in memory to
Gaussians, and for theirs from the start of its process, which reads each picture from its file whenever its turn
comes; memory that of the process and its children, as the driver tells it, for theirs less what this process keeps
between trainings. Both have the same schedule, rates, harmonics and strategy; ours also begins with smaller pictures,
and each with Gaussians of its own making: theirs are smaller and more opaque for mcmc. Theirs gets the scene as large
as it would make it itself: its noise and its penalty on size are not in scene extents. Figures are written after
every row. Without --gsplat only ours is trained. An hour on one GPU is ample for one case; where there are ten
minutes, ``--iterations 7000 --strategy ranked``. Nobody has run this on a GPU yet.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from cases import HOLDOUT, Case, load

from resources.colmap_folder import write_capture
from resources.gpu.recipe import REFERENCE, Schedule
from resources.gsplat_trainer import GsplatTrainer
from resources.machine import LocalMachine
from resources.sandbox import run_child
from resources.trained_ply import read_trained
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import GPU_LADDER, Detail, TrainingPlan, plan_for
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.ports.machine import Usage
from splat_pipeline.ports.training import TrainingViews
from splat_pipeline.splatting.seeds import scene_extent

STRATEGIES = {"ranked": "default", "mcmc": "mcmc"}
"""Ours: theirs."""
COLUMNS = ("case", "strategy", "iterations", "who", "psnr_db", "ssim", "seconds", "peak_vram_gb", "gaussians")
EXAMPLE = Path(__file__).with_name("gsplat_example.py")
BUILD = "from gsplat.cuda._backend import _C; assert _C is not None, 'gsplat has no kernels'"
GROW = ("--strategy.grow-grad2d", "0.0008")
"""As ``resources.gpu.growth.ABSGRAD``."""
LIMIT_S = 6 * 3600.0


def main(arguments: Sequence[str] | None = None, trainer: GsplatTrainer | None = None) -> None:
    """Train everything, print the table, write the figures."""
    args, trainer = options().parse_args(arguments), trainer or GsplatTrainer()
    reason = trainer.unavailable()
    if reason is not None:
        sys.exit(f"nothing is measured here: {reason}")
    start = time.perf_counter()
    for python in dict.fromkeys([sys.executable, *([args.python] if args.gsplat else [])]):
        run_child([python, "-c", BUILD], time_limit_s=LIMIT_S, say=_tell)
    figures: dict[str, Any] = {"machine": machine(), "build_s": round(time.perf_counter() - start, 1), "rows": []}
    with tempfile.TemporaryDirectory() as made:
        for name, folder in args.case or [("scene", None)]:
            home = Path(made) / name
            home.mkdir()
            case = load(folder, poses="auto", longer_side_px=args.longer_side, cache=None, home=home, points="auto")
            for row in compared(name, case, args, trainer, home=home):
                figures["rows"].append(row)
                args.json.write_text(json.dumps(figures, indent=1))
    print(as_table(figures["rows"]))


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="write the figures here")
    parser.add_argument("--case", type=_named, action="append", metavar="NAME=DIR", help="may be given several times")
    parser.add_argument("--iterations", type=int, nargs="+", default=[7_000, 30_000])
    parser.add_argument("--strategy", choices=STRATEGIES, nargs="+", default=list(STRATEGIES))
    parser.add_argument("--gaussians", type=int, default=1_000_000, help="cap; theirs has none but with mcmc")
    parser.add_argument("--longer-side", type=int, default=GPU_LADDER[Detail.FULL].longer_side_px, help="pixels")
    parser.add_argument(
        "--gsplat", type=_absolute, metavar="CHECKOUT", help="of gsplat, whose examples/ hold its trainer"
    )
    parser.add_argument("--python", default=sys.executable, help="that runs it")
    return parser


def _named(text: str) -> tuple[str, Path]:
    name, _, folder = text.rpartition("=")
    return name or Path(folder).name, Path(folder)


def _absolute(text: str) -> Path:
    return Path(text).absolute()  # it is run from a folder of its own


def compared(
    name: str, case: Case, args: argparse.Namespace, trainer: GsplatTrainer, *, home: Path
) -> list[dict[str, Any]]:
    """Return the rows of one case."""
    views, heldout = case.split()
    rows = []
    for strategy in args.strategy:
        for iterations in args.iterations:
            about = {"case": name, "strategy": strategy, "iterations": iterations}
            plan = plan_of(iterations, strategy, args)
            kept_bytes(trainer)
            with LocalMachine().metered() as usage:
                trained = trainer.train(views, case.points, case.colors, plan, say=_tell).gaussians
            rows.append({**about, "who": "ours", **scored(trainer, trained, heldout, usage)})
            if args.gsplat is not None:
                folder, kept = home / f"{strategy}-{iterations}", kept_bytes(trainer)
                with LocalMachine().metered() as usage:
                    trained = theirs(case, plan, args, folder)
                if usage.peak_vram_bytes is not None:
                    usage.peak_vram_bytes -= kept
                rows.append({**about, "who": "gsplat's", **scored(trainer, trained, heldout, usage)})
    return rows


def kept_bytes(trainer: GsplatTrainer) -> int:
    """Give back what trainings left to torch; return what this process still holds of GPUs, as the meter counts it."""
    trainer.free_bytes()
    with LocalMachine().metered() as idle:
        pass
    return idle.peak_vram_bytes or 0


def plan_of(iterations: int, strategy: str, args: argparse.Namespace) -> TrainingPlan:
    """Return what ours is asked to do."""
    full = plan_for(Detail.FULL, seed=42, ladder=GPU_LADDER, trainer="gsplat")
    asked = {"strategy": strategy}
    return replace(
        full, iterations=iterations, max_gaussians=args.gaussians, longer_side_px=args.longer_side, options=asked
    )


def theirs(case: Case, plan: TrainingPlan, args: argparse.Namespace, folder: Path) -> Gaussians:
    """Train with gsplat's example on all views of ``case``, of which it holds out the same ones.

    The scene has an extent of 1 for it, as it would make it itself if it did not also turn it.
    """
    extent = scene_extent(case.views)
    small = Similarity(scale=1 / extent, rotation=np.eye(3), translation=np.zeros(3))
    views = [replace(view, cam_from_world=small.pose(view.cam_from_world)) for view in case.views]
    everything = TrainingViews(images=case.images, views=views, keyframe_ids=range(len(views)))
    write_capture(folder / "data", everything, small.points(case.points).astype(np.float32), case.colors)
    script = args.gsplat / "examples" / "simple_trainer.py"
    argv = arguments_of(plan, args.python, script, data=folder / "data", result=folder / "result")
    run_child(argv, time_limit_s=LIMIT_S, cwd=script.parent, say=_tell)
    ply = folder / "result" / "ply" / f"point_cloud_{plan.iterations - 1}.ply"
    trained = read_trained(ply, who="gsplat's trainer", most_degree=plan.sh_degree, say=_tell)
    means, log_scales = trained.means * np.float32(extent), trained.log_scales + np.float32(np.log(extent))
    return replace(trained, means=means, log_scales=log_scales)


def arguments_of(plan: TrainingPlan, python: str, script: Path, *, data: Path, result: Path) -> list[str]:
    """Return how it is called with the settings that ours has. It evaluates nothing: time is that of training."""
    n, strategy = str(plan.iterations), str(plan.options["strategy"])
    schedule = Schedule.of(plan.iterations, mcmc=strategy == "mcmc")
    argv = [python, str(EXAMPLE), str(script), STRATEGIES[strategy], "--data-dir", str(data), "--data-factor", "1"]
    argv += ["--result-dir", str(result), "--test-every", str(HOLDOUT), "--no-normalize-world-space"]
    argv += ["--max-steps", n, "--eval-steps", "0", "--save-steps", n, "--ply-steps", n, "--save-ply"]
    argv += ["--sh-degree", str(plan.sh_degree), "--visible-adam", "--disable-viewer", "--disable-video"]
    argv += ["--sh-degree-interval", str(round(plan.iterations * REFERENCE["degree_every"]))]
    argv += ["--strategy.refine-start-iter", str(schedule.start), "--strategy.refine-stop-iter", str(schedule.stop)]
    argv += ["--strategy.refine-every", str(schedule.every)]
    if strategy == "mcmc":
        return [*argv, "--strategy.cap-max", str(plan.max_gaussians)]
    return [*argv, "--strategy.reset-every", str(schedule.reset_every), "--strategy.absgrad", *GROW]


def scored(trainer: GsplatTrainer, trained: Gaussians, heldout: TrainingViews, usage: Usage) -> dict[str, Any]:
    """Return the figures of one training."""
    psnr_db, ssim = np.mean(trainer.evaluate(trained, heldout), axis=0)
    vram = usage.peak_vram_bytes
    return {
        "psnr_db": round(float(psnr_db), 3),
        "ssim": round(float(ssim), 4),
        "seconds": round(usage.seconds, 1),
        "peak_vram_gb": None if vram is None else round(vram / 1e9, 2),
        "gpu_share": usage.gpu_share,
        "gpu_power_w": usage.gpu_power_w,
        "gaussians": len(trained),
    }


def machine() -> dict[str, Any]:
    """Return what the figures are of."""
    import torch

    there = torch.cuda.is_available()
    properties = torch.cuda.get_device_properties(0) if there else None
    return {
        "gpu": properties.name if properties else None,
        "vram_gb": round(properties.total_memory / 1e9, 1) if properties else None,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "gsplat", "splat_pipeline")},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None  # ours need not be installed, only found


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join("" if row[c] is None else str(row[c]) for c in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
