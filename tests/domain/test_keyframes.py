"""Keyframes are in order, few enough, and never leave a gap that breaks overlap."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from splat_pipeline.domain.budget import Budget
from splat_pipeline.domain.keyframes import (
    LARGEST_GAP,
    SPACING,
    WIDEST,
    pick,
    select_keyframes,
    sharp_share,
    thinned,
)
from splat_pipeline.domain.places import UNKNOWN_STEP, steps_of

UNIT = st.floats(0, 1)
PLENTY = Budget(wanted=160, most=160)


def selected(frames: pd.DataFrame, budget: Budget = PLENTY, **options):
    options = {"holdout_every": 8, "longer_side_px": {"a": 480, "set": 480, "bad": 480}} | options
    return select_keyframes(frames, budget, **options)


def table(
    count: int,
    *,
    motion_px: float = 8.0,
    segments: int = 1,
    video_id: str = "a",
    tracked: float = 0.99,
    rotation: bool = False,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "video_id": video_id,
            "frame_index": np.arange(count) * 3,
            "pts_s": np.arange(count) / 10,
            "segment_id": [f"{i * segments // count:04d}-{video_id}" for i in range(count)],
            "motion_px": motion_px,
            "tracked_share": tracked,
            "rotation_only": rotation,
            "sharpness_rel": 1.0,
            "quality": np.linspace(0, 1, count),
            "reject_reason": None,
        }
    )


@st.composite
def segments(draw):
    count = draw(st.integers(1, 80))
    steps = draw(arrays(float, count, elements=st.one_of(st.floats(0, 0.3), st.just(np.nan))))
    quality = draw(arrays(float, count, elements=UNIT))
    good = draw(arrays(bool, count))
    tracked = draw(arrays(float, count, elements=st.one_of(st.floats(0, 1), st.just(np.nan))))
    places = np.cumsum(steps_of(steps, tracked))
    return places - places[0], quality, good


@given(segments(), st.floats(0.03, 0.3))
def test_no_gap_is_wider_than_allowed_unless_two_neighbours_are(segment, spacing: float) -> None:
    places, quality, good = segment
    kept = pick(places, quality, good, spacing=spacing)
    assert kept == sorted(set(kept))
    assert kept
    allowed = max(1.5 * spacing, LARGEST_GAP) + 1e-9
    for before, after in pairwise(kept):
        assert places[after] - places[before] <= allowed or after == before + 1
    assert places[kept[0]] <= allowed
    assert places[-1] - places[kept[-1]] <= allowed


@given(segments())
def test_a_rejected_frame_is_kept_only_where_no_good_one_is_near(segment) -> None:
    places, quality, good = segment
    kept = pick(places, quality, good, spacing=SPACING)
    for before, at in zip([None, *kept], kept, strict=False):
        if not good[at] and before is not None:
            near = (places >= places[before] + 0.5 * SPACING) & (places <= places[before] + LARGEST_GAP)
            assert not (good & near & (np.arange(len(places)) > before))[: at + 1].any()


@given(st.integers(1, 200), st.floats(0, 100), st.integers(1, 5), st.integers(8, 60))
def test_the_cap_holds_and_order_is_kept(count: int, motion_px: float, parts: int, most: int) -> None:
    frames = table(count, motion_px=motion_px, segments=min(parts, count))
    kept = selected(frames, Budget(wanted=most, most=most))
    assert 1 <= len(kept) <= most
    assert [k.keyframe_id for k in kept] == list(range(len(kept)))
    assert [k.pts_s for k in kept] == sorted(k.pts_s for k in kept)
    names = [f"{k.segment_id}/{k.keyframe_id:05d}" for k in kept]
    assert names == sorted(names)


def test_gaps_are_regular_where_all_is_as_good_and_give_way_to_what_is_blurred() -> None:
    places, good = np.arange(60) / 4.0, np.ones(60, bool)
    assert set(np.diff(pick(places, np.full(60, 0.8), good, spacing=1.0)[:-1])) == {4}
    noise = np.random.default_rng(0).uniform(0.78, 0.82, 60)
    assert set(np.diff(pick(places, noise, good, spacing=1.0)[:-1])) == {4}
    blurred = np.where(np.arange(60) % 4 == 3, 0.4, 0.8)
    assert not [i for i in pick(places, blurred, good, spacing=1.0) if i % 4 == 3]


def test_standing_still_gives_one_keyframe() -> None:
    assert len(selected(table(100, motion_px=0.0))) == 1


def test_lost_tracks_take_nothing_from_what_is_seen_where_there_is_a_limit() -> None:
    frames = table(400, motion_px=6.0).assign(tracked_share=np.where(np.arange(400) // 20 == 10, 0.5, 0.99))
    seen = frames.assign(tracked_share=0.99)
    limit = Budget(wanted=60, most=60)
    lossy, clean = ([k.frame_index // 3 for k in selected(each, limit)] for each in (frames, seen))
    on_top = [k.frame_index // 3 for k in selected(frames, Budget(wanted=60, most=200))]
    blind = set(range(199, 221))
    assert len(on_top) > 1.2 * len(clean)
    assert len(lossy) <= 60
    assert len(set(lossy) - blind) >= len(set(clean) - blind) - 1
    assert len(set(lossy) & blind) >= len(set(clean) & blind)


def test_what_is_filmed_slowly_is_kept_more_densely_than_its_motion_asks_for_but_a_stand_still_is_not() -> None:
    paces = {"slow": 1.0, "fast": 5.0, "still": 0.05}
    frames = pd.concat([table(60, motion_px=pace) for pace in paces.values()], ignore_index=True)
    frames = frames.assign(frame_index=np.arange(180), pts_s=np.arange(180) / 10, segment_id="0000-a")
    at = np.array([keyframe.frame_index for keyframe in selected(frames)])
    slow, fast, still = (int(np.count_nonzero((at >= low) & (at < low + 60))) for low in (0, 60, 120))
    assert fast > slow > 1.5 * fast * paces["slow"] / paces["fast"]
    assert still <= 1


def test_motion_is_read_as_large_where_tracks_are_lost() -> None:
    """The few tracks that outlive a fast blurred turn are the slow ones."""
    steps = steps_of(np.array([0.01, 0.01, 0.01, np.nan, np.nan]), np.array([0.95, 0.4, 0.1, 0.0, np.nan]))
    assert steps[0] == 0.01
    assert 0.08 < steps[1] < steps[2] < steps[3]
    assert steps[2] > LARGEST_GAP
    assert steps[4] == UNKNOWN_STEP


def test_lost_tracks_multiply_as_steps_add() -> None:
    once, twice = steps_of(np.zeros(2), np.array([0.9 * 0.5, 0.9 * 0.25]))
    assert twice == pytest.approx(2 * once)


def test_where_tracks_are_lost_every_frame_is_kept_and_the_one_before() -> None:
    frames = table(200, motion_px=2.0)
    frames.loc[100:105, "tracked_share"] = 0.1
    kept = [k.frame_index // 3 for k in selected(frames)]
    assert set(range(99, 106)) <= set(kept)
    assert len(kept) < 60


def test_a_turn_on_the_spot_is_kept_less_densely_but_never_beyond_overlap() -> None:
    walked, turned = selected(table(600)), selected(table(600, rotation=True))
    assert len(turned) < 0.75 * len(walked)
    places = np.array([k.frame_index / 3 * 8 / 480 for k in turned])
    assert np.diff(places).max() < LARGEST_GAP


def test_a_wish_for_few_keyframes_ends_where_overlap_does_and_a_limit_does_not() -> None:
    frames = table(600)
    length = 600 * 8 / 480
    wished, limited = selected(frames, Budget(wanted=10, most=500)), selected(frames, Budget(wanted=10, most=20))
    assert length / LARGEST_GAP < len(wished) < length / WIDEST * 1.2
    assert len(limited) <= 20


def test_short_clips_are_sampled_more_densely() -> None:
    slow = selected(table(60, motion_px=10.0))
    assert len(slow) > 60 * 10 / 480 / SPACING * 1.3


def test_the_sharpest_of_a_stretch_is_kept() -> None:
    frames = table(300, motion_px=4.0)
    frames["quality"] = np.tile([0.1, 0.1, 0.9, 0.1, 0.1], 60)
    frames.loc[frames["quality"] < 0.5, "reject_reason"] = "blurred"
    kept = selected(frames)
    assert {(k.frame_index // 3) % 5 for k in kept} == {2}


def test_photos_are_all_kept_or_thinned_evenly_and_refused_clips_give_nothing() -> None:
    photos = table(30, video_id="set")
    photos.loc[7, "reject_reason"] = "bare"
    frames = pd.concat([photos, table(20, video_id="bad").assign(reject_reason="clip: TooDark")])
    kept = selected(frames, image_sets=["set", "bad"])
    assert [k.frame_index // 3 for k in kept] == [i for i in range(30) if i != 7]
    few = selected(frames, Budget(wanted=10, most=10), image_sets=["set", "bad"])
    assert len(few) == 10
    assert (few[0].frame_index, few[-1].frame_index) == (0, 87)


def test_holdouts_are_spread_and_the_sharp_share_counts() -> None:
    kept = selected(table(300), holdout_every=4)
    held = [k.keyframe_id for k in kept if k.holdout]
    assert set(np.diff(held)) == {4}
    assert sharp_share(kept) == 1.0
    assert sharp_share([]) == 0.0


@given(st.lists(st.integers(), unique=True), st.integers(1, 50))
def test_thinning_keeps_order_and_ends(rows: list[int], most: int) -> None:
    kept = thinned(rows, most)
    assert len(kept) == min(len(rows), most)
    assert kept == [row for row in rows if row in set(kept)]
