"""The one place where an error of the domain becomes a failure that Dagster shows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import dagster as dg

from splat_pipeline.domain.errors import OutOfMemory, SplatError

Body = TypeVar("Body", bound=Callable[..., Any])


def classified(body: Body) -> Body:
    """Wrap an asset or op so that a ``SplatError`` ends it as ``dg.Failure`` with class, file, cause and remedy."""

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return body(*args, **kwargs)
        except SplatError as error:
            raise as_failure(error) from None
        except MemoryError as error:
            raise as_failure(OutOfMemory(f"the step ran out of memory: {error}")) from None

    return wrapped  # type: ignore[return-value]  # same signature, by functools.wraps


def as_failure(error: SplatError) -> dg.Failure:
    """Return the failure; only transient faults may be retried by a retry policy."""
    shown = {key: value or "" for key, value in error.to_json().items()}
    about = f"{error.file}: " if error.file and error.file not in error.cause else ""
    return dg.Failure(
        description=f"{shown['class']}: {about}{error.cause} Remedy: {error.remedy}",
        metadata={key: dg.MetadataValue.text(value) for key, value in shown.items()},
        allow_retries=error.retry == "same",
    )
