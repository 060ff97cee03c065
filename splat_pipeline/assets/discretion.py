"""Where secrets are kept out of what is told: log lines, failures, metadata, what tools print.

The one module of the middle that reads the environment: secrets come to a process by it and by no other way.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from splat_pipeline.domain.redaction import redacted, secrets_of


def hidden(text: str) -> str:
    """Return ``text`` without secrets of this process's environment, and without what looks like a credential."""
    return redacted(text, secrets_of(os.environ))


class Discreet(logging.Filter):
    """Takes secrets out of records before any handler sees them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, its message without secrets."""
        record.msg, record.args = hidden(record.getMessage()), ()
        return True


DISCREET = Discreet()
"""One for all: adding it to a logger again changes nothing."""


class _Guarded:
    """A text stream that writes everything without secrets; a secret that comes in parts is not seen."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(hidden(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Have what Python code inside prints written without secrets: Dagster keeps what a step prints."""
    out: Any = _Guarded(sys.stdout)
    err: Any = _Guarded(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        yield
