"""A calibration beside clips: which clip is whose, which frames belong together, and what cannot be right."""

from __future__ import annotations

import copy
import json

import numpy as np
import pandas as pd
import pytest

from splat_pipeline.domain.budget import Budget
from splat_pipeline.domain.calibration import Calibration, document
from splat_pipeline.domain.errors import BadCalibration
from splat_pipeline.domain.formats.calibration import calibration_json, read_calibration
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.keyframes import select_keyframes
from splat_pipeline.domain.pairs import instant_pairs
from splat_pipeline.domain.rig import instants, known_lenses, rig_frames

LENS = {"model": "PINHOLE", "width_px": 400, "height_px": 300, "params": [380.0, 381.0, 200.0, 150.0]}
SIT = np.eye(4).tolist()


def beside(x):
    pose = np.eye(4)
    pose[0, 3] = x
    return pose.tolist()


def rig(**changes):
    cameras = {"left": LENS | {"cam_from_rig": SIT}, "Right Cam": LENS | {"cam_from_rig": beside(-0.3)}}
    return {"version": 1, "cameras": cameras} | changes


def known(data=None, clips=None):
    made = read_calibration(data or rig(), file="calibration.json")
    return made.of_clips(clips or {"left": "left.mp4", "right-cam": "Right Cam.mov"}, file="calibration.json")[0]


def test_what_splat_calibrate_writes_is_read():
    lens = ColmapCamera(model="OPENCV", width_px=64, height_px=48, params=(50, 51, 32, 24, 0.1, -0.2, 0.003, 0.004))
    found = Calibration(
        camera=lens, views=20, heldout_views=5, rms_px=0.1, heldout_rms_px=0.2, tilt_deg=20, span=(1, 1)
    )
    made = read_calibration(json.loads(json.dumps(document({"left": found}))), file="calibration.json")
    assert made.cameras["left"].lens == lens
    assert made.rig == []


def test_a_calibration_that_is_written_is_the_one_that_is_read():
    data = rig(tolerance_s=0.02)
    data["cameras"]["left"]["offset_s"] = 0.25
    data["cameras"]["left"] |= {"model": "RADIAL", "params": [380.0, 200.0, 150.0, -0.1, 0.01]}
    again = read_calibration(json.loads(json.dumps(calibration_json(known(data)))), file="x")
    assert list(again.cameras) == again.rig == ["left", "right-cam"]
    assert again.tolerance_s == 0.02
    assert again.cameras["left"].offset_s == 0.25
    assert again.cameras["left"].lens.params == (380.0, 380.0, 200.0, 150.0, -0.1, 0.01, 0.0, 0.0)
    np.testing.assert_allclose(again.cameras["right-cam"].cam_from_rig, beside(-0.3), atol=1e-12)


def broken(path, value):
    data = copy.deepcopy(rig())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "because"),
    [
        (["version"], 2, "not of version 1"),
        (["cameras"], {}, "1 to 64 cameras"),
        (["cameras"], [LENS], "cameras by name"),
        (["tolerance_s"], 0, "tolerance_s is 0"),
        (["tolerance"], 0.1, "unknown key 'tolerance'"),
        (["cameras", "left"], None, "no keys and values"),
        (["cameras", "left", "cam_from_world"], SIT, "left: unknown key 'cam_from_world'"),
        (["cameras", "left", "model"], "FISHEYE", "'FISHEYE' is not one of"),
        (["cameras", "left", "model"], ["PINHOLE"], "is not one of"),
        (["cameras", "left", "params"], [380.0], "PINHOLE has 4 parameters"),
        (["cameras", "left", "params"], "380", "no list of numbers"),
        (["cameras", "left", "params"], [380.0, 381.0, 200.0, float("nan")], "nan, not a number"),
        (["cameras", "left", "params"], [-380.0, 381.0, 200.0, 150.0], "cannot be right"),
        (["cameras", "left", "width_px"], None, "width_px is None"),
        (["cameras", "left", "heldout_rms_px"], 0.9, "0.90 px rms on views held out, 0.5 at most"),
        (["cameras", "left", "offset_s"], 1e6, "more than a day"),
        (["cameras", "left", "cam_from_rig"], None, "only Right Cam has a cam_from_rig"),
        (["cameras", "left", "cam_from_rig"], np.diag([1, 1, -1, 1]).tolist(), "no rotation: determinant -1"),
        (["cameras", "RIGHT-cam"], LENS, "are one name"),
    ],
)
def test_what_cannot_be_a_calibration_is_refused_with_the_value(path, value, because):
    with pytest.raises(BadCalibration, match=because) as caught:
        read_calibration(broken(path, value), file="calibration.json")
    assert caught.value.file == "calibration.json"
    assert "docs/calibration.md" in caught.value.remedy


