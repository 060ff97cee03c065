"""Small values between the ops of the fan-out, as JSON beside the artifacts; pickles break across machines."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from splat_pipeline.ports.stores import Place


class JsonIOManager(dg.IOManager):
    """Keeps one JSON file per run, step, output and mapping key."""

    def __init__(self, place: Place) -> None:
        """Files go there."""
        self._place = place

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write ``obj``; raises TypeError when it is not JSON."""
        self._place.write(_name(context), json.dumps(obj).encode())

    def load_input(self, context: dg.InputContext) -> Any:
        """Read what the upstream output wrote."""
        upstream = context.upstream_output
        assert upstream is not None
        return json.loads(self._place.read(_name(upstream)))


def _name(context: dg.OutputContext) -> str:
    return "/".join(context.get_identifier()) + ".json"
