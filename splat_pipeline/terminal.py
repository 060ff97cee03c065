"""Progress of a run on the terminal: one line a stage, what the stage says while it works, a bar while it trains."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

import dagster as dg
import pandas as pd
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from splat_pipeline.domain.progress import Progress as Training
from splat_pipeline.domain.progress import progress_of

QUIET_S = 5.0
"""Lines of one stage are printed at most this often where the terminal cannot overwrite a line."""

BAR = 24
"""Columns of the bar of a training."""

WIDE = 200
"""Columns of a table that goes to a file or a pipe."""


class Progress:
    """Listens to a run's events and tells a person, on standard error."""

    def __init__(self, job: str, console: Console | None = None) -> None:
        """``job``: what is being made, for the headline."""
        self._file = _kept_terminal()
        self._console = console or Console(file=self._file, stderr=True, highlight=False)
        self._status = self._console.status(f"[bold]{escape(job)}")
        self._job, self._started, self._stage_started, self._told = job, time.monotonic(), 0.0, 0.0

    def __enter__(self) -> Self:
        self._console.print(f"[bold]{escape(self._job)}")
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()
        if self._file is not None:
            self._file.close()

    def __call__(self, entry: dg.EventLogEntry) -> None:
        """Show one event."""
        event = entry.dagster_event
        if event is None:
            if int(entry.level) >= logging.INFO:
                self._say(entry.step_key or "", entry.user_message)
        elif event.is_step_start:
            self._stage_started, self._told = time.monotonic(), 0.0
            self._status.update(f"[bold]{escape(entry.step_key or '')}")
        elif event.is_step_success:
            self._done("[green]done  ", entry.step_key or "")
        elif event.event_type_value == "ENGINE_EVENT" and "block" in (event.message or ""):
            self._say(entry.step_key or "", f"waiting for another run: {event.message}")
        elif event.is_step_failure:
            self._done("[red]failed", entry.step_key or "")
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            self._check(event.asset_check_evaluation_data)

    def _say(self, step: str, line: str) -> None:
        now = time.monotonic()
        training = progress_of(line)
        self._status.update(f"[bold]{escape(step)}[/] {escape(line)}" if training is None else _bar(step, training))
        if not self._console.is_terminal and now - self._told >= QUIET_S:
            self._told = now
            self._console.print(f"{self._clock()} [dim]{escape(step)}: {escape(line)}", soft_wrap=True)

    def _done(self, word: str, step: str) -> None:
        took = time.monotonic() - self._stage_started
        self._console.print(f"{self._clock()} {word}[/] {escape(step)} [dim]{took:.1f} s")

    def _check(self, check: dg.AssetCheckEvaluation) -> None:
        if not check.passed:
            word = "[red]gate  " if check.severity is dg.AssetCheckSeverity.ERROR else "[yellow]warns "
            self._console.print(f"{self._clock()} {word}[/] {check.check_name}: {escape(check.description or '')}")

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"{minutes:3d}:{seconds:02d}"


def _kept_terminal() -> TextIO | None:
    """Return another handle of the terminal on standard error, or None when there is no terminal.

    While a step runs, Dagster puts a pipe in the place of standard error to keep what is written there.
    """
    return os.fdopen(os.dup(sys.stderr.fileno()), "w") if sys.stderr.isatty() else None


def _bar(step: str, at: Training) -> RenderableType:
    """Return one line: the stage, a bar, the share done, the figures."""
    row = Table.grid(padding=(0, 1))
    minutes, seconds = divmod(round(at.seconds_left), 60)
    figures = f"{at.loss:.3f} loss  {at.psnr_db:.1f} dB  {at.gaussians:,} Gaussians  {minutes}:{seconds:02d} left"
    total = max(at.iterations, 1)
    bar = ProgressBar(total=total, completed=at.iteration, width=BAR)
    row.add_row(f"[bold]{escape(step)}", bar, f"{at.iteration / total:4.0%}", f"[dim]{figures}")
    return row


def show(frame: pd.DataFrame) -> None:
    """Print a table on standard output."""
    table = Table()
    for name in frame.columns:
        table.add_column(str(name), overflow="fold")  # a path or a key is copied from here: never shortened
    for row in frame.itertuples(index=False):
        table.add_row(*[escape("" if value is None else str(value)) for value in row])
    Console(highlight=False, width=None if sys.stdout.isatty() else WIDE).print(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """Print names and values on standard output, one pair a line."""
    for name, value in facts.items():
        sys.stdout.write(f"{name.replace('_', ' '):<16} {value}\n")
