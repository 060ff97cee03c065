"""An upload is requested once, when it has stopped changing, whatever the history of listings."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from splat_pipeline.domain.inbox import (
    MAX_REQUESTS,
    MAX_WATCHED,
    PATIENCE,
    Cursor,
    Moment,
    Seen,
    again,
    decide,
    dump,
    key_of,
    parse,
)

STABLE_S = 30.0


def seen(stamp: str = "a", *, complete: bool = False, unfinished: bool = False, modified_ns: int = 0) -> Seen:
    return Seen(stamp=stamp, complete=complete, unfinished=unfinished, modified_ns=modified_ns)


def poll(cursor: Cursor, looks: dict[str, Seen], s: float, clock: str = "boot") -> tuple[Cursor, list[str]]:
    """Decide, through the text that Dagster keeps between two polls."""
    return decide(parse(dump(cursor)), looks, now=Moment(clock=clock, s=s), stable_s=STABLE_S)


def history(*polls: tuple[float, dict[str, Seen]]) -> list[list[str]]:
    cursor, out = Cursor(), []
    for s, looks in polls:
        cursor, ready = poll(cursor, looks, s)
        out.append(ready)
    return out


def test_an_unchanged_upload_is_requested_after_the_quiet_time_and_only_once():
    x = {"x": seen()}
    assert history((0, x), (29, x), (30, x), (300, x)) == [[], [], ["x"], []]


def test_a_change_starts_the_wait_anew():
    assert history((0, {"x": seen("a")}), (20, {"x": seen("b")}), (40, {"x": seen("b")}), (60, {"x": seen("b")})) == [
        [],
        [],
        [],
        ["x"],
    ]


def test_an_upload_that_paused_is_given_twice_its_pause():
    a, b = {"x": seen("a")}, {"x": seen("b")}
    assert history((0, a), (29, b), (29 + 57, b), (29 + 58, b)) == [[], [], [], ["x"]]


def test_a_pause_longer_than_the_quiet_time_makes_a_new_version_and_more_patience():
    a, b, c = {"x": seen("a")}, {"x": seen("b")}, {"x": seen("c")}
    polls = [(0, a), (30, a), (100, b), (130, b), (300, b), (310, c), (310 + 299, c), (310 + 300, c)]
    assert history(*polls) == [[], ["x"], [], [], ["x"], [], [], ["x"]]


def test_a_marker_ends_the_wait_at_once():
    assert history((0, {"x": seen(complete=True, unfinished=True)})) == [["x"]]


def test_what_is_empty_or_half_there_is_given_more_time_and_then_taken_so_that_it_gets_its_error():
    x = {"x": seen(unfinished=True)}
    assert history((0, x), (STABLE_S * 2, x), (STABLE_S * PATIENCE, x)) == [[], [], ["x"]]


def test_what_left_and_came_again_is_requested_again():
    x = {"x": seen(complete=True)}
    assert history((0, x), (1, {}), (2, x)) == [["x"], [], ["x"]]


def test_after_a_restart_the_clock_begins_anew_and_so_do_the_waits():
    x = {"x": seen()}
    cursor, _ = poll(Cursor(), x, 5000)
    cursor, ready = poll(cursor, x, 10, clock="next boot")
    assert ready == []
    cursor, ready = poll(cursor, x, 39, clock="next boot")
    assert ready == []
    cursor, ready = poll(cursor, x, 40, clock="next boot")
    assert ready == ["x"]
    assert poll(cursor, x, 5, clock="third boot")[1] == []


def test_a_clock_that_jumps_back_neither_loses_nor_doubles_an_upload():
    x = {"x": seen()}
    assert history((1000, x), (10, x), (39, x), (40, x), (5, x), (90, x)) == [[], [], [], ["x"], [], []]


def test_more_than_a_tick_may_start_waits_for_the_next_tick_oldest_first():
    many = {f"u{i:03d}": seen(complete=True, modified_ns=-i) for i in range(MAX_REQUESTS + 5)}
    cursor, first = poll(Cursor(), many, 0)
    _, second = poll(cursor, many, 1)
    assert (first[0], first[-1]) == (f"u{MAX_REQUESTS + 4:03d}", "u005")
    assert sorted(first + second) == sorted(many)


def test_the_cursor_is_bounded_and_what_is_beyond_it_comes_when_there_is_room():
    looks = {f"{'long name ' * 20}{i}": seen(complete=True, modified_ns=i) for i in range(MAX_WATCHED + 30)}
    cursor, requested = Cursor(), []
    for s in range(MAX_WATCHED // MAX_REQUESTS + 2):
        cursor, ready = poll(cursor, looks, s)
        requested += ready
        assert len(dump(cursor)) < 60_000
    assert len(requested) == MAX_WATCHED
    for name in requested[:30]:  # their runs ended: they left
        del looks[name]
    for s in range(2):
        cursor, ready = poll(cursor, looks, 100 + s)
        requested += ready
    assert len(requested) == len(set(requested)) == MAX_WATCHED + 30


def test_what_could_not_be_requested_is_tried_again():
    x = {"x": seen(complete=True)}
    cursor, ready = poll(Cursor(), x, 0)
    assert poll(again(cursor, ready, now=Moment(clock="boot", s=0)), x, 1)[1] == ["x"]


def test_what_waits_does_not_keep_others_from_their_turn():
    looks = {f"u{i:03d}": seen(complete=True, modified_ns=i) for i in range(MAX_REQUESTS * 2)}
    cursor, first = poll(Cursor(), looks, 0)
    _, second = poll(again(cursor, first, now=Moment(clock="boot", s=1)), looks, 2)
    assert sorted(first + second) == sorted(looks)


def test_the_cursor_of_another_version_begins_anew():
    assert parse('{"x": ["a", 1.0, "changing"]}') == parse(None) == Cursor()


NAMES, STAMPS = "xyz", "ab"
ROUNDED_S = 0.1
"""What a cursor does not remember of a time."""
LISTINGS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(STAMPS), max_size=3),
        st.floats(0, 60),
        st.integers(0, 20).map(lambda n: n == 0),
    ),
    max_size=14,
)


@given(LISTINGS)
def test_over_any_history_each_stay_and_stamp_is_requested_at_most_once(
    polls: list[tuple[dict[str, str], float, bool]],
):
    cursor, last, requested = Cursor(), {}, set()
    now_s, boots = 0.0, 0
    for names, step_s, restart in polls:
        now_s, boots = (0.0, boots + 1) if restart else (now_s + step_s, boots)
        requested = {(name, stamp) for name, stamp in requested if names.get(name) == stamp and name in last}
        cursor, ready = poll(cursor, {n: seen(s) for n, s in names.items()}, now_s, clock=str(boots))
        for name in ready:
            assert (name, names[name]) not in requested
            requested.add((name, names[name]))
        last = names


@given(LISTINGS)
def test_over_any_history_nothing_is_requested_that_changed_within_the_quiet_time(
    polls: list[tuple[dict[str, str], float, bool]],
):
    cursor, now_s, since_s, last = Cursor(), 0.0, {}, {}
    for names, step_s, _ in polls:
        now_s += step_s
        since_s = {n: since_s[n] if last.get(n) == stamp else now_s for n, stamp in names.items()}
        cursor, ready = poll(cursor, {n: seen(s) for n, s in names.items()}, now_s)
        assert all(now_s - since_s[name] >= STABLE_S - ROUNDED_S for name in ready)
        last = names


@given(LISTINGS, st.dictionaries(st.sampled_from(NAMES), st.sampled_from(STAMPS), min_size=1))
def test_after_any_history_what_stays_is_requested_within_the_longest_wait(
    polls: list[tuple[dict[str, str], float, bool]], at_last: dict[str, str]
):
    cursor, now_s, requested = Cursor(), 0.0, {}
    looks = {name: seen(stamp) for name, stamp in at_last.items()}
    for names, step_s, _ in [*polls, (at_last, 10.0, False), (at_last, STABLE_S * PATIENCE + ROUNDED_S, False)]:
        now_s += step_s
        requested = {name: stamp for name, stamp in requested.items() if names.get(name) == stamp}
        cursor, ready = poll(cursor, {n: seen(s) for n, s in names.items()}, now_s)
        requested |= {name: names[name] for name in ready}
    assert requested == at_last
    assert set(cursor.entries) == {key_of(name) for name in looks}
