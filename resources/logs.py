"""Logs of runs as JSON, one object a line, on standard error.

    {"time": "2026-11-20T10:00:00.123456Z", "level": "info", "event": "94 keyframes written", "job": "garden-1a2b3c4d",
     "run": "0a1b...", "stage": "keyframes", "attempt": 1}

``job`` is the partition, ``stage`` the step, ``attempt`` counts the tries of that step within the run. Lines hold no
secrets: see ``assets.discretion``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import dagster as dg
import structlog

from splat_pipeline.assets.discretion import hidden

PARTITION_TAG = "dagster/partition"
LOGGER = "console"
"""Its name in Dagster: run config asks for it by that."""


@dg.logger(
    {"log_level": dg.Field(dg.String, is_required=False, default_value="INFO")},
    description="JSON on standard error, one object a line.",
)
def json_lines(init: dg.InitLoggerContext) -> logging.Logger:
    """Return the logger of one run."""
    return json_logger(init.logger_config["log_level"], sys.stderr)


def json_logger(level: str, stream: TextIO) -> logging.Logger:
    """Return a logger that writes JSON lines of at least ``level`` to ``stream``; it shares nothing with others."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.format_exc_info,
            ],
            processors=[_told, structlog.processors.JSONRenderer(ensure_ascii=False)],
        )
    )
    logger = logging.Logger("splat", level)  # noqa: LOG001  # one a run, as Dagster wants it: none is shared
    logger.addHandler(handler)
    return logger


def _told(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return what is written of a record: our own keys first, text without secrets."""
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog")
    meta = getattr(record, "dagster_meta", None) or {}
    told = {
        "time": event.pop("time"),
        "level": event.pop("level"),
        "event": meta.get("orig_message") or event.pop("event"),
        "job": (meta.get("job_tags") or {}).get(PARTITION_TAG),
        "run": meta.get("run_id"),
        "stage": meta.get("step_key"),
        "attempt": event.pop("attempt", None),
        "error": event.pop("exception", None),
    }
    return {key: hidden(value) if isinstance(value, str) else value for key, value in told.items() if value is not None}
