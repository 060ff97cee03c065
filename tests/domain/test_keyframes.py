"""Keyframes are in order, few enough, and never leave a gap that breaks overlap."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis.extra.numpy import arrays

from splat_pipeline.domain.keyframes import (
    LARGEST_GAP,
    SPACING,
    pick,
    places_of,
    select_keyframes,
    sharp_share,
    thinned,
)
from splat_pipeline.domain.recipe import FrameRecipe

UNIT = st.floats(0, 1)


def table(count: int, *, motion_px: float = 8.0, segments: int = 1, video_id: str = "a") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "video_id": video_id,
            "frame_index": np.arange(count) * 3,
            "pts_s": np.arange(count) / 10,
            "segment_id": [f"{i * segments // count:04d}-{video_id}" for i in range(count)],
            "motion_px": motion_px,
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
    return places_of(steps), quality, good


@given(segments(), st.floats(0.03, 0.3))
def test_no_gap_is_wider_than_allowed_unless_two_neighbours_are(segment, spacing: float) -> None:
    places, quality, good = segment
    kept = pick(places, quality, good, spacing=spacing)
    assert kept == sorted(set(kept))
    assert kept
    widest_step = float(np.diff(places).max(initial=0.0))
    allowed = max(1.5 * spacing, LARGEST_GAP) + widest_step + 1e-9
    assert (np.diff(places[kept]) <= allowed).all()
    assert places[kept[0]] <= max(LARGEST_GAP, 0.5 * spacing) + widest_step + 1e-9
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
    recipe = FrameRecipe(max_keyframes=most)
    frames = table(count, motion_px=motion_px, segments=min(parts, count))
    kept = select_keyframes(frames, recipe, longer_side_px={"a": 480})
    assert 1 <= len(kept) <= most
    assert [k.keyframe_id for k in kept] == list(range(len(kept)))
    assert [k.pts_s for k in kept] == sorted(k.pts_s for k in kept)
    names = [f"{k.segment_id}/{k.keyframe_id:05d}" for k in kept]
    assert names == sorted(names)


def test_standing_still_gives_one_keyframe() -> None:
    assert len(select_keyframes(table(100, motion_px=0.0), FrameRecipe(), longer_side_px={"a": 480})) == 1


def test_short_clips_are_sampled_more_densely() -> None:
    slow = select_keyframes(table(60, motion_px=10.0), FrameRecipe(), longer_side_px={"a": 480})
    assert len(slow) > 60 * 10 / 480 / SPACING * 1.3


def test_the_sharpest_of_a_stretch_is_kept() -> None:
    frames = table(300, motion_px=4.0)
    frames["quality"] = np.tile([0.1, 0.1, 0.9, 0.1, 0.1], 60)
    frames.loc[frames["quality"] < 0.5, "reject_reason"] = "blurred"
    kept = select_keyframes(frames, FrameRecipe(), longer_side_px={"a": 480})
    assert {(k.frame_index // 3) % 5 for k in kept} == {2}


def test_photos_are_all_kept_or_thinned_evenly_and_refused_clips_give_nothing() -> None:
    photos = table(30, video_id="set")
    photos.loc[7, "reject_reason"] = "bare"
    frames = pd.concat([photos, table(20, video_id="bad").assign(reject_reason="clip: TooDark")])
    sizes = {"set": 480, "bad": 480}
    kept = select_keyframes(frames, FrameRecipe(), longer_side_px=sizes, image_sets=["set", "bad"])
    assert [k.frame_index // 3 for k in kept] == [i for i in range(30) if i != 7]
    few = select_keyframes(frames, FrameRecipe(max_keyframes=10), longer_side_px=sizes, image_sets=["set", "bad"])
    assert len(few) == 10
    assert (few[0].frame_index, few[-1].frame_index) == (0, 87)


def test_holdouts_are_spread_and_the_sharp_share_counts() -> None:
    kept = select_keyframes(table(300), FrameRecipe(holdout_every=4), longer_side_px={"a": 480})
    held = [k.keyframe_id for k in kept if k.holdout]
    assert set(np.diff(held)) == {4}
    assert sharp_share(kept) == 1.0
    assert sharp_share([]) == 0.0


@given(st.lists(st.integers(), unique=True), st.integers(1, 50))
def test_thinning_keeps_order_and_ends(rows: list[int], most: int) -> None:
    kept = thinned(rows, most)
    assert len(kept) == min(len(rows), most)
    assert kept == [row for row in rows if row in set(kept)]
