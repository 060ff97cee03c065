"""Verbs about the upkeep of an installation."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from splat_pipeline.settings import load

app = typer.Typer()


@app.command()
def metrics(
    *,
    host: Annotated[str, typer.Option(help="address to listen on; there is no login")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one")] = 9464,
) -> None:
    """Serve figures for Prometheus at /metrics, and at /healthz whether all is well, until it is stopped."""
    from splat_pipeline.monitoring import serve

    serve(load(), host=host, port=port, say=lambda line: print(line, flush=True))


@app.command()
def retention(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list what would go; nothing goes")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="every decision as JSON")] = False,
) -> None:
    """Remove what has had its time, by the rules under retention; what was not delivered never goes."""
    from splat_pipeline.terminal import show
    from splat_pipeline.upkeep import decisions_table, swept

    decisions = swept(load(), dry_run=dry_run)
    table = decisions_table(decisions)
    if as_json:
        print(json.dumps(table.to_dict("records"), indent=1))
        return
    going = table[table["goes"].astype(bool)]  # of an empty table the type is not known
    show(going.drop(columns="goes"))
    word = "would go" if dry_run else "went"
    print(f"{len(going)} of {len(table)} things {word}, {going['size_bytes'].sum() / 1e6:.1f} MB")
