"""A person who watches sees a bar while it trains; a file or a pipe gets lines, now and then."""

from __future__ import annotations

import io
import logging
import os
import pty
import re
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from splat_pipeline import terminal
from splat_pipeline.domain.progress import Progress as Training
from splat_pipeline.terminal import Progress


def entry(line: str) -> dg.EventLogEntry:
    """Return what Dagster tells a listener of a line in a stage's log."""
    return dg.EventLogEntry(
        error_info=None, level=logging.INFO, user_message=line, run_id="r", timestamp=time.time(), step_key="splat"
    )


def at(iteration: int) -> str:
    return Training(
        iteration=iteration,
        iterations=3500,
        loss=0.0421,
        psnr_db=27.31,
        gaussians=61000,
        factor=2,
        seconds=12.0,
        seconds_left=95.0,
    ).line()


def shown(*lines: str, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, highlight=False, color_system=None)
    with Progress("a job", console) as progress:
        for line in lines:
            progress(entry(line))
            time_to_draw(progress)
    return file.getvalue()


def time_to_draw(progress: Progress) -> None:
    progress._status._live.refresh()


def test_a_terminal_shows_a_bar_with_the_figures():
    text = shown("reading images", at(875), at(3500), terminal=True)
    assert re.search(r"splat +━+ *[╺ ━]* +25% +0\.042 loss +27\.3 dB +61,000 Gaussians +1:35 left", text)
    assert re.search(r"splat +━{24} +100%", text)
    assert "iteration 875" not in text
    assert "reading images" in text


def test_a_pipe_gets_plain_lines_and_not_all_of_them(monkeypatch: pytest.MonkeyPatch):
    now = iter([0.0, *[float(second) for second in range(100, 120)]])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(now))
    text = shown(*[at(i) for i in range(1, 8)], terminal=False)
    lines = [line for line in text.splitlines() if "iteration" in line]
    assert len(lines) == 2
    assert "splat: iteration 1 of 3500: loss 0.0421, 27.3 dB at 1/2, 61000 Gaussians, 12 s, about 95 s left" in lines[0]
    assert "━" not in text


def test_the_bar_stays_on_the_terminal_while_dagster_captures_standard_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    ours, theirs = pty.openpty()
    read: list[bytes] = []

    def drain() -> None:
        try:
            while part := os.read(ours, 4096):
                read.append(part)
        except OSError:  # Linux says so when the last handle of the other end is closed
            return

    reader = threading.Thread(target=drain)
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with os.fdopen(theirs, "w") as stderr, (tmp_path / "captured").open("w") as captured:
        monkeypatch.setattr(sys, "stderr", stderr)
        with Progress("a job") as progress:
            os.dup2(captured.fileno(), theirs)
            progress(entry(at(875)))
            time_to_draw(progress)
    reader.join()
    os.close(ours)
    assert " 25%" in b"".join(read).decode()
    assert (tmp_path / "captured").read_text() == ""
