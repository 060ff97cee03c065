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

from benchmarks.gates.cases import FPS, reference  # noqa: E402
from resources.movies import FfmpegWriter  # noqa: E402
from splat_pipeline.domain.report import STAGE_ORDER  # noqa: E402


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    clip = folder / "shelves.mp4"
    FfmpegWriter(crf=16).write(clip, iter(reference().clip()), fps=FPS)
    return selection.Comparison(clip, folder / "home", detail="preview")


def test_all_choices_are_of_one_number_and_in_order(comparison) -> None:
    chosen = {method: comparison.chosen(method) for method in ("ours", "uniform", "sharpest")}
    assert len({len(rows) for rows in chosen.values()}) == 1
    assert all(rows == sorted(set(rows)) for rows in chosen.values())
    assert chosen["uniform"][0] == 0
    sharpness = comparison.frames["sharpness"].to_numpy()
    assert sharpness[chosen["sharpest"]].mean() > sharpness[chosen["uniform"]].mean()


def test_frames_for_evaluation_are_spread_and_nobody_s(comparison) -> None:
    first, second = comparison.held(0), comparison.held(1)
    assert first != second
    assert len(first) == -(-len(comparison.frames) // selection.HELD_EVERY)
    assert np.diff(first).max() < 2 * selection.HELD_EVERY
    chosen = {method: comparison.chosen(method, without=first) for method in selection.METHODS}
    assert not set(first) & {row for rows in chosen.values() for row in rows}
    assert len({len(rows) for rows in chosen.values()}) == 1
    assert len(chosen["ours"]) > len(first)


def test_choices_are_posed_alone_and_learned_from_one_reconstruction_of_all(comparison) -> None:
    alone = comparison.registered("uniform")
    assert alone["registered"] == alone["keyframes"] == len(comparison.chosen("ours"))
    learned = comparison.learned(["ours", "uniform"], 2)
    assert len({(row["trained_on"], row["views"]) for row in learned}) == 1
    assert all(row["psnr_worst_tenth_db"] < row["psnr_db"] for row in learned)
    assert all(row["psnr_db"] > 15 for row in learned)


def test_scoring_is_timed_beside_decoding(tmp_path: Path, film, walk, monkeypatch, capsys) -> None:
    clip = film(tmp_path / "walk.mp4", walk(30), fps=30)
    monkeypatch.setattr(sys, "argv", ["scoring.py", str(clip), "--rounds", "1"])
    scoring.main()
    figures = json.loads(capsys.readouterr().out)
    assert (figures["analysed"], figures["frames"]) == (10, 30)
    assert 0 < figures["ratio"] < 1
    assert np.isfinite(list(figures.values())).all()


def test_every_stage_up_to_the_points_is_run() -> None:
    after = [*selection.CHOSEN, *selection.POSED, "point_cloud"]
    assert after == [stage for stage in STAGE_ORDER if STAGE_ORDER.index(stage) <= STAGE_ORDER.index("point_cloud")]
