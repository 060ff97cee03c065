"""The verb that looks whether everything is there."""

from __future__ import annotations

import json
from typing import Annotated, get_args

import typer

from splat_pipeline.settings import Spot, load

app = typer.Typer()
MARKS = {"good": "ok     ", "warning": "warning", "bad": "BAD    "}


@app.command()
def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """Look whether this installation has what it needs, and say what to do where it has not; 1 where it cannot work."""
    from resources import doctor as medicine

    settings = load()
    places = {name: settings.place(name) for name in get_args(Spot)}
    findings = medicine.examine({**places, "dagster": str(settings.folder("dagster"))})
    told = medicine.as_json(findings)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        for finding in findings:
            print(f"{MARKS[finding.state]}  {finding.name}: {finding.says}")
            if finding.remedy is not None:
                print(f"         -> {finding.remedy}")
    if not told["healthy"]:
        raise typer.Exit(1)
