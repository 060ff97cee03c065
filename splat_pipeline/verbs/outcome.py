"""How a verb that failed tells it: a sentence for people, a line of JSON for programs, an exit code for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import typer

from splat_pipeline.assets.discretion import hidden
from splat_pipeline.domain import errors

INPUT_FAULT, OTHER_FAULT = 2, 1


def fail(reason: dict[str, Any]) -> NoReturn:
    """Tell the reason and leave with the exit code of its class."""
    raise typer.Exit(told(reason, job=reason.pop("job", None)))


def told(reason: Mapping[str, Any], *, job: str | None) -> int:
    """Tell a person on standard error, a program on standard output, without secrets, and return the exit code."""
    reason = {key: hidden(value) if isinstance(value, str) else value for key, value in reason.items()}
    print(f"{reason['class']}: {reason['cause']}\nWhat to do: {reason['remedy']}", file=sys.stderr)
    print(json.dumps({"job": job, "status": "failed", "error": reason}))
    kind = getattr(errors, str(reason["class"]), errors.SplatError)
    return INPUT_FAULT if issubclass(kind, errors.InputError) else OTHER_FAULT
