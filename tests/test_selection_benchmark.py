"""The benchmarks of scoring and selecting: what they choose and how they compare."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import scoring  # noqa: E402
import selection  # noqa: E402

from splat_pipeline.domain.report import STAGE_ORDER  # noqa: E402


@pytest.fixture(scope="module")
def comparison(tmp_path_factory, film, walk):
    folder = tmp_path_factory.mktemp("compared")
    clip = film(folder / "walk.mp4", walk(40))
    return selection.Comparison(clip, folder / "home", detail="preview")


def test_all_choices_are_of_one_number_and_in_order(comparison) -> None:
    chosen = {method: comparison.chosen(method) for method in ("ours", "uniform", "sharpest")}
    assert len({len(rows) for rows in chosen.values()}) == 1
    assert all(rows == sorted(set(rows)) for rows in chosen.values())
    assert chosen["uniform"][0] == 0
    sharpness = comparison.frames["sharpness"].to_numpy()
    assert sharpness[chosen["sharpest"]].mean() > sharpness[chosen["uniform"]].mean()


def test_evaluation_frames_are_spread_and_held_out(comparison) -> None:
    assert len(comparison.evaluated) >= 2
    rows = sorted({*comparison.chosen("uniform"), *comparison.evaluated})
    comparison._publish(rows)
    table = comparison._table("keyframes", selection.tables.KEYFRAMES)
    assert len(table) == len(rows)
    held = table.loc[table["holdout"], "frame_index"].tolist()
    assert held == comparison.frames["frame_index"].iloc[comparison.evaluated].tolist()


def test_psnr_is_compared_over_the_frames_that_all_have() -> None:
    results = [
        {"method": "a", "psnr_db": {1: 20.0, 2: 30.0, 3: 10.0}},
        {"method": "b", "psnr_db": {1: 21.0, 2: 29.0}},
        {"method": "c", "failed": "why"},
    ]
    compared = selection.over_common(results)
    assert [(r.get("psnr_db"), r.get("views")) for r in compared] == [(25.0, 2), (25.0, 2), (None, None)]


def test_scoring_is_timed_beside_decoding(tmp_path: Path, film, walk, monkeypatch, capsys) -> None:
    clip = film(tmp_path / "walk.mp4", walk(30), fps=30)
    monkeypatch.setattr(sys, "argv", ["scoring.py", str(clip), "--rounds", "1"])
    scoring.main()
    figures = json.loads(capsys.readouterr().out)
    assert (figures["analysed"], figures["frames"]) == (10, 30)
    assert 0 < figures["ratio"] < 1
    assert np.isfinite(list(figures.values())).all()


def test_every_stage_between_the_choice_and_the_splat_is_run() -> None:
    after = selection.CHOSEN + selection.POSED + selection.TRAINED
    assert after == [stage for stage in STAGE_ORDER if STAGE_ORDER.index(stage) <= STAGE_ORDER.index("splat")]
