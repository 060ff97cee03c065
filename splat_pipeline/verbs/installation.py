"""Verbs about this installation: its folders, its backends, a sample to try it on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from splat_pipeline.domain.plans import Detail
from splat_pipeline.settings import load
from splat_pipeline.verbs.outcome import fail

app = typer.Typer()


@app.command()
def init(*, quiet: Annotated[bool, typer.Option(help="print DAGSTER_HOME only")] = False) -> None:
    """Make the folders of this installation and tell where they are."""
    from splat_pipeline.launch import make_home

    settings = load()
    dagster_home = make_home(settings)
    if quiet:
        print(dagster_home)
        return
    print(f"drop folders of video into   {settings.place('inbox')}")
    print(f"results appear in            {settings.place('delivered')}")
    print(f"DAGSTER_HOME                 {dagster_home}")


@app.command()
def sample(
    folder: Annotated[Path, typer.Argument(help="where to write it")],
    *,
    kind: Annotated[
        Literal["table", "room", "yard"],
        typer.Option(help="around a table, through a room, or over a yard"),
    ] = "table",
) -> None:
    """Make a sample capture with known camera poses: a video of a small scene."""
    from resources.sample import make_sample

    print(make_sample(folder, kind=kind, say=lambda line: print(line, file=sys.stderr)))


@app.command()
def demo(detail: Annotated[Detail, typer.Option(help="of the splat")] = Detail.REDUCED) -> None:
    """Make the sample capture, run the whole job on it, and hold the result against the truth."""
    from splat_pipeline.demo import run_demo

    success, reason = run_demo(load(), detail)
    if not success:
        fail(reason or {})


@app.command()
def backends(*, as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """List where poses can come from, who can train and film, and what stands in the way of what cannot be used."""
    from resources import drawers, pose_sources, trainers

    rows = [{"use": "poses", **row} for row in pose_sources.listed()]
    rows += [{"use": "training", **row} for row in trainers.listed()]
    rows += [{"use": "preview", **row} for row in drawers.InstalledDrawers().listed()]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        state = "available" if row["available"] else f"not available: {row['reason']}"
        terms = f" (licence: {row['licence']})" if row.get("licence") else ""
        print(f"{row['name']:20} {row['kind']}: {state}{terms}")


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
