"""The verbs of upkeep, on a real instance."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from splat_pipeline.cli import app
from splat_pipeline.overview import store_of
from splat_pipeline.settings import load


def test_a_dry_run_lists_what_would_go_and_only_the_real_one_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPLAT__HOME", str(tmp_path))
    dry, real = ["retention", "--dry-run"], ["retention"]
    nothing = CliRunner().invoke(app, dry)
    assert (nothing.exit_code, nothing.stdout.splitlines()[-1]) == (0, "0 of 0 things would go, 0.0 MB")
    checkpoint = store_of(load()).ongoing("a-00000000", "splat", "k" * 8) / "checkpoint.npz"
    checkpoint.write_bytes(b"x" * 2_000_000)
    young = CliRunner().invoke(app, [*dry, "--json"])
    assert [row["because"] for row in json.loads(young.stdout)] == ["within its budgets"]
    os.utime(checkpoint, (time.time() - 9 * 86_400,) * 2)
    for _ in range(2):
        shown = CliRunner().invoke(app, dry).stdout
        assert "older than 3 days" in shown
        assert shown.splitlines()[-1] == "1 of 1 things would go, 2.0 MB"
        assert checkpoint.exists()
    assert CliRunner().invoke(app, real).stdout.splitlines()[-1] == "1 of 1 things went, 2.0 MB"
    assert not checkpoint.exists()
