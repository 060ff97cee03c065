"""What a trained splat is worth: held-out views, views that were trained on, its Gaussians, and how steady it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.assets.pictures import drawn
from splat_pipeline.assets.stages import GATES_FILE, Work
from splat_pipeline.domain import tables
from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.metrics.splats import (
    flicker,
    floater_share,
    hidden_share,
    loss_ratio,
    shape_metrics,
    train_gap_db,
)
from splat_pipeline.ports.training import SplatTrainer, TrainingResult, TrainingViews

SAMPLE = 8
"""Views that were trained on and are looked at again."""
STEADY_VIEWS, STEADY_PX = 10, 320
"""Neighbouring views that are drawn at this size to see whether the splat flickers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Figures of one training."""

    metrics: Mapping[str, float | None]
    heldout: Sequence[Mapping[str, Any]]
    """Rows of ``tables.HELDOUT``."""


def measure(  # a result, what it was made of, and who measures
    work: Work,
    trained: TrainingResult,
    views: TrainingViews,
    heldout: TrainingViews,
    trainer: SplatTrainer,
    *,
    course: bool,
) -> Measured:
    """Return the metrics of a training. ``course``: it began at the beginning, so that its loss had to fall."""
    gaussians = trained.gaussians
    scores = trainer.evaluate(gaussians, heldout)
    corrected = trainer.evaluate_corrected(gaussians, heldout)
    again = trainer.evaluate(gaussians, views.take(_spread(len(views.views), SAMPLE)))
    psnr_db, ssim = _mean([p for p, _ in scores]), _mean([s for _, s in scores])
    points = tables.read_table(work.input("point_cloud") / "points.parquet", tables.POINTS)
    places = points[["x", "y", "z"]].to_numpy(float)
    centers = np.array([view.center for view in views.views]).reshape(-1, 3)
    metrics: dict[str, float | None] = {
        "psnr_heldout_db": psnr_db,
        "ssim_heldout": ssim,
        "psnr_corrected_heldout_db": _mean(corrected),
        "train_gap_db": train_gap_db(_mean([p for p, _ in again]), psnr_db),
        "loss_ratio": loss_ratio(trained.history) if course else None,
        "floater_share": floater_share(gaussians, centers, places),
        "hidden_share": hidden_share(_depths(gaussians, views.take(_spread(len(views.views), SAMPLE))), places),
        "flicker": flicker(_seen(gaussians, views), moving_share=_moving_share(work)),
        **shape_metrics(gaussians),
    }
    rows = [
        {"keyframe_id": k, "psnr_db": p, "ssim": s, "psnr_corrected_db": c}
        for k, (p, s), c in zip(heldout.keyframe_ids, scores, corrected, strict=True)
    ]
    return Measured(metrics=metrics, heldout=rows)


def _seen(gaussians: Gaussians, views: TrainingViews) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield rendered and real pictures of neighbouring views, from the middle of the captured path."""
    count = len(views.views)
    first = max(0, (count - STEADY_VIEWS) // 2)
    small = [_small(views.images[i], views.views[i]) for i in range(first, min(count, first + STEADY_VIEWS))]
    pictures = drawn(gaussians, [view for _, view in small]) if len(gaussians) else iter(())
    for picture, (real, _) in zip(pictures, small, strict=False):
        yield (picture / np.float32(255)).astype(np.float32), real


def _depths(gaussians: Gaussians, views: TrainingViews) -> Iterator[tuple[NDArray[np.float32], View]]:
    """Yield how far it is to what is drawn in each view, at a small size."""
    # Here, so that the code location loads without the renderer's compiler.
    from splat_pipeline.splatting.render import render

    for image, view in zip(views.images, views.views, strict=True):
        if len(gaussians):
            _, small = _small(image, view)
            yield render(gaussians, small.camera, small.cam_from_world).depth, small


def _small(image: NDArray[np.uint8], view: View) -> tuple[NDArray[np.float32], View]:
    """Return an image averaged over blocks so that its longer side is about ``STEADY_PX``, and its view."""
    height, width = image.shape[:2]
    by = max(1, max(height, width) // STEADY_PX)
    rows, columns = height // by, width // by
    blocks = image[: rows * by, : columns * by].reshape(rows, by, columns, by, 3)
    camera = view.camera
    cut = type(camera)(
        width_px=columns * by, height_px=rows * by, fx_px=camera.fx_px, fy_px=camera.fy_px, cx_px=camera.cx_px,
        cy_px=camera.cy_px,
    )  # fmt: skip
    seen = View(name=view.name, camera=cut.resized(columns, rows), cam_from_world=view.cam_from_world)
    return (blocks.mean(axis=(1, 3)) / 255).astype(np.float32), seen


def _moving_share(work: Work) -> float:
    """Return the share of the picture that moves, where the scene is dynamic: it says nothing of the splat."""
    if work.scene_type != "dynamic":
        return 0.0
    rows = json.loads((work.input("keyframes") / GATES_FILE).read_text())
    return max((float(row["value"]) for row in rows if row["metric"] == "dynamic_share" and row["value"]), default=0.0)


def _spread(count: int, most: int) -> list[int]:
    return sorted({round(i * (count - 1) / max(1, most - 1)) for i in range(most)}) if count else []


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
