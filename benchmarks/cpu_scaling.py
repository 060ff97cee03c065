"""How the cost of a training step and of a picture grows: with Gaussians, pixels, threads and what they cover.

    python benchmarks/cpu_scaling.py --json FILE --svg FILE          # minutes
    python benchmarks/cpu_scaling.py --quick                         # smaller, half a minute

The scene is the project's own, its Gaussians thinned out or multiplied, and made larger or smaller so that they cover
it as before. ``covered`` shrinks the same Gaussians: tiles and Gaussians stay as many, so if blending cost tiles times
Gaussians it would not move. It costs so much a covered pixel (of the blocks of 4x4 pixels in which a Gaussian draws
something: what the inner loop runs over) and so much a pair of a tile and a Gaussian that touch: ``covered_fit``.
``memory`` trains a few steps in a process of its own and says its peak. Run it on an idle machine, and compare runs of
one machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the OpenMP library is loaded

import numba
import numpy as np
from phases import as_table, ms_per_phase
from scipy.optimize import nnls

from resources.machine import LocalMachine
from resources.sample import load_textures
from splat_pipeline.domain import charts
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.sample import sample_camera, scene, walk
from splat_pipeline.ports.training import TrainingViews
from splat_pipeline.splatting import layout, project, seeds
from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.film import film
from splat_pipeline.splatting.pictures import at_size
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import Canvas, Workspace, draw
from splat_pipeline.splatting.studio import Studio

VIEWS = 4
COUNTS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
SIZES = ((240, 135), (480, 270), (960, 540), (1440, 810), (1920, 1080))
SHRINKS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.125)
MEMORY = (1_000_000, 1920, 1080)
PANEL = (520, 360)
STYLE = (
    "svg{background:#fff;font:13px sans-serif}.line{fill:none;stroke:#0d9488;stroke-width:2}"
    ".grid{stroke:#ddd;fill:none}text{fill:#333}"
)


def of_count(gaussians: Gaussians, count: int, *, degree: int = 3) -> Gaussians:
    """Return ``count`` Gaussians that cover the scene as ``gaussians`` do, with harmonics up to ``degree``."""
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(len(gaussians), count, replace=count > len(gaussians)))
    taken = gaussians.take(some)
    sigma = np.exp(taken.log_scales).max(axis=1, keepdims=True)
    aside = rng.normal(size=(count, 3)).astype(np.float32) * sigma if count > len(gaussians) else np.float32(0)
    sh = np.zeros((count, (degree + 1) ** 2, 3), np.float32)
    sh[:, : taken.sh.shape[1]] = taken.sh
    grown = taken.log_scales + np.float32(0.5 * np.log(len(gaussians) / count))
    return replace(taken, means=taken.means + aside, log_scales=grown, sh=sh)


def shown(width_px: int, height_px: int) -> TrainingViews:
    """Return a few grey pictures from the walk around the scene."""
    views = walk(sample_camera(width_px, height_px), frames=VIEWS, fps=1, seed=0)
    grey = [np.full((height_px, width_px, 3), 128, np.uint8) for _ in views]
    return TrainingViews(images=grey, views=views, keyframe_ids=range(VIEWS))


def ms_a_step(gaussians: Gaussians, pictures: TrainingViews) -> float:
    """Return milliseconds of a training step, mean over the views, least of three rounds each."""
    return ms_per_phase(gaussians, pictures, TrainRecipe(), views=VIEWS, rounds=3)["step"]


def ms_a_frame(gaussians: Gaussians, pictures: TrainingViews) -> float:
    """Return milliseconds of a rendered frame, mean over the views, least of three rounds each."""
    frames, times = film(gaussians, [view for view in pictures.views for _ in range(4)]), []
    for _ in range(4 * VIEWS):
        start = time.perf_counter()
        next(frames)
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.mean(np.array(times).reshape(VIEWS, 4)[:, 1:].min(axis=1))), 3)


def row(gaussians: Gaussians, size: tuple[int, int]) -> dict[str, Any]:
    """Measure one point of a plot."""
    pictures = shown(*size)
    return {
        "gaussians": len(gaussians),
        "width_px": size[0],
        "height_px": size[1],
        "pixels": size[0] * size[1],
        "threads": numba.get_num_threads(),
        "step_ms": ms_a_step(gaussians, pictures),
        "frame_ms": ms_a_frame(gaussians, pictures),
    }


def covered(gaussians: Gaussians, size: tuple[int, int], shrinks: Sequence[float]) -> list[dict[str, Any]]:
    """Measure the same Gaussians made smaller by each of ``shrinks``, so faint that none hides others."""
    pictures, rows = shown(*size), []
    faint = replace(gaussians, logit_opacities=np.full(len(gaussians), -3, np.float32))
    for shrink in shrinks:
        small = replace(faint, log_scales=faint.log_scales + np.float32(np.log(shrink)))
        phases = ms_per_phase(small, pictures, TrainRecipe(), views=VIEWS, rounds=3)
        visible, pairs, pixels = _drawn(small, pictures)
        blending = phases["blend"] + phases["blend_backward"]
        rows.append(
            {
                "shrink": shrink,
                "visible": visible,
                "pairs": pairs,
                "covered_px": pixels,
                "tiles_x_gaussians": -(-size[0] // 16) * -(-size[1] // 16) * len(gaussians),
                "step_ms": phases["step"],
                "blending_ms": round(blending, 3),
                "ns_a_pair": round(1e6 * blending / pairs, 1),
                "ns_a_covered_px": round(1e6 * blending / pixels, 3),
            }
        )
    return rows


def fitted(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return what a pair and a covered pixel cost, by least squares over ``rows`` of ``covered``, and how well it fits.

    ``worst_error``: the greatest relative error of that model against a row's time. ``ratio_of_tiles_x_gaussians``: the
    greatest time over the least, at the same number of tiles and Gaussians: if these were what costs, it would be 1.
    """
    ms = np.array([r["blending_ms"] for r in rows])
    sizes = np.array([[r["pairs"], r["covered_px"]] for r in rows], np.float64)
    costs, _ = nnls(sizes / ms[:, None], np.ones(len(rows)))
    return {
        "ns_a_pair": round(1e6 * float(costs[0]), 1),
        "ns_a_covered_px": round(1e6 * float(costs[1]), 3),
        "worst_error": round(float(np.abs(sizes @ costs / ms - 1).max()), 3),
        "ratio_of_tiles_x_gaussians": round(float(ms.max() / ms.min()), 2),
    }


