"""A file with a budget is no larger; what is left out is what is seen least, and it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clouds import some_gaussians

from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.formats.budgets import Budget, left_out
from splat_pipeline.domain.formats.exports import export
from splat_pipeline.domain.formats.files import FORMATS
from splat_pipeline.domain.gaussians import Gaussians

COUNT = 4000


def scene() -> Gaussians:
    g = some_gaussians(COUNT, 3, 0)
    g.sh[:] = np.clip(g.sh * 0.2, -0.9, 0.9)
    return g


def weights() -> np.ndarray:
    return np.random.default_rng(5).uniform(1, 9, COUNT).astype("f4")


def rows_of(folder: Path, most: int, formats: tuple[str, ...], compare=None) -> dict[str, dict]:
    rows = export(
        scene(),
        folder,
        stem="model-1",
        formats=formats,
        comments=["Up: -y"],
        compare=compare,
        budget=Budget(most_bytes=most, weights=weights()),
    )
    tables.to_table(tables.FORMATS, rows)
    return {row["format"]: row for row in rows}


@pytest.mark.parametrize("most", [40_000, 150_000])
def test_no_file_is_larger_than_the_budget(most: int, tmp_path: Path) -> None:
    for row in rows_of(tmp_path, most, tuple(FORMATS)).values():
        size = (tmp_path / row["file"]).stat().st_size
        assert size == row["size_bytes"] <= most
        assert size > 0.6 * most or row["left_out"] is None or row["gaussians"] == COUNT
        assert len(FORMATS[row["format"]].read(tmp_path / row["file"])) == row["gaussians"]


def test_a_budget_that_is_kept_anyway_changes_nothing(tmp_path: Path) -> None:
    row = rows_of(tmp_path, 10_000_000, ("spz",))["spz"]
    assert (row["gaussians"], row["left_out"]) == (COUNT, None)


def test_those_that_contribute_least_go(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 200_000, ("ply",), compare=lambda got: float(got.sh_degree))
    kept = FORMATS["ply"].read(tmp_path / rows["ply"]["file"])
    assert kept.sh_degree == 3
    there = set(map(tuple, kept.means.tolist()))
    in_it = np.array([tuple(place) in there for place in scene().means.tolist()])
    assert 0 < in_it.sum() == rows["ply"]["gaussians"] < COUNT
    assert weights()[in_it].min() > weights()[~in_it].max()
    assert rows["ply"]["left_out"] == f"the {COUNT - in_it.sum():,} least seen of 4,000 Gaussians"


def test_the_candidate_with_the_best_pictures_is_taken(tmp_path: Path) -> None:
    for wanted in range(4):
        rows = rows_of(
            tmp_path, 200_000, ("ply",), compare=lambda got, wanted=wanted: -abs(got.sh_degree - wanted) + 40.0
        )
        kept = FORMATS["ply"].read(tmp_path / rows["ply"]["file"])
        assert kept.sh_degree == wanted
        assert rows["ply"]["psnr_db"] == 40
        if wanted < 3:
            assert rows["ply"]["left_out"].startswith(f"harmonics above degree {wanted}")


def test_without_pictures_most_gaussians_are_kept(tmp_path: Path) -> None:
    row = rows_of(tmp_path, 300_000, ("ply",))["ply"]
    assert (row["gaussians"], row["left_out"]) == (COUNT, "harmonics above degree 0")


def test_a_budget_for_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not fit into 500 bytes") as told:
        rows_of(tmp_path, 500, ("ply",))
    assert "max_bytes" in told.value.remedy


def test_what_was_left_out_is_told_in_words() -> None:
    g = scene()
    assert left_out(g, g) is None
    few = g.lowered(1).take(slice(1000))
    assert left_out(g, few) == "harmonics above degree 1 and the 3,000 least seen of 4,000 Gaussians"
