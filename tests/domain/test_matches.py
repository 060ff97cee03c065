"""The match graph on disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.errors import BadTable
from splat_pipeline.domain.matches import MatchedPair, read_pairs, write_pairs
from splat_pipeline.domain.pairs import loop_pairs


def pair(first, second, count, **more):
    matches = np.arange(2 * count, dtype=np.uint32).reshape(-1, 2)
    return MatchedPair(first=first, second=second, far=False, matches=matches, **more)


def test_pairs_are_read_as_they_were_written(tmp_path):
    geometry = np.full((3, 3, 3), np.nan)
    geometry[0] = np.arange(9.0).reshape(3, 3)
    pose = np.arange(12.0).reshape(3, 4)
    known = pair("a", "b", 40, config="PLANAR", geometry=geometry, second_from_first=pose)
    write_pairs(tmp_path / "p.parquet", [known, pair("a", "c", 0)])
    first, second = read_pairs(tmp_path / "p.parquet")
    assert (first.first, first.second, first.inliers, first.config) == ("a", "b", 40, "PLANAR")
    np.testing.assert_array_equal(first.matches, known.matches)
    np.testing.assert_array_equal(first.geometry, geometry)
    np.testing.assert_array_equal(first.second_from_first, pose)
    assert (second.inliers, second.config, second.geometry) == (0, None, None)


def test_a_window_takes_the_pairs_within_it(tmp_path):
    names = [f"{i}" for i in range(40)]
    write_pairs(tmp_path / "p.parquet", [pair(a, b, 1) for a in names for b in names if a < b])
    inside = {(p.first, p.second) for p in read_pairs(tmp_path / "p.parquet", {"1", "2", "3"})}
    assert inside == {("1", "2"), ("1", "3"), ("2", "3")}
    assert len(list(read_pairs(tmp_path / "p.parquet"))) == 40 * 39 // 2


def test_what_is_no_match_graph_is_refused(tmp_path):
    (tmp_path / "p.parquet").write_bytes(b"no table")
    with pytest.raises(BadTable, match=r"p\.parquet cannot be read as matches"):
        list(read_pairs(tmp_path / "p.parquet"))


@given(st.integers(0, 60), st.integers(1, 30), st.integers(1, 4))
def test_loops_lie_apart_in_the_order(count, apart, each):
    looks = np.random.default_rng(count).random((count, 8)).astype(np.float32)
    pairs = loop_pairs(looks, apart=apart, each=each)
    assert all(apart < j - i for i, j in pairs)
    assert len(pairs) <= each * count


def test_a_place_seen_again_is_found_once_however_alike_its_neighbours_are():
    place = np.repeat(np.eye(20, dtype=np.float32), 5, axis=0)  # 100 images, five of each place
    looks = np.concatenate([place, place[:5]])
    pairs = loop_pairs(looks, apart=30, each=2)
    assert pairs
    assert all(j >= 100 and i < 5 for i, j in pairs), "nothing else is seen twice"
