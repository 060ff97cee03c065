"""The ``splat`` command: thin; every verb is also possible in the Dagster UI.

Progress goes to standard error, results to standard output; the last line of ``run`` is JSON. Exit codes: 0 a
package was delivered, 2 the input or the command is at fault, 1 everything else.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from splat_pipeline.domain import errors
from splat_pipeline.domain.plans import Detail
from splat_pipeline.settings import load

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
INPUT_FAULT, OTHER_FAULT = 2, 1


@app.command()
def run(
    path: Annotated[Path, typer.Argument(help="folder of clips or images, or one clip")],
    *,
    job: Annotated[str | None, typer.Option(help="name to show; default: the folder's")] = None,
    detail: Annotated[Detail | None, typer.Option(help="force a detail; default: as the gates allow")] = None,
    out: Annotated[Path | None, typer.Option(help="copy what is delivered to this folder too")] = None,
) -> None:
    """Turn PATH into a splat: the whole asset graph, in this process."""
    from resources.inbox import list_upload
    from splat_pipeline.launch import run_upload
    from splat_pipeline.overview import store_of, summary_of
    from splat_pipeline.terminal import Progress

    started = time.monotonic()
    settings = load()
    upload = list_upload(path, title=job)
    config = {"source_videos": {"config": {"detail": str(detail)}}} if detail else {}
    with Progress(upload.job) as progress:
        success, reason = run_upload(settings, upload, config=config, listener=progress)
    if not success:
        fail({**(reason or {}), "job": upload.job})
    summary = {**summary_of(settings, upload.job), "seconds": round(time.monotonic() - started, 1)}
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
    show(stages_table(store_of(settings), job) if job else jobs_table(store_of(settings)))


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


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="a file of Gaussians, of any program")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="the ending names the format")],
    *,
    degree: Annotated[int | None, typer.Option(min=0, max=3, help="drop harmonics above this degree")] = None,
) -> None:
    """Write Gaussians in another format: .ply, .compressed.ply, .splat, .spz, .glb."""
    from splat_pipeline.domain.formats.files import FORMATS, format_of_name, read_gaussians

    kind = FORMATS[format_of_name(target)]
    gaussians = read_gaussians(source)
    kind.write(target, gaussians if degree is None else gaussians.lowered(degree))
    print(json.dumps({"file": str(target), "gaussians": len(gaussians), "size_bytes": target.stat().st_size}))


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="a file of Gaussians, of any program")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="one line of JSON")] = False,
) -> None:
    """Say what a file of Gaussians holds."""
    from splat_pipeline.domain.formats.files import facts_of
    from splat_pipeline.terminal import show_facts

    facts = facts_of(file)
    if as_json:
        print(json.dumps(facts))
    else:
        show_facts(facts)


@app.command()
def calibrate(
    clips: Annotated[list[Path], typer.Argument(help="clips, or folders of photos, of a board: one a camera")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="where to write the lenses")],
    board: Annotated[str, typer.Option(help="checkerboard:9x6 (inner corners) or charuco:7x5 (squares, 5x5 markers)")],
) -> None:
    """Measure the lens of each camera that filmed a board; above 0.5 px on held-out views it is refused."""
    from resources.calibration import calibrate as calibrated
    from splat_pipeline.domain.calibration import Board, document
    from splat_pipeline.domain.uploads import video_ids

    wanted = Board.parse(board)
    names = video_ids([clip.name for clip in clips])
    found = {
        name: calibrated(clip, wanted, say=lambda line: print(line, file=sys.stderr))
        for name, clip in zip(names, clips, strict=True)
    }
    out.write_text(json.dumps(document(found), indent=1))
    print(json.dumps(document(found)))


@app.command()
def backends(*, as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """List where camera poses can come from, and what stands in the way of those that cannot be used."""
    from resources.pose_sources import listed

    rows = listed()
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        state = "available" if row["available"] else f"not available: {row['reason']}"
        print(f"{row['name']:20} {row['kind']}: {state}")


@app.command()
def init(*, quiet: Annotated[bool, typer.Option(help="print DAGSTER_HOME only")] = False) -> None:
    """Make the folders of this installation and tell where they are."""
    from splat_pipeline.launch import make_home

    settings = load()
    dagster_home = make_home(settings)
    if quiet:
        print(dagster_home)
        return
    print(f"drop folders of video into   {settings.folder('inbox')}")
    print(f"results appear in            {settings.folder('delivered')}")
    print(f"DAGSTER_HOME                 {dagster_home}")


@app.command()
def sample(folder: Annotated[Path, typer.Argument(help="where to write it")]) -> None:
    """Make a sample capture with known camera poses: a video of a small scene."""
    from resources.sample import make_sample

    print(make_sample(folder, say=lambda line: print(line, file=sys.stderr)))


@app.command()
def demo(detail: Annotated[Detail, typer.Option(help="of the splat")] = Detail.REDUCED) -> None:
    """Make the sample capture, run the whole job on it, and hold the result against the truth."""
    from splat_pipeline.demo import run_demo

    success, reason = run_demo(load(), detail)
    if not success:
        fail(reason or {})


def copied(outputs: dict[str, str], delivered: Path | None, out: Path) -> dict[str, str]:
    """Copy all that was delivered to ``out`` and return where the outputs lie there."""
    assert delivered is not None
    try:
        shutil.copytree(delivered, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artifact.json"))
    except OSError as error:
        cause = f"{out} cannot be written: {error}"
        raise errors.StoreUnavailable(cause, remedy=f"Copy it by hand from {delivered}.") from None
    return {name: str(out / Path(path).name) for name, path in outputs.items()}


def fail(reason: dict[str, Any]) -> None:
    """Tell the reason and leave with the exit code of its class."""
    raise typer.Exit(told(reason, job=reason.pop("job", None)))


def told(reason: Mapping[str, Any], *, job: str | None) -> int:
    """Tell a person on standard error, a program on standard output, and return the exit code."""
    print(f"{reason['class']}: {reason['cause']}\nWhat to do: {reason['remedy']}", file=sys.stderr)
    print(json.dumps({"job": job, "status": "failed", "error": reason}))
    kind = getattr(errors, str(reason["class"]), errors.SplatError)
    return INPUT_FAULT if issubclass(kind, errors.InputError) else OTHER_FAULT


def main() -> None:
    """Run the command; an error of ours is one line of JSON, never a traceback."""
    # Threads that wait by spinning halve the speed of training where another program has one of the cores. Read when
    # the OpenMP library is loaded, so it is set before anything else.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except errors.SplatError as error:
        sys.exit(told(error.to_json(), job=None))
