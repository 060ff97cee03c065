"""Where neighbours lost one another, what is decoded there, and how it is put in order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pieces import piece

from splat_pipeline.domain.links import (
    MOST,
    MOST_A_BREAK,
    Break,
    around,
    breaks,
    bridged,
    linking_rows,
    of_window,
    only,
    woven,
)
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.windows import Window

CLIPS = "aaaaab"
KEYFRAMES = pd.DataFrame(
    {
        "keyframe_id": range(6),
        "video_id": list(CLIPS),
        "pts_s": [0.0, 1, 2, 3, 4, 0],
        "file": [f"images/{clip}/{i}.jpg" for i, clip in enumerate(CLIPS)],
        "width_px": 640,
        "height_px": 480,
        "camera_id": 0,
    }
)


def pair(first, second, inliers=150):
    return MatchedPair(first=first, second=second, far=False, matches=np.zeros((inliers, 2), np.uint32))


def links(*after):
    return pd.DataFrame(
        {
            "keyframe_id": list(after),
            "video_id": "a",
            "pts_s": [k + 0.1 * (i + 1) for i, k in enumerate(after)],
            "file": [f"images/a-links/{i}.jpg" for i in range(len(after))],
            "width_px": 640,
            "height_px": 480,
            "camera_id": 0,
        }
    )


def broken(first=1):
    return Break(first=first, video_id="a", start_s=float(first), stop_s=first + 1.0)


def test_neighbours_of_a_clip_with_few_matches_or_none_are_breaks():
    pairs = [pair("a/0.jpg", "a/1.jpg"), pair("a/1.jpg", "a/2.jpg", 0), pair("a/1.jpg", "a/3.jpg")]
    pairs += [pair("a/2.jpg", "a/3.jpg", 99), pair("a/3.jpg", "a/4.jpg", 100)]
    assert breaks(KEYFRAMES, pairs) == [broken(1), broken(2)], "a clip's end is none"


def frames(count=100, clip="a"):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "video_id": clip,
            "pts_s": np.arange(count) / 20,
            "sharpness": rng.random(count),
            "duplicate_of": [float(i - 1) if i % 10 == 5 else np.nan for i in range(count)],
        }
    )


def test_the_sharpest_frames_of_equal_stretches_of_a_break_are_taken():
    table = frames()
    chosen = [at for _, at in linking_rows(table, [broken(1)])]
    assert len(chosen) == MOST_A_BREAK
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(range(21, 40)) - {25, 35}, "strictly between the keyframes, repeats left out"
    assert int(table["sharpness"][21:40].drop([25, 35]).idxmax()) in chosen
    assert np.diff(table["pts_s"][chosen]).max() < 0.25


def test_a_clip_in_pieces_costs_no_more_than_so_many_frames():
    many = [Break(first=i, video_id="a", start_s=i / 2, stop_s=(i + 1) / 2) for i in range(400)]
    chosen = linking_rows(frames(5000), many)
    assert len(chosen) <= MOST
    assert len({each.first for each, _ in chosen}) == MOST // 3
    assert linking_rows(frames(clip="b"), [broken()]) == []


def test_linking_frames_stand_between_their_keyframes_and_only_in_windows_that_hold_both():
    rows = woven(KEYFRAMES, links(1, 1, 2))
    assert rows["file"].str.split("/", n=1).str[1].tolist() == [
        "a/0.jpg", "a/1.jpg", "a-links/0.jpg", "a-links/1.jpg", "a/2.jpg", "a-links/2.jpg", "a/3.jpg", "a/4.jpg",
        "b/5.jpg",
    ]  # fmt: skip
    assert of_window(rows, Window(window_id=0, first=1, stop=3))["link"].tolist() == [False, True, True, False]
    assert around(woven(KEYFRAMES, links(1)), 1)["keyframe_id"].tolist() == [1, 1, 2]
    assert around(woven(KEYFRAMES, links(1)), 2)["keyframe_id"].tolist() == [0, 1, 1, 2, 3]


def test_no_linking_frames_change_nothing():
    rows = woven(KEYFRAMES, links())
    assert not rows["link"].any()
    assert rows["link"].dtype == bool
    assert rows["file"].tolist() == KEYFRAMES["file"].tolist()


@pytest.mark.parametrize(
    ("ties", "tied"),
    [
        ([("a/1", "a-links/0", 40), ("a-links/0", "a-links/1", 40), ("a-links/1", "a/2", 40)], 1),
        ([("a/1", "a-links/0", 40), ("a-links/0", "a-links/1", 5), ("a-links/1", "a/2", 40)], 0),
        ([], 0),
    ],
)
def test_a_break_is_bridged_when_a_way_leads_across(ties, tied):
    names = [file.removeprefix("images/").removesuffix(".jpg") for file in KEYFRAMES["file"]]
    found = bridged([broken(1)], names, KEYFRAMES["keyframe_id"].tolist(), [pair(*tie) for tie in ties])
    assert len(found) == tied


def test_a_model_is_thinned_to_the_keyframes():
    model = piece(0, 0, 5).model
    left = only(model, {"a/0.jpg", "a/2.jpg", "a/9.jpg"})
    assert [image.name for image in left.images.values()] == ["a/0.jpg", "a/2.jpg"]
    assert (left.points.track_lengths == 2).all()
