"""A file with a budget is no larger; what is left out is what is seen least, and it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clouds import some_gaussians

from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.formats import spz
from splat_pipeline.domain.formats.budgets import Budget, Judge, left_out
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


@pytest.mark.parametrize(("most", "formats"), [(40_000, tuple(FORMATS)), (150_000, ("ply", "splat", "spz", "glb"))])
def test_no_file_is_larger_than_the_budget(most: int, formats: tuple[str, ...], tmp_path: Path) -> None:
    for row in rows_of(tmp_path, most, formats).values():
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


def counted(folder: Path, most: int, size_of, compare=None) -> tuple[list[tuple[int, int, int]], Gaussians, int]:
    """Return what was written, as (degree, coarse, count), where a file is as large as ``size_of`` says, and the best.

    The file that is there in the end must be the best one's.
    """
    seen, held = [], {}

    def write(path: Path, some: Gaussians, coarse: int) -> None:
        seen.append((some.sh_degree, coarse, len(some)))
        path.write_bytes(bytes(size_of(some, coarse)))
        held[path.stat().st_size] = some

    path = folder / "g.any"
    judge = compare and Judge(read=lambda path: held[path.stat().st_size], compare=compare)
    best, coarse = Budget(most_bytes=most, weights=weights()).fit(scene(), path, write, judge, coarsest=2)
    assert path.stat().st_size == size_of(best, coarse) <= most
    assert [file.name for file in folder.iterdir()] == ["g.any"]
    return seen, best, path.stat().st_size


def test_a_degree_that_could_only_be_worse_is_not_written(tmp_path: Path) -> None:
    seen, best, _ = counted(
        tmp_path, 30_000, lambda some, coarse: len(some) * (10 - coarse), lambda got: got.sh_degree + len(got) / 5000
    )
    assert {degree for degree, _, _ in seen} == {3}
    assert best.sh_degree == 3


def test_a_candidate_is_found_in_few_attempts_however_sizes_grow(tmp_path: Path) -> None:
    for power in (0.6, 1.0, 1.5):

        def size_of(some: Gaussians, coarse: int, power: float = power) -> int:
            return 2000 + round(len(some) ** power * (some.sh_degree + 2) * (6 - coarse))

        most = size_of(scene().take(slice(COUNT // 3)), 0)
        seen, best, size = counted(tmp_path, most, size_of)
        assert len(seen) <= 36
        assert size > 0.85 * most or len(best) == COUNT


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


def test_where_a_format_may_be_coarser_all_gaussians_and_harmonics_are_kept_by_it(tmp_path: Path) -> None:
    fine = rows_of(tmp_path, 10_000_000, ("spz",))["spz"]["size_bytes"]
    row = rows_of(tmp_path, round(0.93 * fine), ("spz",), compare=lambda got: len(got) / COUNT + got.sh_degree)["spz"]
    assert (row["gaussians"], row["psnr_db"]) == (COUNT, 4)
    assert row["left_out"] == f"written with {spz.COARSER[0]}"
    assert row["size_bytes"] <= 0.93 * fine


def test_of_coarser_numbers_and_fewer_gaussians_what_costs_the_pictures_least_is_taken(tmp_path: Path) -> None:
    fine = rows_of(tmp_path, 10_000_000, ("spz",))["spz"]["size_bytes"]
    here = scene()

    def blurred(got: Gaussians) -> float:  # a judge who sees the least error of a harmonic, and nothing else
        near = {tuple(place): row for place, row in zip(here.means.round(2).tolist(), here.sh, strict=True)}
        off = [np.abs(near[key] - row).max() for key, row in zip(map(tuple, got.means.round(2).tolist()), got.sh,
               strict=True) if key in near and row.shape == near[key].shape]  # fmt: skip
        return -float(np.max(off, initial=9)) if len(off) < 100 else -float(np.max(off))

    row = rows_of(tmp_path, round(0.85 * fine), ("spz",), compare=blurred)["spz"]
    assert row["gaussians"] < COUNT
    assert "written with" not in row["left_out"]


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.coarser])
def test_each_step_coarser_is_smaller_and_off_by_no_more_than_it_says(name: str, tmp_path: Path) -> None:
    kind, here = FORMATS[name], scene()
    want = here.take(kind.order(here))
    span = np.ptp(want.means, axis=0).max()
    sizes = []
    for coarse in range(len(kind.coarser) + 1):
        path = tmp_path / f"{coarse}{kind.suffix}"
        kind.save(path, here, coarse=coarse)
        got = kind.read(path)
        sizes.append(path.stat().st_size)
        assert np.abs(got.means - want.means).max() < span / (1 << (9 if name == "sog" else 11))  # sog bends its scale
        assert np.abs(got.sh - want.sh).max() < (0.07, 0.13, 0.26)[coarse] + (0.8 if name == "sog" else 0)
        np.testing.assert_allclose(got.opacities, want.opacities, atol=0.01)
    assert sizes[0] > sizes[1] > sizes[2]
