"""From posed images to Gaussians: the plan, and the training that walks down its ladder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import numpy as np

from splat_pipeline.assets.pictures import svg_uri
from splat_pipeline.assets.stages import GATES_FILE, Loaders, Machines, Result, Stores, Trainers, Work, job_asset, stage
from splat_pipeline.domain import charts, tables
from splat_pipeline.domain.errors import BadJobFile, OutOfMemory, SplatError, TrainingError
from splat_pipeline.domain.formats.ply import write_ply
from splat_pipeline.domain.memory import fitted
from splat_pipeline.domain.plans import (
    LADDERS,
    Detail,
    TrainingPlan,
    plan_for,
    plan_from_json,
    plan_to_json,
    step_down,
)
from splat_pipeline.domain.quality import allowed_detail, read_verdicts
from splat_pipeline.domain.recipe import TrainingOptions, TrainingRecipe
from splat_pipeline.ports import ImageLoader, Machine, SplatTrainer, TrainingResult, TrainingViews

ROWS = 12
"""Of the table that Dagster shows of a training; all are in ``training.parquet``."""


class PlanConfig(dg.Config):
    """What a person may force in the launchpad."""

    detail: str | None = None
    """full, reduced or preview, whatever the gates say; auto: as the gates say; None: the job's own settings."""
    trainer: str | None = None
    """A name that splat backends lists, or auto; None: the job's own settings."""


@job_asset(deps=["source_videos", "keyframes", "camera_poses", "point_cloud"])
def training_plan(
    context: dg.AssetExecutionContext, config: PlanConfig, store: Stores, machine: Machines, trainers: Trainers
) -> Result:
    """How much detail the splat may have, who trains it, and why: the gates' verdicts turned into one decision."""
    with stage(context, store, machine) as work:
        work.input("point_cloud")
        verdicts = [v for name in ("keyframes", "camera_poses") for v in read_verdicts(work.input(name) / GATES_FILE)]
        forced = {"detail": config.detail, "training": {"trainer": config.trainer}}
        recipe = work.recipe.overridden(forced, source="run config")
        asked, (trainer, why) = recipe.detail, trainers.chosen(recipe.training.trainer)
        allowed, reasons = allowed_detail(verdicts)
        if asked != "auto":
            allowed, reasons = Detail(asked), [f"asked for: {asked}"]
        ladder = LADDERS[trainer.device]
        plan = plan_for(allowed, seed=recipe.seed, ladder=ladder, trainer=trainer.name)
        plan = _with_overrides(plan, recipe.training, trainer)
        for reason in reasons:
            plan = plan.because(reason)
        (work.folder / "plan.json").write_text(json.dumps(plan_to_json(plan), indent=1))
        reasons_told = "; ".join(plan.reasons) or "none: full detail"
        told = {"detail": str(plan.detail), "reasons": reasons_told, "trainer": trainer.name, "why_trainer": why}
        work.publish(metadata=told)
    return work.result()


def splat_in(pool: str) -> dg.AssetsDefinition:
    """Return the asset ``splat``, of which as many train at a time as ``pool`` has slots."""
    made: dg.AssetsDefinition = job_asset(
        deps=["keyframes", "camera_poses", "point_cloud", "training_plan"], pool=pool
    )(splat)
    return made


def splat(
    context: dg.AssetExecutionContext, store: Stores, machine: Machines, loader: Loaders, trainers: Trainers
) -> Result:
    """The trained Gaussians, with every rung of the ladder that was tried and held-out PSNR and SSIM."""
    with stage(context, store, machine) as work:
        plan = plan_from_json(json.loads((work.input("training_plan") / "plan.json").read_text()))
        trainer = trainers.named(plan.trainer)
        plan, trained, attempts = _walk_down(work, plan, loader, trainer, machine)
        work.lasting = not any(reason.startswith(("memory", OutOfMemory.__name__)) for reason in plan.reasons)
        heldout = _load(work, loader, plan, holdout=True)
        work.log(f"measuring {len(heldout.views)} held-out views")
        scores = trainer.evaluate(trained.gaussians, heldout)
        corrected = trainer.evaluate_corrected(trained.gaussians, heldout)
        _write(work, plan, trained, attempts)
        rows = [
            {"keyframe_id": k, "psnr_db": p, "ssim": s, "psnr_corrected_db": c}
            for k, (p, s), c in zip(heldout.keyframe_ids, scores, corrected, strict=True)
        ]
        tables.write_table(work.folder / "heldout.parquet", tables.HELDOUT, rows)
        psnr_db, ssim = (float(np.mean(column)) for column in zip(*scores, strict=True)) if scores else (np.nan, np.nan)
        corrected_db = float(np.mean(corrected)) if corrected else np.nan
        work.publish(
            metadata={
                "detail": str(plan.detail),
                "reasons": "; ".join(plan.reasons) or "none: full detail",
                "gaussians": len(trained.gaussians),
                "iterations": plan.iterations,
                "psnr_heldout_db": psnr_db,
                "ssim_heldout": ssim,
                "psnr_corrected_heldout_db": corrected_db,
                "trainer": trainer.name,
                "course": _course_of(trained.history),
            },
            metrics={"psnr_heldout_db": psnr_db, "psnr_corrected_heldout_db": corrected_db},
        )
    return work.result()


