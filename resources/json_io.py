"""Small values between the ops of the fan-out, as JSON beside the artifacts; pickles break across machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg


class JsonIOManager(dg.IOManager):
    """Keeps one JSON file per run, step, output and mapping key."""

    def __init__(self, root: Path) -> None:
        """Files go below ``root``."""
        self._root = root

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write ``obj``; raises TypeError when it is not JSON."""
        path = self._path(context)
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half")
        half.write_text(json.dumps(obj))
        half.replace(path)

    def load_input(self, context: dg.InputContext) -> Any:
        """Read what the upstream output wrote."""
        upstream = context.upstream_output
        assert upstream is not None
        return json.loads(self._path(upstream).read_text())

    def _path(self, context: dg.OutputContext) -> Path:
        return self._root.joinpath(*context.get_identifier()).with_suffix(".json")
