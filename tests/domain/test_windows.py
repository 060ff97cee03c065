import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.errors import MissingWindow
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.tables import ATTEMPTS, WINDOWS, to_table
from splat_pipeline.domain.windows import Window, complete, offered, plan_windows, settle, window_row

STRATEGIES = ("global", "incremental", "incremental-wide")


RECIPE = PoseRecipe(window_over=100, window_size=50, window_overlap=15)


def keyframes(*clips):
    videos = [f"clip{i}" for i, count in enumerate(clips) for _ in range(count)]
    return pd.DataFrame({"keyframe_id": range(len(videos)), "video_id": videos})


def attempt(registered, *, outcome="model", strategy="global"):
    return {
        "window_id": 0, "attempt": 0, "strategy": strategy, "registered": registered, "models": 1,
        "signature": "partial", "features": None, "linked": None, "flat": None,
        "rms_px": 0.5 if registered else float("nan"), "outcome": outcome, "seconds": 2.0, "peak_rss_bytes": 100,
    }  # fmt: skip


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_every_keyframe_lies_in_a_window_and_no_window_in_two_clips(clips):
    frames = keyframes(*clips)
    windows = plan_windows(frames, RECIPE)
    assert [window.window_id for window in windows] == list(range(len(windows)))
    inside = [set(window.of(frames)["keyframe_id"]) for window in windows]
    assert set().union(*inside) == set(range(sum(clips)))
    if sum(clips) <= RECIPE.window_over:
        assert len(windows) == 1
        return
    clip_of = [set(window.of(frames)["video_id"]) for window in windows]
    assert all(len(clip) == 1 for clip in clip_of)
    assert max(map(len, inside)) <= RECIPE.window_size
    for i in range(len(windows) - 1):
        if clip_of[i] == clip_of[i + 1]:
            assert RECIPE.window_overlap <= len(inside[i] & inside[i + 1]) < RECIPE.window_size
            assert len(inside[i]) == RECIPE.window_size


def test_a_clip_in_windows_is_cut_evenly():
    windows = plan_windows(keyframes(200), RECIPE)
    assert [(w.first, w.stop) for w in windows] == [(0, 50), (30, 80), (60, 110), (90, 140), (120, 170), (150, 200)]


def test_no_keyframes_need_no_window():
    assert plan_windows(keyframes(0), RECIPE) == []


def test_a_lost_window_is_named():
    planned = [Window(window_id=i, first=10 * i, stop=10 * i + 10) for i in range(3)]
    complete(planned, [2, 0, 1])
    with pytest.raises(MissingWindow, match=r"1 of 3 windows are missing: window_0001") as caught:
        complete(planned, [0, 2])
    assert caught.value.retry == "never"


def test_the_mapper_of_the_recipe_is_honoured():
    assert offered(STRATEGIES, "auto") == list(STRATEGIES)
    assert offered(STRATEGIES, "global") == ["global"]
    assert offered(STRATEGIES, "incremental") == ["incremental", "incremental-wide"]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=5))
def test_the_attempt_with_most_images_is_kept(registered):
    attempts = [attempt(n, outcome="model" if n else "failed") for n in registered]
    best, rows = settle(attempts)
    assert (best is None) == (max(registered) == 0)
    if best is not None:
        assert registered[best] == max(registered)
        assert [row["outcome"] for row in rows].count("kept") == 1
        assert rows[best]["outcome"] == "kept"
    to_table(ATTEMPTS, rows)


def test_a_crash_stays_a_crash_beside_what_was_kept():
    _, rows = settle([attempt(0, outcome="crashed"), attempt(5), attempt(9)])
    assert [row["outcome"] for row in rows] == ["crashed", "weaker", "kept"]


def test_the_window_sums_up_its_attempts():
    window = Window(window_id=0, first=0, stop=10)
    best, rows = settle([attempt(0, outcome="timeout"), attempt(9, strategy="incremental")])
    row = window_row(window, rows, best)
    assert (row["registered"], row["strategy"], row["attempts"], row["seconds"]) == (9, "incremental", 2, 4.0)
    assert row["failure_signature"] is None
    to_table(WINDOWS, [row])


def test_a_window_without_model_says_what_was_tried():
    window = Window(window_id=0, first=0, stop=10)
    best, rows = settle([attempt(0, outcome="failed"), attempt(0, outcome="crashed", strategy="incremental")])
    row = window_row(window, rows, best)
    assert row["failure_signature"] == "global: failed, incremental: crashed"
    to_table(WINDOWS, [row])