def test_cameras_are_called_like_clips_or_their_folders():
    clips = {"left": "left.mp4", "cams-right-cam-take1": "cams/Right Cam/take1.mp4", "drone": "drone.mp4"}
    made, told = read_calibration(rig(), file="calibration.json").of_clips(clips, file="calibration.json")
    assert made.rig == ["left", "cams-right-cam-take1"]
    assert told == ["calibration.json does not know the camera of drone.mp4: its lens is found"]


def test_of_one_camera_of_a_rig_the_lens_is_used():
    made, told = read_calibration(rig(), file="c").of_clips({"left": "left.mp4"}, file="c")
    assert (list(made.cameras), made.rig) == (["left"], [])
    assert told == ["c: no clip is of camera Right Cam", "c: only left of the rig was uploaded: its lens is used"]


@pytest.mark.parametrize(
    ("clips", "because"),
    [
        ({"walk": "walk.mp4"}, "of left, Right Cam, and the clips are walk.mp4"),
        ({"left-1": "left/1.mp4", "left-2": "left/2.mp4", "right-cam": "right cam.mp4"}, "left of the rig has several"),
    ],
)
def test_a_calibration_of_other_clips_is_refused(clips, because):
    with pytest.raises(BadCalibration, match=because):
        known(clips=clips)


def keyframes(**columns):
    rows = {"width_px": 200, "height_px": 150} | columns
    return pd.DataFrame(rows | {"keyframe_id": range(len(columns["video_id"]))})


def test_lenses_are_scaled_to_the_kept_images_and_refused_for_another_shape():
    rows = keyframes(video_id=["left", "left", "other"], camera_id=[0, 0, 1])
    (found,) = known_lenses(known(), rows).items()
    assert found[0] == 0
    assert found[1].params == (190.0, 190.5, 100.0, 75.0)
    with pytest.raises(BadCalibration, match="400x300 px is not the shape of 150x200 px"):
        known_lenses(known(), rows.assign(width_px=150, height_px=200))


def test_frames_of_one_instant_are_one_and_of_each_camera_only_one():
    times = np.array([0.0, 1.0, 2.0, 0.004, 1.02, 2.001, 2.003])
    assert instants(times, [0, 0, 0, 1, 1, 1, 1], 0.01) == [[0, 3], [1], [4], [2, 5], [6]]


def test_a_rig_is_told_relative_to_its_first_camera_with_the_images_of_each_instant():
    data = rig()
    data["cameras"]["left"]["cam_from_rig"] = beside(0.1)
    data["cameras"]["Right Cam"]["offset_s"] = -5.0
    rows = keyframes(
        video_id=["left", "left", "drone", "right-cam", "right-cam"],
        camera_id=[0, 0, 1, 2, 2],
        pts_s=[0.0, 1.0, 0.0, 6.002, 7.0],
    )
    found = rig_frames(known(data), rows)
    assert [list(group) for group in found.instants] == [[0], [1, 3], [4]]
    np.testing.assert_allclose(found.cams_from_rig[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(found.cams_from_rig[2], beside(-0.4), atol=1e-12)
    assert rig_frames(known(data), rows[:3]) is None
    assert instant_pairs(found.instants, after=0) == {(1, 3)}
    assert instant_pairs(found.instants, after=1) == {(0, 1), (0, 3), (1, 3), (1, 4), (3, 4)}


def analysed(offset_s=0.0, rejected=()):
    rows = [
        {
            "video_id": name, "frame_index": i, "pts_s": i / 10 - (offset_s if name == "right-cam" else 0),
            "segment_id": name, "sharpness_rel": 1.0, "motion_px": 8.0, "rotation_only": False,
            "tracked_share": 0.99, "quality": 0.5 + 0.01 * (i % 7),
            "reject_reason": "blurred" if (name, i) in rejected else None,
        }
        for name in ("left", "right-cam") for i in range(40)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def select(frames, made):
    sides = {"left": 200.0, "right-cam": 200.0}
    budget = Budget(wanted=30, most=30)
    return select_keyframes(frames, budget, holdout_every=8, longer_side_px=sides, known=made)


def test_keyframes_of_a_rig_are_chosen_by_its_first_camera_and_taken_from_all():
    data = rig()
    data["cameras"]["Right Cam"]["offset_s"] = 0.7
    left, right = ([k for k in select(analysed(0.7), known(data)) if k.video_id == n] for n in ("left", "right-cam"))
    assert 10 <= len(left) <= 15
    assert [k.frame_index for k in left] == [k.frame_index for k in right]
    missing = ("right-cam", left[4].frame_index)
    fewer = [k for k in select(analysed(0.7, rejected=[missing]), known(data)) if k.video_id == "right-cam"]
    assert len(fewer) == len(right) - 1, "a rejected frame is nobody's partner"
    assert [k.keyframe_id for k in [*left, *right]] == list(range(len(left) + len(right)))


def test_clips_that_were_not_filmed_together_are_refused_with_the_gap():
    with pytest.raises(BadCalibration, match=r"100% of the keyframes of left have no frame of right-cam.* 30 ms"):
        select(analysed(0.03), known(rig(tolerance_s=0.02)))
