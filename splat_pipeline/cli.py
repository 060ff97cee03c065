"""The ``splat`` command: thin; every verb is also possible in the Dagster UI.

Progress goes to standard error, results to standard output; the last line of ``run`` is JSON. Exit codes: 0 a
package was delivered, 2 the input or the command is at fault, 1 everything else.
"""

from __future__ import annotations

import os
import sys

import typer

from splat_pipeline.domain import errors
from splat_pipeline.verbs import failures, files, health, installation, jobs, replays, serving, upkeep
from splat_pipeline.verbs.outcome import told

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for verbs in (jobs, replays, files, installation, health, failures, upkeep, serving):
    app.add_typer(verbs.app)


def main() -> None:
    """Run the command; an error of ours is one line of JSON, never a traceback."""
    # Threads that wait by spinning halve the speed of training where another program has one of the cores. Read when
    # the OpenMP library is loaded, so it is set before anything else.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except errors.SplatError as error:
        sys.exit(told(error.to_json(), job=None))
