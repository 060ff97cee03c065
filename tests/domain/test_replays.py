"""Two artifacts are equal, the same but for the clock, within a tolerance, or different; and it is said where."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clouds import some_gaussians

from splat_pipeline.domain.formats.ply import write_ply
from splat_pipeline.domain.replays import TOLERANCE, compare, environment_changes, overall, tolerance_of


def poses(folder: Path, off: float = 0.0, seconds: float = 1.0, rows: int = 40) -> Path:
    folder.mkdir()
    x = np.linspace(-1, 1, rows)
    x[rows // 2 :] += off
    table = pd.DataFrame({"x": x, "name": ["a"] * rows, "seconds": seconds, "registered": True, "none": np.nan})
    table.to_parquet(folder / "poses.parquet")
    return folder


def test_the_same_bytes_are_equal(tmp_path: Path) -> None:
    assert compare("camera_poses", poses(tmp_path / "a"), poses(tmp_path / "b")).verdict == "equal"


def test_other_seconds_are_the_same_result(tmp_path: Path) -> None:
    found = compare("keyframes", poses(tmp_path / "a"), poses(tmp_path / "b", seconds=2.0))
    assert (found.verdict, found.worst) == ("same", 0.0)


def test_a_last_digit_is_within_the_tolerance_of_poses_and_none_is_forgiven_for_keyframes(tmp_path: Path) -> None:
    a, b = poses(tmp_path / "a"), poses(tmp_path / "b", off=1e-6)
    found = compare("camera_poses", a, b)
    assert found.verdict == "within"
    assert 0 < found.worst < 1e-5
    assert found.where == "poses.parquet: x"
    assert compare("keyframes", a, b).verdict == "differs"


def test_what_is_beyond_the_tolerance_differs(tmp_path: Path) -> None:
    a = poses(tmp_path / "a")
    assert compare("camera_poses", a, poses(tmp_path / "b", off=0.5)).verdict == "differs"
    assert compare("camera_poses", a, poses(tmp_path / "c", rows=30)).verdict == "differs"
    (poses(tmp_path / "d") / "more.json").write_text("{}")
    found = compare("camera_poses", a, tmp_path / "d")
    assert (found.verdict, found.where) == ("differs", "more.json")


def test_numbers_that_became_none_differ(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", np.nan)):
        (tmp_path / name).mkdir()
        pd.DataFrame({"x": [0.0, value]}).to_parquet(tmp_path / name / "t.parquet")
    assert compare("camera_poses", tmp_path / "a", tmp_path / "b").verdict == "differs"


def test_json_is_compared_by_its_leaves(tmp_path: Path) -> None:
    base = {"rms_px": 0.5, "because": "rms 0.50 px", "seconds": 1, "list": [1, {"k": True}]}
    cases = {
        "same": {**base, "seconds": 9},
        "within": {**base, "rms_px": 0.5001, "because": "rms 0.51 px"},
        "differs": {**base, "because": "no"},
    }
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "gates.json").write_text(json.dumps(base))
    for verdict, value in cases.items():
        (tmp_path / verdict).mkdir()
        (tmp_path / verdict / "gates.json").write_text(json.dumps(value))
        assert compare("camera_poses", tmp_path / "a", tmp_path / verdict).verdict == verdict
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "gates.json").write_text(json.dumps({"rms_px": 0.5}))
    assert compare("camera_poses", tmp_path / "a", tmp_path / "keys").verdict == "differs"


def test_a_model_is_the_same_under_another_time_of_the_clock(tmp_path: Path) -> None:
    g = some_gaussians(20, 1, 0)
    for name, stamp in (("a", "20260101000000"), ("b", "20260101000001")):
        (tmp_path / name).mkdir()
        write_ply(tmp_path / name / f"model-{stamp}.ply", g)
    assert compare("exports", tmp_path / "a", tmp_path / "b").verdict == "same"


def test_gaussians_that_differ_are_never_called_the_same(tmp_path: Path) -> None:
    g = some_gaussians(100, 1, 0)
    for name, other in (("a", g), ("b", replace(g, means=g.means + np.float32(1))), ("c", g.take(slice(50)))):
        (tmp_path / name).mkdir()
        write_ply(tmp_path / name / "gaussians.ply", other)
    assert compare("splat", tmp_path / "a", tmp_path / "b").verdict == "within"
    assert compare("splat", tmp_path / "a", tmp_path / "c").verdict == "differs"


def test_every_stage_with_results_has_a_tolerance_and_windows_too() -> None:
    assert tolerance_of("window_0003") == TOLERANCE["window_"]
    assert tolerance_of("keyframes") == 0
    assert tolerance_of("something new") == 0


@pytest.mark.parametrize(
    ("verdicts", "worst"), [([], "equal"), (["equal", "same"], "same"), (["within", "differs", "same"], "differs")]
)
def test_a_job_is_as_alike_as_its_worst_stage(verdicts: list[str], worst: str) -> None:
    assert overall(verdicts) == worst


def test_what_changed_around_it_is_named() -> None:
    before = {"versions": {"numpy": "2.0", "numba": "1"}, "machine": {"cores": "2"}}
    after = {"versions": {"numpy": "2.1", "numba": "1"}, "machine": {"cores": "4", "processor": "x"}}
    assert environment_changes(before, after) == [
        "versions.numpy: 2.0 -> 2.1",
        "machine.cores: 2 -> 4",
        "machine.processor: unknown -> x",
    ]
    assert environment_changes(before, before) == []
