"""The verb that runs a job again and says what repeats."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from splat_pipeline.settings import load
from splat_pipeline.verbs.outcome import fail

app = typer.Typer()


@app.command()
def replay(
    job: Annotated[str, typer.Argument(help="key of the job: see splat status")],
    *,
    start: Annotated[str, typer.Option("--from", help="the first stage to compute again")] = "source_videos",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="a setting to change, e.g. training.iterations=200")
    ] = None,
) -> None:
    """Run a job again from the snapshot in its package, in a partition of its own, and say what differs."""
    from splat_pipeline.replay import nested
    from splat_pipeline.replay import replay as replayed
    from splat_pipeline.terminal import Progress

    changes = nested(change or [])
    with Progress(f"replay of {job}") as progress:
        told, reason = replayed(load(), job, start=start, changes=changes, listener=progress)
    if reason is not None:
        fail({**reason, "job": told["job"]})
    for line in _lines(told):
        print(line, file=sys.stderr)
    print(json.dumps(told))


def _lines(told: Mapping[str, Any]) -> list[str]:
    """Return the comparison for people: stages, metrics, environment, verdict."""
    stages = [
        f"{name:22} {about['verdict']:8} {about['where']}" + (f" ({about['worst']:.2g})" if about["worst"] else "")
        for name, about in told["stages"].items()
    ]
    metrics = [f"{name:22} {about['before']} -> {about['after']}" for name, about in told["metrics"].items()]
    changed = [f"set {name}" for name in told["set"]]
    environment = told["environment"] or ["the environment is the same"]
    return [*stages, "", *metrics, "", *changed, *environment, "", f"verdict: {told['verdict']}"]
