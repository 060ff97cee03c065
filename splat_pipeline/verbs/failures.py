"""Verbs about what goes wrong over all jobs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from splat_pipeline.settings import load

app = typer.Typer()


@app.command()
def failures(
    part: Annotated[
        str,
        typer.Argument(help="failures, stages (success), corrections (a segment), cost (by scene)"),
    ] = "failures",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="one line of JSON, all columns")] = False,
) -> None:
    """Show what goes wrong over all jobs: recurring failures first."""
    from splat_pipeline.assets.overview import overview_of
    from splat_pipeline.domain.errors import InputError
    from splat_pipeline.overview import store_of
    from splat_pipeline.terminal import show

    found = overview_of(store_of(load()))
    parts = {"failures": found.failures, "stages": found.stages, "corrections": found.corrections, "cost": found.cost}
    if part not in parts:
        raise InputError(f"{part} is no part of the overview", remedy=f"Choose one of {', '.join(parts)}.")
    if as_json:
        print(json.dumps(parts[part].to_dict("records")))
    else:
        show(parts[part].drop(columns=["person", "last_utc"], errors="ignore"))
