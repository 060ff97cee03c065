"""Weak footage is refused for its reason; scores are relative to the clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import (
    Blurred,
    MovingObjects,
    NoTexture,
    RotationOnly,
    StaticCamera,
    TooDark,
    TooShort,
)
from splat_pipeline.domain.frames import FrameMeasure
from splat_pipeline.domain.scoring import refused, score_clip, sharpness_rel
from splat_pipeline.domain.thumbnails import Thumbnails, thumbnail_name
from splat_pipeline.domain.verdicts import judge_clip, spans

GOOD = FrameMeasure(
    frame_index=0, pts_s=0.0, sharpness=200.0, luma_mean=120.0, clipped_low=0.0, clipped_high=0.0, contrast=55.0,
    texture=0.9, motion_px=8.0, parallax=0.1, rotation_only=False, difference=15.0, tracked_share=0.9,
    static_share=0.0, dynamic_share=0.0,
)  # fmt: skip


def clip(count: int = 40, **changes) -> list[FrameMeasure]:
    return [replace(GOOD, frame_index=3 * i, pts_s=i / 10, **changes) for i in range(count)]


def test_good_footage_is_accepted() -> None:
    assert judge_clip(clip(), name="a.mp4") is None


@pytest.mark.parametrize(
    ("measures", "error"),
    [
        (clip(7), TooShort),
        (clip(15), TooShort),
        ([], TooShort),
        (clip(luma_mean=5.0), TooDark),
        (clip(texture=0.01), NoTexture),
        (clip(sharpness=3.0), Blurred),
        (clip(static_share=0.8, motion_px=0.01), StaticCamera),
        (clip(static_share=0.16), StaticCamera),
        (clip(motion_px=0.05), StaticCamera),
        (clip(rotation_only=True), RotationOnly),
        (clip(epipolar_share=0.4), MovingObjects),
    ],
)
def test_weak_footage_is_refused_by_name(measures: list[FrameMeasure], error: type) -> None:
    verdict = judge_clip(measures, name="a.mp4")
    assert type(verdict) is error
    assert verdict.file == "a.mp4"
    assert "a.mp4" in verdict.cause


def test_frames_that_were_shown_twice_do_not_make_a_camera_stand() -> None:
    doubled = [replace(m, motion_px=0.0, difference=0.0) if i % 2 else m for i, m in enumerate(clip(40))]
    assert judge_clip(doubled, name="a.mp4") is None
    frozen = [replace(m, motion_px=0.0, difference=0.0) if i else m for i, m in enumerate(clip(40))]
    assert isinstance(judge_clip(frozen, name="a.mp4"), StaticCamera)


def test_eight_photos_have_no_duration_to_be_too_short_by() -> None:
    assert judge_clip(clip(8), name="set", images=True) is None


def test_verdicts_tell_when_in_the_clip() -> None:
    dark = [replace(m, luma_mean=4.0) if m.pts_s > 1.45 else m for m in clip(40)]
    verdict = judge_clip(dark, name="a.mp4")
    assert isinstance(verdict, TooDark)
    assert "from 1.5 to 3.9 s" in verdict.cause
    flicker = [replace(m, luma_mean=4.0 if i % 4 else 90.0) for i, m in enumerate(clip(40))]
    assert "6 times more" in spans(flicker, lambda m: m.luma_mean < 10)
    assert spans(flicker, lambda m: m.luma_mean < 10, images=True) == "in 30 of them"


def test_a_camera_that_turns_now_and_then_is_not_refused() -> None:
    measures = [replace(m, rotation_only=i % 5 != 0) for i, m in enumerate(clip(40))]
    assert judge_clip(measures, name="a.mp4") is None


def test_a_camera_that_pauses_is_no_fixed_camera() -> None:
    pause = [replace(m, static_share=0.9, motion_px=0.0) for m in clip(15)]
    moving = [replace(m, pts_s=m.pts_s + 1.5) for m in clip(40)]
    assert judge_clip([*pause, *moving], name="a.mp4") is None


def test_sharpness_is_relative_to_its_neighbours() -> None:
    measures = clip(60)
    measures[30] = replace(measures[30], sharpness=60.0)
    relative = sharpness_rel(measures)
    assert relative[30] == pytest.approx(0.3)
    assert relative[29] == pytest.approx(1.0)
    doubled = [replace(m, sharpness=2 * m.sharpness) for m in measures]
    assert np.allclose(sharpness_rel(doubled), relative)


def test_a_cut_and_a_freeze_end_segments_and_rows_fit_their_tables() -> None:
    measures = clip(60)
    measures[20] = replace(measures[20], tracked_share=0.0, difference=70.0, motion_px=None)
    for i in range(35, 50):
        measures[i] = replace(measures[i], difference=0.0, motion_px=0.0)
    score = score_clip("a", measures, first_segment=3)
    assert [(s["segment_id"], s["frames"], s["ended_by"]) for s in score.segments] == [
        ("0003-a", 20, "cut"),
        ("0004-a", 30, "freeze"),
        ("0005-a", 10, "end"),
    ]
    assert {row["duplicate_of"] for row in score.frames[35:50]} == {34 * 3}
    assert [row["reject_reason"] for row in score.frames[34:36]] == [None, "duplicate"]
    tables.to_table(tables.FRAMES, score.frames)
    tables.to_table(tables.SEGMENTS, score.segments)


def test_a_jump_of_exposure_ends_a_segment_and_is_no_cut() -> None:
    measures = clip(30, phash="ff00ff00ff00ff00")
    for i in range(10, 20):
        measures[i] = replace(measures[i], luma_mean=60.0)
    measures[20] = replace(measures[20], tracked_share=0.0, difference=60.0)
    assert [s["ended_by"] for s in score_clip("a", measures, first_segment=0).segments] == ["exposure"] * 2 + ["end"]
    measures[20] = replace(measures[20], phash="00ff00ff00ff00ff")
    assert [s["ended_by"] for s in score_clip("a", measures, first_segment=0).segments] == ["exposure", "cut", "end"]


def test_a_photo_that_came_twice_is_kept_once() -> None:
    photos = [
        replace(m, phash=f"{i * 0x0101010101010101:016x}", luma_mean=100.0 + 3 * i) for i, m in enumerate(clip(9))
    ]
    again = replace(photos[2], frame_index=99)
    score = score_clip("set", [*photos, again], first_segment=0, images=True)
    assert [row["duplicate_of"] for row in score.frames] == [None] * 9 + [photos[2].frame_index]
    assert score.frames[-1]["reject_reason"] == "duplicate"


def test_lost_tracks_at_two_frames_a_second_are_no_cut() -> None:
    measures = [replace(m, pts_s=m.pts_s * 5, tracked_share=0.0, difference=60.0) for m in clip()]
    assert len(score_clip("a", measures, first_segment=0).segments) == 1


def test_every_frame_of_a_refused_clip_says_so() -> None:
    score = refused(score_clip("a", clip(), first_segment=0), "StaticCamera")
    assert {row["reject_reason"] for row in score.frames} == {"clip: StaticCamera"}


@pytest.mark.parametrize("count", [1, 7, 48, 500])
def test_thumbnails_stay_few_and_spread(count: int) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    thumbnails = Thumbnails(most=48)
    stripped = list(thumbnails.strip("a", clip(count, thumbnail=picture)))
    assert all(measure.thumbnail is None for measure in stripped)
    spread = thumbnails.spread(score_clip("a", stripped, first_segment=0).frames)
    assert len(spread) == min(48, count)
    assert len({thumbnail_name(row) for row, _ in spread}) == len(spread)
    assert spread[0][0]["frame_index"] == 0
