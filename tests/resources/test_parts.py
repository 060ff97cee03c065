"""The parts of a cross-job table become one a day, and whoever reads meanwhile sees every row once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from resources import parts
from resources.followed import Followed
from resources.objects import ObjectPlace
from resources.stores import FileStore
from splat_pipeline.domain.tables import FREED

DAY_S = 86_400
LATER_S = time.time() + 3 * DAY_S
"""When all that a test writes was written on a day that is over."""


@pytest.fixture
def store(anywhere: str, tmp_path: Path) -> FileStore:
    made = FileStore(f"{anywhere}/store", f"{anywhere}/given", local=tmp_path / "local")
    add(made, *range(5))
    return made


def add(store: FileStore, *numbers: int) -> None:
    for number in numbers:
        row = {column.name: None for column in FREED.columns}
        told = {"kind": "uploads", "product": "standard", "job": "j", "because": "old", "name": str(number)}
        store.append(FREED, [{**row, **told, "size_bytes": number, "utc": "2026-11-20T00:00:00Z"}])


def read(store: FileStore) -> list[int]:
    return sorted(store.rows(FREED)["size_bytes"])


def merge(store: FileStore, *, now_s: float = LATER_S) -> int:
    return store.merge_tables([FREED], now_s=now_s)


def test_the_parts_of_a_day_that_is_over_become_one_that_says_the_same(store: FileStore):
    assert merge(store, now_s=time.time()) == 0, "today may still be written to"
    before = store.rows(FREED)
    assert merge(store) == 5
    assert len(parts.parts_of(store.place, FREED)) == 1
    pd.testing.assert_frame_equal(store.rows(FREED), before)
    assert merge(store) == 0
    add(store, 5)
    assert read(store) == [*range(6)]
    here = store.place.here(parts.table_home(FREED))
    if here is not None:
        assert sorted(pd.read_parquet(here)["size_bytes"]) == [*range(6)], "pandas reads the folder as one"


def test_what_a_merge_that_was_killed_left_behind_is_passed_over_and_goes_the_next_time(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException): ...

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(type(store.place), "remove", die)
        with pytest.raises(Killed):
            merge(store)
    assert len(parts.parts_of(store.place, FREED)) == 6
    assert read(store) == [*range(5)]
    assert merge(store) == 5
    assert read(store) == [*range(5)]


def test_of_several_merges_at_once_nothing_is_lost_or_doubled(store: FileStore):
    with ThreadPoolExecutor(4) as pool:
        gone = list(pool.map(lambda _: merge(store), range(4)))
    assert max(gone) > 0
    assert read(store) == [*range(5)]
    assert merge(store) >= 0
    assert len(parts.parts_of(store.place, FREED)) == 1


def test_a_reader_whose_listing_is_out_of_date_looks_again(store: FileStore, monkeypatch: pytest.MonkeyPatch):
    old = parts.parts_of(store.place, FREED)
    merge(store)
    now, listings = parts.parts_of(store.place, FREED), iter([old])
    monkeypatch.setattr(parts, "parts_of", lambda *_: next(listings, now))
    assert read(store) == [*range(5)]


@pytest.mark.parametrize("known", [0, 3, 5])
def test_whoever_follows_a_table_counts_each_row_once_over_a_merge(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, known: int
):
    followed = Followed(store.place, FREED)
    with monkeypatch.context() as patched:
        patched.setattr("resources.followed.AT_ONCE", known)
        assert len(followed.rows()) == known
    merge(store)
    add(store, 5)
    assert sorted(followed.rows()["size_bytes"]) == [*range(6)]
    assert sorted(followed.rows()["size_bytes"]) == [*range(6)]


def test_a_part_that_cannot_be_read_is_not_taken_for_one_that_went(store: FileStore, tmp_path: Path):
    if isinstance(store.place, ObjectPlace):
        pytest.skip("a damaged part is the same wherever it lies")
    store.place.write(f"{parts.table_home(FREED)}/part-damaged.parquet", b"no table")
    with pytest.raises(parts.BadTable):
        store.rows(FREED)
