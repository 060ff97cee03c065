"""Fixtures that every test may use."""

from __future__ import annotations

import os
import zlib  # noqa: F401  # before pycolmap, whose module exports zlib's symbols: see docs/lab-notes.md
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real captures (dev/) and broken files (bad/); the project does not need it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SPLAT_TEST_DATA", beside))
    if not (folder / "bad").is_dir():
        pytest.skip(f"no real captures at {folder}: set SPLAT_TEST_DATA to run this")
    return folder


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory, closed afterwards."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made
