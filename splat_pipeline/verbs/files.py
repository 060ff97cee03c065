"""Verbs about files that people receive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from splat_pipeline.domain.errors import InputError

app = typer.Typer()


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Gaussians, a viewer.html, or cameras, of any program")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="the ending names the format")],
    *,
    degree: Annotated[int | None, typer.Option(min=0, max=3, help="drop harmonics above this degree")] = None,
) -> None:
    """Write Gaussians as .ply, .compressed.ply, .splat, .spz, .v4.spz, .sog, .glb; cameras as a folder or .json."""
    from splat_pipeline.domain.formats.camera_files import holds_cameras, read_cameras, write_cameras
    from splat_pipeline.domain.formats.files import FORMATS, format_of_name, read_gaussians

    if holds_cameras(source):
        model = read_cameras(source)
        if not holds_cameras(target):
            remedy = "Cameras become a COLMAP model, in a folder, or a file that ends with .json."
            raise InputError(f"{source.name} holds cameras, {target.name} would hold Gaussians", remedy=remedy)
        write_cameras(target, model)
        print(json.dumps({"file": str(target), "images": len(model.images), "points": len(model.points)}))
        return
    kind = FORMATS[format_of_name(target)]
    gaussians = read_gaussians(source)
    kind.write(target, gaussians if degree is None else gaussians.lowered(degree))
    print(json.dumps({"file": str(target), "gaussians": len(gaussians), "size_bytes": target.stat().st_size}))


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="Gaussians, points or cameras (a folder of COLMAP), of any program")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="one line of JSON")] = False,
) -> None:
    """Say what a file holds: Gaussians, points, or cameras with their poses."""
    from splat_pipeline.domain.formats.facts import facts_of
    from splat_pipeline.terminal import show_facts

    facts = facts_of(file)
    if as_json:
        print(json.dumps(facts))
    else:
        show_facts(facts)
