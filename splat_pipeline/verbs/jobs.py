"""Verbs about jobs: run one, prepare one, look at what became of it."""

from __future__ import annotations

import json
import shutil
import time
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from splat_pipeline.domain import errors
from splat_pipeline.domain.plans import Detail
from splat_pipeline.settings import Settings, load
from splat_pipeline.verbs.outcome import fail

app = typer.Typer()


class ProgressKind(StrEnum):
    """Who watches."""

    TEXT = "text"
    JSON = "json"
    WEBHOOK = "webhook"


@app.command()
def run(
    path: Annotated[Path, typer.Argument(help="folder of clips or images, or one clip")],
    *,
    job: Annotated[str | None, typer.Option(help="name to show; default: the folder's")] = None,
    detail: Annotated[Detail | None, typer.Option(help="force a detail; default: as the gates allow")] = None,
    keep_all: Annotated[bool, typer.Option("--keep-all", help="deliver every Gaussian, clean nothing")] = False,
    out: Annotated[Path | None, typer.Option(help="copy what is delivered to this folder too")] = None,
    progress: Annotated[
        ProgressKind, typer.Option(help="for people; or JSON lines on standard output, or to the webhook")
    ] = ProgressKind.TEXT,
    reuse: Annotated[bool, typer.Option(help="take over what still holds of an earlier run")] = True,
) -> None:
    """Turn PATH into a splat: the whole asset graph, in this process."""
    from resources.inbox import list_upload
    from splat_pipeline.overview import store_of
    from splat_pipeline.passes import run_passes

    started = time.monotonic()
    settings = load()
    upload = list_upload(path, title=job)
    asked: dict[str, Any] = {"detail": str(detail)} if detail else {}
    asked |= {"recipe": {"exports": {"keep_all": True}}} if keep_all else {}
    config = {"source_videos": {"config": asked}} if asked else {}
    summary: dict[str, Any] = {}
    for made, reason in run_passes(
        settings, upload, config=config, watch=partial(_listener, progress, settings, upload.job), reuse=reuse
    ):
        if made is None:
            fail({**(reason or {}), "job": upload.job})
        summary = {**made, "seconds": round(time.monotonic() - started, 1)}
        if summary.get("draft"):
            print(json.dumps(summary), flush=True)
    if out is not None:
        summary["outputs"] = copied(summary["outputs"], store_of(settings).delivery_of(upload.job), out)
    print(json.dumps(summary))


@app.command()
def prepare(
    videos: Annotated[list[Path], typer.Argument(help="clips of one scene, or one folder of clips or images")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="where to write the bundle: a folder that is empty or new")],
    job: Annotated[str | None, typer.Option(help="name to show; default: that of the first clip")] = None,
    descriptors: Annotated[bool, typer.Option(help="find features too: more bytes, less work")] = False,
) -> None:
    """Choose keyframes where the footage is; the bundle is dropped into the inbox in place of the clips."""
    from splat_pipeline.prepare import prepare as prepared
    from splat_pipeline.terminal import Progress

    with Progress(job or videos[0].stem) as progress:
        summary, reason = prepared(load(), videos, out, title=job, descriptors=descriptors, listener=progress)
    if summary is None:
        fail({**(reason or {}), "job": None})
    print(json.dumps(summary))


@app.command()
def materialize(
    asset: Annotated[str, typer.Argument(help="name of the stage: see the asset table")],
    job: Annotated[str, typer.Option(help="key of the job: see splat status")],
    *,
    downstream: Annotated[bool, typer.Option(help="and everything after it")] = False,
) -> None:
    """Compute one stage of a job again, from its current inputs."""
    from splat_pipeline.launch import run_job, stages_of, with_downstream
    from splat_pipeline.overview import store_of
    from splat_pipeline.terminal import Progress

    settings = load()
    known = stages_of(settings)
    if asset not in known:
        raise errors.InputError(f"{asset} is no stage", remedy=f"Choose one of {', '.join(known)}.")
    store_of(settings).upload(job)
    assets = with_downstream(settings, asset) if downstream else [asset]
    with Progress(job) as progress:
        success, reason = run_job(settings, job, assets=assets, config={}, listener=progress)
    if not success:
        fail({**(reason or {}), "job": job})
    print(json.dumps({"job": job, "status": "materialized", "assets": assets}))


@app.command()
def status(job: Annotated[str | None, typer.Argument(help="one job; default: a line for each")] = None) -> None:
    """Show what became of every job, or every stage of one."""
    from splat_pipeline.overview import jobs_table, stages_table, store_of
    from splat_pipeline.terminal import show

    settings = load()
    show(stages_table(store_of(settings), job, settings.prices) if job else jobs_table(store_of(settings)))


@app.command()
def evaluate(
    job: Annotated[str, typer.Argument(help="key of the job: see splat status")],
    *,
    truth: Annotated[Path, typer.Option(help="TUM trajectory, transforms.json, or folder of a COLMAP model")],
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures to this file too")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw both trajectories into this file (SVG)")] = None,
) -> None:
    """Hold the camera poses of a job against a known trajectory: ATE, RPE, rotation error, registered share."""
    from splat_pipeline.evaluate import evaluate_job
    from splat_pipeline.overview import store_of

    figures, drawing = evaluate_job(store_of(load()), job, truth)
    for path, text in ((json_file, json.dumps(figures, indent=1)), (plot, drawing)):
        if path is not None:
            path.write_text(text)
    print(json.dumps(figures))


def copied(outputs: dict[str, str], delivered: Path | None, out: Path) -> dict[str, str]:
    """Copy all that was delivered to ``out`` and return where the outputs lie there."""
    assert delivered is not None
    try:
        shutil.copytree(delivered, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artifact.json"))
    except OSError as error:
        cause = f"{out} cannot be written: {error}"
        raise errors.StoreUnavailable(cause, remedy=f"Copy it by hand from {delivered}.") from None
    return {name: str(out / Path(path).relative_to(delivered)) for name, path in outputs.items()}


def _listener(kind: ProgressKind, settings: Settings, job: str) -> Any:
    """Return what listens to a run: a context that is called with each event."""
    from splat_pipeline.definitions import resources_of
    from splat_pipeline.progress_lines import JsonProgress, to_stdout, to_webhook
    from splat_pipeline.terminal import Progress

    if kind is ProgressKind.TEXT:
        return Progress(job)
    if kind is ProgressKind.JSON:
        return JsonProgress(to_stdout)
    if settings.webhook is None:
        raise errors.BadWebhook("progress shall go to a webhook, but none is set", remedy="Set SPLAT__WEBHOOK.")
    return JsonProgress(to_webhook(resources_of(settings)["outlet"], job))
