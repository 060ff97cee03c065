"""What a sensor logs or fails with, told without secrets: Dagster keeps both, and shows them to whoever sees its UI."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from splat_pipeline.assets.discretion import DISCREET, hidden
from splat_pipeline.domain.errors import SplatError

Context = TypeVar("Context")
Result = TypeVar("Result")


def discreet(tick: Callable[[Context], Result]) -> Callable[[Context], Result]:
    """Wrap what a sensor does at every tick. An error whose text, or whose causes', holds a secret is told anew."""

    @functools.wraps(tick)
    def wrapped(context: Any) -> Result:
        context.log.addFilter(DISCREET)
        try:
            return tick(context)
        except Exception as error:
            told = "".join(traceback.format_exception(error))
            if hidden(told) == told:
                raise
            raise SplatError(hidden(told)) from None

    return wrapped
