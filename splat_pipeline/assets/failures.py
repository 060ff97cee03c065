"""The one place where an error becomes a failure that Dagster shows, and where it is decided what is tried again."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, get_origin

import dagster as dg
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy.exc import InterfaceError, OperationalError

from splat_pipeline.assets.discretion import DISCREET, guarded_streams, hidden
from splat_pipeline.domain.errors import (
    Cancelled,
    DatabaseUnavailable,
    OutOfMemory,
    ProcessKilled,
    SplatError,
    StoreUnavailable,
)
from splat_pipeline.domain.taxonomy import named

INTERRUPTED = "DagsterExecutionInterruptedError"
"""What Dagster raises in a step whose process gets SIGTERM or SIGINT."""
GOES_ON = "Run it again: what was finished is taken over, a training goes on from its last checkpoint."
TOLD = ("class", "file", "cause", "remedy")
Body = TypeVar("Body", bound=Callable[..., Any])
NETWORK = (ConnectionError, TimeoutError)
DATABASE = (InterfaceError, OperationalError)
"""Of Dagster's database, to which a step logs; Dagster raises others of its own because of them."""
RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""Of a step whose process was killed, or whose error may pass by itself: after 5, 15 and 35 seconds, give or take 5.

Everything else ends the step at once: the same footage would fail the same way.
"""
_KILLED = "ChildProcessCrashException"
"""Dagster's name for a step whose process ended without a word."""


def classified(body: Body) -> Body:
    """Wrap an asset or op so that a ``SplatError`` ends it as ``dg.Failure`` with class, file, cause and remedy.

    What it logs, and whatever it fails with, is told without secrets.
    """

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for given in (*args, *kwargs.values()):
            if isinstance(given, (dg.AssetExecutionContext, dg.OpExecutionContext)):
                given.log.addFilter(DISCREET)
        try:
            with guarded_streams():
                return body(*args, **kwargs)
        except SplatError as error:
            raise as_failure(error) from None
        except MemoryError as error:
            raise as_failure(OutOfMemory(f"the step ran out of memory: {error}")) from None
        except Exception as error:
            if passing := _transient(error):
                raise as_failure(passing) from None
            told = "".join(traceback.format_exception(error))
            if hidden(told) != told:
                raise _without_secrets(error, hidden(told)) from None
            if isinstance(error, (dg.Failure, dg.RetryRequested)):
                raise
            # A retry policy takes what it does not know for transient: a bug would be run four times.
            raise dg.Failure(_first_line(error), allow_retries=False) from error

    wrapped.__signature__ = _plain_signature(body)  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]  # same signature, by functools.wraps


def _transient(error: BaseException) -> SplatError | None:
    """Return the error of ours for what the network or the database caused, however far down; None for the rest."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NETWORK):
            return StoreUnavailable(_first_line(cause))
        if isinstance(cause, DATABASE):
            return DatabaseUnavailable(_first_line(cause))
        cause = cause.__cause__
    return None


def lost_its_log(events: Iterable[dg.DagsterEvent]) -> bool:
    """Tell whether a run failed only because a step could not reach Dagster's database, outside of our own code.

    There Dagster knows of no retry of the step, and takes the run for one whose content failed.
    """
    failures = [event.step_failure_data for event in events if event.is_step_failure]
    return bool(failures) and all(data.user_failure_data is None and _of_database(data.error) for data in failures)


def _of_database(error: SerializableErrorInfo | None) -> bool:
    names = {kind.__name__ for kind in DATABASE}
    while error is not None and error.cls_name not in names:
        error = error.cause
    return error is not None


def _without_secrets(error: Exception, told: str) -> dg.Failure:
    """Return a failure in place of an unexpected error whose text, or whose causes', holds a secret."""
    failure = as_failure(SplatError(f"{type(error).__name__}: {error}"))
    metadata = {**failure.metadata, "traceback": dg.MetadataValue.text(told)}
    return dg.Failure(failure.description, metadata, allow_retries=False)


