"""Verbs that serve: files of artifacts for links in Dagster's UI."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer

from splat_pipeline.settings import load

app = typer.Typer()


@app.command()
def artifacts(
    *,
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 belongs into a container only")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="to listen on")] = 3001,
) -> None:
    """Serve the files of artifacts, read-only, on this machine: reports, films and viewers for links in the UI."""
    import uvicorn

    from resources.artifact_server import artifact_server
    from splat_pipeline.overview import store_of

    settings = load()
    named = urlsplit(settings.artifact_url or "").hostname
    hosts = ["127.0.0.1", "localhost", *([named] if named else [])]
    uvicorn.run(artifact_server(store_of(settings), hosts=hosts), host=host, port=port, log_level="warning")
