"""From posed images to Gaussians: the plan, and the training that walks down its ladder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import Field

from splat_pipeline.assets.checks import Gated
from splat_pipeline.assets.ladder import Doors, Walk, walk_down
from splat_pipeline.assets.pictures import svg_uri
from splat_pipeline.assets.stages import GATES_FILE, Loaders, Machines, Result, Stores, Trainers, Work, job_asset, stage
from splat_pipeline.domain import charts, tables
from splat_pipeline.domain.core_frames import left_out
from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.formats.ply import write_ply
from splat_pipeline.domain.plans import (
    LADDERS,
    Detail,
    TrainingPlan,
    detail_lines,
    plan_for,
    plan_from_json,
    plan_to_json,
)
from splat_pipeline.domain.quality import allowed_detail, read_verdicts, stopping
from splat_pipeline.domain.recipe import TrainingOptions, TrainingRecipe
from splat_pipeline.ports.training import SplatTrainer

ROWS = 12
"""Of the table that Dagster shows of a training; all are in ``training.parquet``."""
JUDGED = ("keyframes", "camera_poses")


class PlanConfig(Gated):
    """What a person may force in the launchpad."""

    detail: str | None = Field(
        None, description="full, reduced or preview, whatever the gates say; auto: as they say; None: as the job asks"
    )
    trainer: str | None = Field(None, description="a name that splat backends lists, or auto; None: as the job asks")
    draft: bool | None = Field(None, description="false: the final result of a job that asks for a draft first")


def final_config(ops: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the launchpad says of a run, by op, with the final result of a draft asked for."""
    plan = dict(ops.get("training_plan", {}))
    return {**ops, "training_plan": {**plan, "config": {**plan.get("config", {}), "draft": False}}}


@job_asset(deps=["source_videos", "keyframes", "camera_poses", "point_cloud"])
def training_plan(
    context: dg.AssetExecutionContext, config: PlanConfig, store: Stores, machine: Machines, trainers: Trainers
) -> Result:
    """How much detail the splat may have, who trains it, and why: the gates' verdicts turned into one decision."""
    with stage(context, store, machine, lift=config.lift) as work:
        work.input("point_cloud")
        verdicts = {name: read_verdicts(work.input(name) / GATES_FILE, work.gates) for name in JUDGED}
        every = [verdict for name in JUDGED for verdict in verdicts[name]]
        for verdict in stopping(every):  # a run that begins here never saw the checks
            raise verdict.limit.error(f"gate {verdict.gate}: {verdict.because}")
        forced = {"detail": config.detail, "training": {"trainer": config.trainer}}
        recipe = work.recipe.overridden(forced, source="run config")
        asked, (trainer, why) = recipe.detail, trainers.chosen(recipe.training.trainer)
        allowed, reasons = allowed_detail(every)
        if asked != "auto":
            allowed, reasons = Detail(asked), [f"asked for: {asked}"]
        draft = allowed is not Detail.PREVIEW and recipe.delivery.passes == "draft+final" and config.draft is not False
        if draft:
            allowed, reasons = Detail.PREVIEW, [*reasons, f"a draft: {allowed} detail follows"]
        plan = replace(
            plan_for(allowed, seed=recipe.seed, ladder=LADDERS[trainer.device], trainer=trainer.name), draft=draft
        )
        plan = _with_overrides(plan, recipe.training, trainer)
        for reason in reasons:
            plan = plan.because(reason)
        if asked == "auto" and allowed_detail(verdicts["camera_poses"])[0] is not Detail.FULL:
            plan = _sure_frames(plan, work)
        for verdict in every:
            if verdict.limit.lifted and not verdict.passed:
                plan = plan.because(f"{verdict.gate}: {verdict.because}")
        (work.folder / "plan.json").write_text(json.dumps(plan_to_json(plan), indent=1))
        reasons_told = "; ".join(plan.reasons) or "none: full detail"
        told: dict[str, Any] = {"detail": str(plan.detail), "reasons": reasons_told, "trainer": trainer.name}
        told |= {"trainer_because": why, "trainer_licence": trainer.licence}
        told |= {"left_out": len(plan.left_out), "scene_type": work.scene_type}
        work.publish(metadata=told)
    return work.result()


def splat_in(pool: str) -> dg.AssetsDefinition:
    """Return the asset ``splat``, of which as many train at a time as ``pool`` has slots."""
    made: dg.AssetsDefinition = job_asset(
        deps=["keyframes", "camera_poses", "point_cloud", "training_plan"], pool=pool
    )(splat)
    return made


def splat(  # noqa: PLR0917  # Dagster passes them by name
    context: dg.AssetExecutionContext,
    config: Gated,
    store: Stores,
    machine: Machines,
    loader: Loaders,
    trainers: Trainers,
) -> Result:
    """The trained Gaussians, with every rung of the ladder that was tried and held-out PSNR and SSIM."""
    with stage(context, store, machine, lift=config.lift) as work:
        plan = plan_from_json(json.loads((work.input("training_plan") / "plan.json").read_text()))
        work.input("point_cloud")  # tells the type of scene
        trainer = trainers.named(plan.trainer)
        walk = walk_down(work, plan, Doors(loader=loader, trainer=trainer, machine=machine))
        plan, metrics = walk.best.plan, walk.best.measured.metrics
        work.lasting = not walk.short_of_memory
        _write(work, walk)
        work.publish(
            metadata={
                "detail": str(plan.detail),
                "reasons": "; ".join(plan.reasons) or "none: full detail",
                "gaussians": len(walk.best.trained.gaussians),
                "iterations": plan.iterations,
                **{name: value for name, value in metrics.items() if value is not None},
                "trainer": trainer.name,
                "course": _course_of(walk.best.trained.history),
            },
            metrics=metrics,
        )
    return work.result()


def _sure_frames(plan: TrainingPlan, work: Work) -> TrainingPlan:
    """Return the plan without frames whose poses are hardly known, or that hang together with no others."""
    folder = work.input("camera_poses")
    poses = tables.read_table(folder / "poses.parquet", tables.POSES)
    keyframes = tables.read_table(work.input("keyframes") / "keyframes.parquet", tables.KEYFRAMES)
    found = left_out(poses, keyframes, read_model(folder / "sparse"))
    plan = replace(plan, left_out=tuple(sorted(found.all)))
    return plan.because(found.words) if found.all else plan


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
    if plan.draft:  # the job's wishes are for the final result: a draft has no more than its rung
        chosen = {name: min(value, getattr(plan, name)) for name, value in chosen.items()}
    return replace(plan, options=options, **chosen)


def _write(work: Work, walk: Walk) -> None:
    plan, trained = walk.best.plan, walk.best.trained
    comments = [*detail_lines(plan.detail, plan.reasons), f"iterations {plan.iterations}", f"seed {plan.seed}"]
    write_ply(work.folder / "gaussians.ply", trained.gaussians, comments=comments)
    drawn = {"background": trained.gaussians.background, "antialiased": trained.gaussians.antialiased}
    attempts = [{"detail": row["rung"], **row} for row in walk.rows]
    (work.folder / "plan.json").write_text(
        json.dumps({**plan_to_json(plan), "attempts": attempts, "drawn": drawn}, indent=1)
    )
    steps = [{"rung": str(plan.detail), **step} for step in trained.history]
    tables.write_table(work.folder / "training.parquet", tables.TRAINING, steps)
    tables.write_table(work.folder / "heldout.parquet", tables.HELDOUT, list(walk.best.measured.heldout))
    tables.write_table(work.folder / "ladder.parquet", tables.LADDER, list(walk.rows))
