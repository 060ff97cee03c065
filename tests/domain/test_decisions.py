"""Every analysed frame is told why it was kept or not; the budget follows detail and memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from splat_pipeline.domain import tables
from splat_pipeline.domain.budget import MEMORY_SHARE, WANTED, Budget, budget_of
from splat_pipeline.domain.decisions import (
    BEST,
    BRIDGE,
    FIRST,
    NEAR,
    NO_POSE,
    OVER,
    PHOTO,
    STANDS_STILL,
    WORSE,
    decisions,
)
from splat_pipeline.domain.keyframes import select_keyframes
from splat_pipeline.domain.recipe import Recipe

SIDES = {"a": 480.0, "set": 480.0}


def frames_of(count: int = 120, *, video_id: str = "a") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "video_id": video_id,
            "frame_index": np.arange(count),
            "pts_s": np.arange(count) / 10,
            "segment_id": f"0000-{video_id}",
            "motion_px": 6.0,
            "tracked_share": 0.95,
            "rotation_only": False,
            "sharpness_rel": 1.0,
            "quality": rng.permutation(count) / (count - 1),
            "reject_reason": None,
        }
    )


def decided(frames: pd.DataFrame, *, most: int = 160, sets: tuple[str, ...] = (), **options) -> pd.DataFrame:
    budget = Budget(wanted=most, most=most)
    kept = select_keyframes(frames, budget, holdout_every=8, longer_side_px=SIDES, image_sets=sets)
    rows = decisions(frames, kept, longer_side_px=SIDES, image_sets=sets, **options)
    return tables.to_table(tables.DECISIONS, rows).to_pandas()


def test_every_frame_has_one_reason_and_kept_ones_are_the_keyframes() -> None:
    rows = decided(frames_of())
    assert rows["frame_index"].tolist() == list(range(120))
    assert set(rows.loc[rows["kept"], "because"]) == {FIRST, BEST}
    assert set(rows.loc[~rows["kept"], "because"]) == {NEAR, WORSE}
    assert rows["because"].tolist().count(FIRST) == 1
    assert rows["place"].is_monotonic_increasing


def test_standing_still_and_poor_frames_are_called_so() -> None:
    frames = frames_of()
    frames.loc[40:60, "motion_px"] = 0.0
    frames.loc[80, "reject_reason"] = "duplicate"
    rows = decided(frames)
    still = rows.loc[40:60]
    assert still["kept"].sum() <= 1
    assert set(still.loc[~still["kept"], "because"]) <= {STANDS_STILL, WORSE, NEAR}
    assert rows.loc[80, "because"] == "duplicate"


def test_a_long_poor_stretch_is_bridged_and_marked() -> None:
    frames = frames_of()
    frames.loc[40:80, "reject_reason"] = "blurred"
    rows = decided(frames)
    bridges = rows[rows["bridge"]]
    assert set(bridges["because"]) == {BRIDGE}
    assert bridges["frame_index"].between(40, 80).all()
    assert np.diff(rows.loc[rows["kept"], "place"]).max() <= 0.25 + 6 / 480
    assert set(rows.loc[40:80][~rows["kept"].loc[40:80]]["because"]) == {"blurred"}


def test_photos_are_photos_and_those_beyond_the_budget_say_so() -> None:
    rows = decided(frames_of(30, video_id="set"), most=10, sets=("set",))
    assert rows["because"].value_counts().to_dict() == {OVER: 20, PHOTO: 10}


def test_frames_without_a_pose_could_not_be_chosen() -> None:
    rows = decided(frames_of(), posed={("a", i) for i in range(100)})
    assert set(rows.loc[100:, "because"]) == {NO_POSE}


@pytest.mark.parametrize("detail", sorted(WANTED))
def test_the_budget_follows_the_detail_and_grows_into_memory_only(detail: str) -> None:
    recipe = Recipe().overridden({"detail": detail}, source="job.yaml")
    large = budget_of(recipe, free_bytes=10**10, width_px=1280, height_px=720)
    assert large == Budget(wanted=WANTED[detail], most=int(MEMORY_SHARE * 10**10 / (3 * 1280 * 720)))
    small = budget_of(recipe, free_bytes=10**6, width_px=1280, height_px=720)
    assert small.most == small.wanted == WANTED[detail]
    assert budget_of(recipe, free_bytes=None, width_px=1280, height_px=720) == small


def test_a_number_in_the_job_file_is_a_limit() -> None:
    recipe = Recipe().overridden({"frames": {"max_keyframes": 70}}, source="job.yaml")
    assert budget_of(recipe, free_bytes=10**12, width_px=640, height_px=480) == Budget(wanted=70, most=70)