def _plain_signature(body: Callable[..., Any]) -> inspect.Signature:
    """Return the signature as Dagster compares it with its classes: no strings, no parameters of a generic result."""
    signature = inspect.signature(body, eval_str=True)
    if get_origin(signature.return_annotation) is dg.MaterializeResult:
        signature = signature.replace(return_annotation=dg.MaterializeResult)
    return signature


def as_failure(error: SplatError) -> dg.Failure:
    """Return the failure; only transient faults may be retried by a retry policy."""
    shown = {key: hidden(value or "") for key, value in in_full(error.to_json()).items()}
    about = f"{error.file}: " if error.file and error.file not in error.cause else ""
    return dg.Failure(
        description=hidden(f"{shown['class']}: {about}{error.cause.rstrip('.')}. Remedy: {error.remedy}"),
        metadata={key: dg.MetadataValue.text(value) for key, value in shown.items()},
        allow_retries=error.retry == "same",
    )


def in_full(told: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return what ``SplatError.to_json`` tells, with the stable name of its class and what operators can do."""
    found = named(told["class"])
    return {**told, "failure": found.code, "operator": found.operator}


def explain(events: Iterable[dg.DagsterEvent]) -> dict[str, str | None]:
    """Return ``{class, file, cause, remedy, failure, operator}`` of a failed run, out of its events.

    A step that raised one of our errors comes first, then a blocking check that failed, then a process that was killed;
    what is left is internal.
    """
    unexpected: SplatError | None = None
    blocked: dict[str, str | None] | None = None
    killed: SplatError | None = None
    for event in events:
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data.metadata if data.user_failure_data else {}
            if "class" in told:
                return in_full({key: str(told[key].value) or None for key in TOLD})
            if INTERRUPTED in _root(data.error):
                stopped = Cancelled(f"{event.step_key} was stopped", remedy=GOES_ON)
                return in_full(stopped.to_json())
            if data.error is not None and data.error.cls_name == _KILLED:
                killed = ProcessKilled(f"{event.step_key}: its process was killed, {1 + RETRIES.max_retries} times")
                continue
            told_of = DatabaseUnavailable if _of_database(data.error) else SplatError
            unexpected = unexpected or told_of(f"{event.step_key}: {_root(data.error)}")
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR and blocked is None:
                shown = {key: str(value.value) for key, value in check.metadata.items()}
                cause = f"gate {check.check_name}: {shown['because']}"
                blocked = {"class": shown["class"], "file": None, "cause": cause, "remedy": shown["remedy"]}
        elif event.is_run_failure and unexpected is None and killed is None:
            # No step said anything: run monitoring found the worker gone, or Dagster could not start it.
            killed = ProcessKilled(event.message or "the run ended without a word")
    return in_full(blocked or (unexpected or killed or SplatError("unknown")).to_json())


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def evidence(events: Iterable[dg.DagsterEvent]) -> list[dict[str, Any]]:
    """Return what a failed run showed: the steps that failed with their message, the gates with value and limit."""
    shown: list[dict[str, Any]] = []
    for event in events:
        if event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            message = told.description if told and told.description else _root(event.step_failure_data.error)
            shown.append({"step": event.step_key, "message": message})
        elif event.event_type_value == "ASSET_CHECK_EVALUATION" and not event.asset_check_evaluation_data.passed:
            check = event.asset_check_evaluation_data
            numbers = {key: value.value for key, value in check.metadata.items() if key not in ("class", "remedy")}
            shown.append({"gate": check.check_name, "severity": check.severity.value, **numbers})
    return shown


def _root(error: SerializableErrorInfo | None) -> str:
    """Return the first line of what went wrong first."""
    while error is not None and error.cause is not None:
        error = error.cause
    return "unknown" if error is None else error.message.strip().splitlines()[0]