def _course_of(history: Sequence[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Return loss and PSNR over the iterations, drawn, and some rows of them."""
    at = [step["iteration"] for step in history]
    lines = []
    for column, name in (("loss", "loss"), ("psnr_db", "PSNR in dB")):
        drawing = charts.curve(at, [step[column] for step in history], x_name="iterations", y_name=name)
        if drawing:
            lines.append(f"![{name} over iterations]({svg_uri(charts.alone(drawing))})\n")
    lines += ["| iteration | loss | PSNR dB | Gaussians | resolution | seconds |", "|--:|--:|--:|--:|--:|--:|"]
    chosen = sorted({round(i * (len(history) - 1) / ROWS) for i in range(ROWS + 1)}) if history else []
    for step in (history[i] for i in chosen):
        many, factor = step["gaussians"], step["factor"]
        lines.append(
            f"| {step['iteration']} | {step['loss']:.4f} | {step['psnr_db']:.2f} | {'' if many is None else many} "
            f"| {'' if factor is None else f'1/{factor}'} | {step['seconds']:.1f} |"
        )
    return dg.MetadataValue.md("\n".join(lines))


def _with_overrides(plan: TrainingPlan, asked: TrainingRecipe, trainer: SplatTrainer) -> TrainingPlan:
    """Return ``plan`` as the job wants it. Raises ``BadJobFile`` for an option that the trainer does not have."""
    chosen = asked.model_dump(exclude_none=True, exclude={"trainer"})
    options = {name: chosen.pop(name) for name in TrainingOptions.model_fields if name in chosen}
    for name in options:
        if name not in trainer.options:
            known = ", ".join(sorted(trainer.options)) or "none"
            raise BadJobFile(f"training.{name}: the trainer {trainer.name} has no such option, it has {known}")
    return replace(plan, options=options, **chosen)


def _load(work: Work, loader: ImageLoader, plan: TrainingPlan, *, holdout: bool) -> TrainingViews:
    folders = (work.input("keyframes"), work.input("camera_poses"), work.input("point_cloud"))
    return loader.load(*folders, longer_side_px=plan.longer_side_px, holdout=holdout)


def _walk_down(
    work: Work, plan: TrainingPlan, loader: ImageLoader, trainer: SplatTrainer, machine: Machine
) -> tuple[TrainingPlan, TrainingResult, list[dict[str, object]]]:
    """Train at ``plan``; on divergence or lack of memory one rung lower, until it works or no rung is left."""
    attempts: list[dict[str, object]] = []
    take_over = False
    while True:
        plan = _made_to_fit(work, plan, loader, trainer, machine)
        try:
            trained = _train(work, plan, loader, trainer, take_over=take_over)
        except (TrainingError, OutOfMemory, MemoryError) as error:
            failure = _alone(error)
        else:
            return plan, trained, [*attempts, {**plan_to_json(plan), "outcome": "kept", "because": ""}]
        attempts.append({**plan_to_json(plan), "outcome": type(failure).__name__, "because": str(failure)})
        because = f"{type(failure).__name__} at {plan.detail}: {failure.cause.partition(chr(10))[0]}"
        lower = step_down(plan, because, ladder=LADDERS[trainer.device])
        if lower is None:
            raise failure
        work.log(f"{failure}; going on at {lower.detail}")
        # What was too large is no worse for it; what has diverged is.
        take_over, plan = isinstance(failure, OutOfMemory), lower


def _made_to_fit(
    work: Work, plan: TrainingPlan, loader: ImageLoader, trainer: SplatTrainer, machine: Machine
) -> TrainingPlan:
    """Return ``plan`` with as much resolution and as many Gaussians as the memory has room for."""
    on_gpu = trainer.device == "gpu"
    free_bytes = trainer.free_bytes() if on_gpu else machine.free_bytes()
    footprint = trainer.footprint(plan.sh_degree)
    if free_bytes is None or footprint is None:
        return plan
    pictures = loader.sizes(work.input("keyframes"), work.input("camera_poses"))
    kind = "GPU memory" if on_gpu else "memory"
    fit = fitted(plan, pictures, footprint, free_bytes, kind=kind, ladder=LADDERS[trainer.device])
    if fit != plan:
        work.log(fit.reasons[-1])
    return fit


def _train(
    work: Work, plan: TrainingPlan, loader: ImageLoader, trainer: SplatTrainer, *, take_over: bool
) -> TrainingResult:
    """Train once. What it read is forgotten when it fails."""
    points = tables.read_table(work.input("point_cloud") / "points.parquet", tables.POINTS)
    positions = points[["x", "y", "z"]].to_numpy(np.float32)
    colors = points[["red", "green", "blue"]].to_numpy(np.uint8)
    views = _load(work, loader, plan, holdout=False)
    work.log(f"training at {plan.detail}: {len(views.views)} views, {plan.iterations} iterations")
    ongoing = work.ongoing()
    return trainer.train(views, positions, colors, plan, say=work.log, ongoing=ongoing, take_over=take_over)


def _alone(error: TrainingError | OutOfMemory | MemoryError) -> SplatError:
    """Return ``error`` as one of ours, without tracebacks: they hold on to all the arrays of what has failed."""
    for link in (error, error.__cause__, error.__context__):
        if link is not None:
            link.with_traceback(None)
    return error if isinstance(error, SplatError) else OutOfMemory(str(error))


def _write(work: Work, plan: TrainingPlan, trained: TrainingResult, attempts: list[dict[str, object]]) -> None:
    comments = [f"detail {plan.detail}", f"iterations {plan.iterations}", f"seed {plan.seed}"]
    write_ply(work.folder / "gaussians.ply", trained.gaussians, comments=comments)
    drawn = {"background": trained.gaussians.background, "antialiased": trained.gaussians.antialiased}
    (work.folder / "plan.json").write_text(
        json.dumps({**plan_to_json(plan), "attempts": attempts, "drawn": drawn}, indent=1)
    )
    steps = [{"rung": str(plan.detail), **step} for step in trained.history]
    tables.write_table(work.folder / "training.parquet", tables.TRAINING, steps)
