"""Verbs about files of Gaussians."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="a file of Gaussians, of any program")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="the ending names the format")],
    *,
    degree: Annotated[int | None, typer.Option(min=0, max=3, help="drop harmonics above this degree")] = None,
) -> None:
    """Write Gaussians in another format: .ply, .compressed.ply, .splat, .spz, .v4.spz, .sog, .glb."""
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
