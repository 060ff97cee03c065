"""Frames of clips are found by name and time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from splat_pipeline.domain.clip_poses import UNKNOWN, ClipFrames, at_frames, clip_rows
from splat_pipeline.domain.errors import BadPoses
from splat_pipeline.domain.given import GivenFrame, GivenPoses


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a/walk.mp4#t=1.5", True),
        ("a/walk.mp4#t=12", True),
        ("walk.mp4#t=1.5", False),
        ("a/walk.mp4", False),
        ("a/walk.mp4#t=-1", False),
        ("a/walk.mp4#t=nan", False),
        ("a/walk.mp4#t=1e3", False),
        (3, False),
    ],
)
def test_a_frame_is_a_clip_and_a_time(name, known):
    assert (name in ClipFrames(["a/walk.mp4"])) is known


def given(*names):
    frames = [GivenFrame(name=name, camera_id=0, cam_from_world=np.eye(4)) for name in names]
    return GivenPoses(source="colmap", cameras={}, frames=frames)


FRAMES = pd.DataFrame({"video_id": ["w"] * 4, "frame_index": [0, 3, 6, 9], "pts_s": [0.0, 0.1001, 0.2002, 0.3003]})


def test_times_find_the_frames_at_them_each_once():
    names = ["w.mp4#t=0.2", "w.mp4#t=0.15", "w.mp4#t=0.201", "other.mp4#t=0", "w.mp4#t=0.000"]
    rows = pd.DataFrame(clip_rows(given(*names), {"w": "w.mp4"}))
    assert set(rows["frame_index"]) == {UNKNOWN}
    assert at_frames(rows, FRAMES)["frame_index"].tolist() == [6, 0]


def test_times_of_no_frame_are_an_error():
    rows = pd.DataFrame(clip_rows(given("w.mp4#t=0.05", "w.mp4#t=9"), {"w": "w.mp4"}))
    with pytest.raises(BadPoses, match="none of 2 poses"):
        at_frames(rows, FRAMES)
