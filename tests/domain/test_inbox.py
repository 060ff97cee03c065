"""An upload is requested once, when it has stopped changing, whatever the history of listings."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from splat_pipeline.domain.inbox import EMPTY_PATIENCE, MAX_REQUESTS, Seen, decide, dump, parse

STABLE_S = 30.0


def seen(stamp: str = "a", *, complete: bool = False, empty: bool = False) -> Seen:
    return Seen(stamp=stamp, complete=complete, empty=empty)


def test_an_unchanged_upload_is_requested_after_the_quiet_time_and_only_once():
    cursor, ready = decide({}, {"x": seen()}, now_s=0, stable_s=STABLE_S)
    assert ready == []
    cursor, ready = decide(cursor, {"x": seen()}, now_s=29, stable_s=STABLE_S)
    assert ready == []
    cursor, ready = decide(cursor, {"x": seen()}, now_s=30, stable_s=STABLE_S)
    assert ready == ["x"]
    cursor, ready = decide(cursor, {"x": seen()}, now_s=300, stable_s=STABLE_S)
    assert ready == []


def test_a_change_starts_the_wait_anew():
    cursor, _ = decide({}, {"x": seen("a")}, now_s=0, stable_s=STABLE_S)
    cursor, ready = decide(cursor, {"x": seen("b")}, now_s=31, stable_s=STABLE_S)
    assert ready == []
    _, ready = decide(cursor, {"x": seen("b")}, now_s=61, stable_s=STABLE_S)
    assert ready == ["x"]


def test_a_marker_ends_the_wait_at_once():
    assert decide({}, {"x": seen(complete=True)}, now_s=0, stable_s=STABLE_S)[1] == ["x"]


def test_an_empty_folder_is_given_more_time_and_then_taken_so_that_it_gets_its_error():
    cursor, _ = decide({}, {"x": seen(empty=True)}, now_s=0, stable_s=STABLE_S)
    cursor, ready = decide(cursor, {"x": seen(empty=True)}, now_s=STABLE_S * 2, stable_s=STABLE_S)
    assert ready == []
    assert decide(cursor, {"x": seen(empty=True)}, now_s=STABLE_S * EMPTY_PATIENCE, stable_s=STABLE_S)[1] == ["x"]


def test_what_left_and_came_again_is_requested_again():
    cursor, _ = decide({}, {"x": seen(complete=True)}, now_s=0, stable_s=STABLE_S)
    cursor, _ = decide(cursor, {}, now_s=1, stable_s=STABLE_S)
    assert decide(cursor, {"x": seen(complete=True)}, now_s=2, stable_s=STABLE_S)[1] == ["x"]


def test_a_clock_that_jumps_back_neither_loses_nor_doubles_an_upload():
    cursor, ready = decide({}, {"x": seen()}, now_s=1000, stable_s=STABLE_S)
    cursor, ready = decide(cursor, {"x": seen()}, now_s=10, stable_s=STABLE_S)
    assert ready == []
    cursor, ready = decide(cursor, {"x": seen()}, now_s=40, stable_s=STABLE_S)
    assert ready == ["x"]
    assert decide(cursor, {"x": seen()}, now_s=5, stable_s=STABLE_S)[1] == []


def test_more_than_a_tick_may_start_waits_for_the_next_tick():
    many = {f"u{i:03d}": seen(complete=True) for i in range(MAX_REQUESTS + 5)}
    cursor, first = decide({}, many, now_s=0, stable_s=STABLE_S)
    _, second = decide(cursor, many, now_s=1, stable_s=STABLE_S)
    assert sorted(first + second) == sorted(many)


@given(st.lists(st.dictionaries(st.sampled_from("xyz"), st.sampled_from("ab"), max_size=3), max_size=12))
def test_over_any_history_each_stay_and_stamp_is_requested_at_most_once(history: list[dict[str, str]]):
    cursor, last, requested = {}, {}, set()
    for tick, names in enumerate(history):
        for name in set(last) - set(names):
            requested -= {(name, s) for s in "ab"}
        requested -= {(n, s) for n, s in requested if names.get(n) != s}
        cursor, ready = decide(
            parse(dump(cursor)), {n: seen(s) for n, s in names.items()}, now_s=tick * 20.0, stable_s=STABLE_S
        )
        for name in ready:
            assert (name, names[name]) not in requested
            requested.add((name, names[name]))
        last = names


@given(st.dictionaries(st.sampled_from("xyz"), st.booleans(), max_size=3))
def test_nothing_that_stays_unchanged_is_forgotten(names: dict[str, bool]):
    looks = {name: seen(complete=complete) for name, complete in names.items()}
    cursor, first = decide({}, looks, now_s=0, stable_s=STABLE_S)
    _, second = decide(cursor, looks, now_s=STABLE_S, stable_s=STABLE_S)
    assert sorted(first + second) == sorted(names)
