"""Time and quality of the CPU trainer.

    python benchmarks/cpu_splatting.py                                  # a small scene made by the project, true poses
    python benchmarks/cpu_splatting.py --case PATH --longer-side 480    # clips or photos: posed by the pipeline first

Prints, and writes with --json, held-out PSNR and SSIM, milliseconds an iteration, Gaussians, peak memory. Every
8th view is held out. Run it on an idle machine, and compare runs of one machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the OpenMP library is loaded

import numpy as np

from resources.cpu_trainer import CpuTrainer
from resources.images import KeyframeImages
from resources.inbox import list_upload
from resources.sample import load_textures
from splat_pipeline.domain import tables
from splat_pipeline.domain.plans import Detail, TrainingPlan, plan_for
from splat_pipeline.domain.sample import sample_camera, scene, walk
from splat_pipeline.launch import run_upload
from splat_pipeline.overview import store_of
from splat_pipeline.ports import TrainingViews
from splat_pipeline.settings import Settings
from splat_pipeline.splatting.film import film

HOLDOUT = 8


def made(longer_side_px: int) -> tuple[TrainingViews, TrainingViews, np.ndarray, np.ndarray]:
    """Return training and held-out views of the sample scene, points (P, 3) on it and their colours (P, 3)."""
    gaussians = scene(load_textures())
    views = walk(sample_camera(longer_side_px, longer_side_px * 9 // 16), frames=40, fps=4, seed=0)
    images = [np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8) for image in film(gaussians, views)]
    some = np.random.default_rng(0).choice(len(gaussians), 5000, replace=False)
    colors = np.clip((0.5 + 0.2820948 * gaussians.sh[some, 0]) * 255, 0, 255).astype(np.uint8)
    parts = [
        TrainingViews(images=[images[i] for i in ids], views=[views[i] for i in ids], keyframe_ids=ids)
        for ids in ([i for i in range(40) if i % HOLDOUT], list(range(0, 40, HOLDOUT)))
    ]
    return parts[0], parts[1], gaussians.means[some], colors


def posed(case: Path, longer_side_px: int, home: Path) -> tuple[TrainingViews, TrainingViews, np.ndarray, np.ndarray]:
    """Return the same of real footage, with poses and points from the pipeline."""
    upload = list_upload(case)
    settings = Settings(home=home)
    store = store_of(settings)
    wanted = [
        "source_videos",
        "frame_quality",
        "keyframes",
        "features",
        "local_reconstructions",
        "camera_poses",
        "point_cloud",
    ]
    success, reason = run_upload(settings, upload, config={}, listener=lambda _: None, assets=wanted)
    if not success:
        sys.exit(f"no poses: {reason}")
    folders = [store.fetch(upload.job, name).folder for name in ("keyframes", "camera_poses", "point_cloud")]
    loader = KeyframeImages()
    parts = [loader.load(*folders, longer_side_px=longer_side_px, holdout=held) for held in (False, True)]
    points = tables.read_table(folders[2] / "points.parquet", tables.POINTS)
    return (
        parts[0],
        parts[1],
        points[["x", "y", "z"]].to_numpy(np.float32),
        points[["red", "green", "blue"]].to_numpy(np.uint8),
    )


def main() -> None:
    """Run one case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, help="clip, folder of clips or of photos; default: a scene of the project")
    parser.add_argument("--longer-side", type=int, default=320, help="pixels")
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--gaussians", type=int, default=20_000, help="cap")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        case = posed(args.case, args.longer_side, Path(home)) if args.case else made(args.longer_side)
    views, heldout, points, colors = case
    plan = replace(
        plan_for(Detail.FULL, seed=0),
        longer_side_px=args.longer_side,
        iterations=args.iterations,
        max_gaussians=args.gaussians,
    )
    figures = timed(plan, views, heldout, points, colors)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def timed(
    plan: TrainingPlan, views: TrainingViews, heldout: TrainingViews, points: np.ndarray, colors: np.ndarray
) -> dict[str, float]:
    """Train once to load or compile the kernels, then once for the figures."""
    trainer = CpuTrainer()
    trainer.train(views, points, colors, replace(plan, iterations=100), say=lambda _: None)
    start, cpu = time.perf_counter(), time.process_time()
    trained = trainer.train(views, points, colors, plan, say=lambda line: print(line, file=sys.stderr))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    scores = np.mean(trainer.evaluate(trained.gaussians, heldout), axis=0)
    return {
        "psnr_heldout": round(float(scores[0]), 3),
        "ssim_heldout": round(float(scores[1]), 4),
        "ms_per_iteration": round(1000 * seconds / plan.iterations, 2),
        "cpu_ms_per_iteration": round(1000 * cpu / plan.iterations, 2),
        "iterations": plan.iterations,
        "gaussians": len(trained.gaussians),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": round(seconds, 2),
    }


if __name__ == "__main__":
    main()