def _drawn(gaussians: Gaussians, pictures: TrainingViews) -> tuple[int, int, int]:
    """Return, as means over the views, visible Gaussians, pairs with a tile, and pixels of the blocks drawn in."""
    found, rows, room = [], layout.pack(gaussians), Workspace()
    for view in pictures.views:
        canvas = Canvas.of(view.camera.width_px, view.camera.height_px, deep=False)
        drawn = draw(
            rows,
            project.camera_vector(view.camera, view.cam_from_world),
            canvas,
            room,
            degree=gaussians.sh_degree,
            background=np.zeros(3, np.float32),
        )
        blended = np.concatenate(
            [drawn.blocks[first : first + used] for first, used in zip(canvas.starts[:-1], canvas.used, strict=True)]
        )
        found.append((len(drawn.visible), len(drawn.ids), 16 * int(np.bitwise_count(blended).sum())))
    visible, pairs, pixels = np.mean(found, axis=0)
    return round(visible), round(pairs), round(pixels)


def peak_memory(count: int, width_px: int, height_px: int) -> dict[str, int]:
    """Return the peak of a process that trains a few steps on ``count`` Gaussians."""
    command = [sys.executable, __file__, "--only-memory", str(count), str(width_px), str(height_px)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"gaussians": count, "width_px": width_px, "height_px": height_px, **json.loads(out)}


def _only_memory(count: int, width_px: int, height_px: int) -> dict[str, int]:
    with LocalMachine().metered() as before:
        people, pictures = Population.of(of_count(scene(load_textures()), count), count), shown(width_px, height_px)
    with LocalMachine().metered() as usage:
        studio = Studio(people=people, recipe=TrainRecipe(), extent=seeds.scene_extent(pictures.views))
        for image, view in zip(pictures.images, pictures.views, strict=True):
            studio.step(at_size(image, view, 1), 3, 1.0)
    return {"peak_rss_bytes": usage.peak_rss_bytes, "peak_rss_bytes_before_training": before.peak_rss_bytes}


def plots(figures: dict[str, Any]) -> str:
    """Return all curves as one SVG."""
    panels = [
        charts.curve([r[x] for r in figures[name]], [r[y] for r in figures[name]], x_name=x_name, y_name=y_name)
        for name, x, x_name in (
            ("by_gaussians", "gaussians", "Gaussians"),
            ("by_pixels", "pixels", "pixels"),
            ("by_threads", "threads", "threads"),
        )
        for y, y_name in (("step_ms", "ms a training step"), ("frame_ms", "ms a frame"))
    ]
    rows = figures["covered"][::-1]
    pixels = [r["covered_px"] for r in rows]
    for y, name in (("blending_ms", "ms blending and back"), ("step_ms", "ms a training step")):
        panels.append(charts.curve(pixels, [r[y] for r in rows], x_name="covered pixels", y_name=name))
    drawn = [panel for panel in panels if panel]
    (width, height), lines = PANEL, -(-len(drawn) // 2)
    placed = "".join(
        panel.replace("<svg ", f'<svg x="{i % 2 * width}" y="{i // 2 * height}" width="{width}" height="{height}" ', 1)
        for i, panel in enumerate(drawn)
    )
    size = f'width="{2 * width}" height="{lines * height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{placed}</svg>'


def measured(*, quick: bool) -> dict[str, Any]:
    """Measure everything. ``quick``: less of everything."""
    whole = scene(load_textures())
    counts, sizes, shrinks = (COUNTS[:3], SIZES[:3], SHRINKS) if quick else (COUNTS, SIZES, SHRINKS)
    few, middle = of_count(whole, counts[-1] // 10 if quick else 100_000), (480, 270) if quick else (960, 540)
    row(few, middle)  # loads or compiles the kernels
    figures: dict[str, Any] = {
        "by_gaussians": [row(of_count(whole, count), middle) for count in counts],
        "by_pixels": [row(few, size) for size in sizes],
        "by_threads": [_with_threads(n, lambda: row(few, middle)) for n in range(1, numba.get_num_threads() + 1)],
        "covered": covered(few, middle, shrinks),
    }
    figures["covered_fit"] = fitted(figures["covered"])
    figures["memory"] = peak_memory(*((counts[-1], *sizes[-1]) if quick else MEMORY))
    return figures


def _with_threads(threads: int, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        return measure()
    finally:
        numba.set_num_threads(before)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the plots here")
    parser.add_argument("--only-memory", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.only_memory:
        print(json.dumps(_only_memory(*args.only_memory)))
        return
    figures = measured(quick=args.quick)
    for name, rows in figures.items():
        print(f"\n{name}\n{as_table(rows if isinstance(rows, list) else [rows])}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    if args.svg:
        args.svg.write_text(plots(figures))


if __name__ == "__main__":
    main()
