"""Time and memory of a stage are measured, not guessed."""

from __future__ import annotations

import re

import numpy as np

from resources.machine import LocalMachine


def test_utc_is_iso_8601_with_seconds():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", LocalMachine().utc())


def test_the_peak_of_a_stage_counts_memory_that_it_gave_back():
    size = 300_000_000
    with LocalMachine().metered() as small:
        np.ones(10)
    with LocalMachine().metered() as large:
        np.ones(size // 8).sum()
    assert large.peak_rss_bytes - small.peak_rss_bytes > size * 0.8
    assert large.seconds > 0


def test_a_stage_that_fails_is_measured_too():
    machine = LocalMachine().metered()
    usage = machine.__enter__()
    assert machine.__exit__(ZeroDivisionError, ZeroDivisionError(), None) is False
    assert usage.seconds > 0
    assert usage.peak_rss_bytes > 1_000_000
