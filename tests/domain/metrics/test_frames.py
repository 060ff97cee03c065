"""Each figure of what was filmed, on good footage and on footage that is damaged in one way."""

from __future__ import annotations

import pandas as pd
import pytest

from splat_pipeline.domain.metrics.frames import frame_metrics
from splat_pipeline.domain.quality import judge_all


def film(
    count: int = 40, *, step: float = 0.05, luma: float = 110.0, swing: float = 0.0, cut_every: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Frames, keyframes and decisions of a clip of which every frame is kept."""
    at = range(count)
    segment = [f"{i // cut_every:04d}-a" if cut_every else "0000-a" for i in at]
    named = {"video_id": "a", "frame_index": at, "pts_s": [i / 5 for i in at], "segment_id": segment}
    frames = pd.DataFrame(
        {
            **named, "reject_reason": None, "motion_px": 5.0, "rotation_only": False, "epipolar_share": 0.95,
            "noise": 0.8, "luma_mean": [luma * 2 ** (swing * (i % 2)) for i in at],
        }
    )  # fmt: skip
    keyframes = pd.DataFrame({**named, "keyframe_id": at})
    decisions = pd.DataFrame({**named, "place": [i * step for i in at], "kept": True})
    return frames, keyframes, decisions


def failed(frames: pd.DataFrame, keyframes: pd.DataFrame, decisions: pd.DataFrame) -> set[str]:
    verdicts = judge_all(frame_metrics(frames, keyframes, decisions, clips=["a"]))
    return {verdict.gate for verdict in verdicts if not verdict.passed}


def test_good_footage_passes_every_gate():
    assert failed(*film()) == set()


@pytest.mark.parametrize(
    ("how", "gate"),
    [
        ({"count": 7}, "enough_keyframes"),
        ({"step": 0.002}, "moves_enough"),
        ({"cut_every": 2}, "overlaps"),
        ({"swing": 1.0}, "exposed_evenly"),
    ],
)
def test_footage_that_is_wrong_in_one_way_fails_the_gate_for_it(how, gate: str):
    assert failed(*film(**how)) == {gate}


def test_noise_is_told_first_and_refused_when_it_hides_everything():
    frames, keyframes, decisions = film()
    assert failed(frames.assign(noise=8.0), keyframes, decisions) == {"clean_well"}
    assert failed(frames.assign(noise=16.0), keyframes, decisions) == {"clean_well", "clean"}
    assert failed(frames.assign(noise=[99.0, *[0.8] * 39]), keyframes, decisions) == set()
    assert failed(frames.assign(noise=None), keyframes, decisions) == set()


def test_footage_that_overlaps_nowhere_is_warned_of_and_refused():
    assert failed(*film(step=0.4)) == {"overlaps", "overlaps_at_all"}


@pytest.mark.parametrize(
    ("column", "value", "gate"),
    [
        ("reject_reason", "blurred", "usable"),
        ("rotation_only", True, "turns_little"),
        ("epipolar_share", 0.5, "stands_still"),
    ],
)
def test_frames_that_are_wrong_in_one_way_fail_the_gate_for_it(column: str, value, gate: str):
    frames, keyframes, decisions = film()
    for share, wrong in ((0.3, set()), (0.8, {gate})):
        damaged = frames.copy()
        damaged[column] = damaged[column].astype(object)
        damaged.loc[damaged.index < share * len(frames), column] = value
        assert failed(damaged, keyframes, decisions) == wrong, share


def test_repeated_frames_are_no_fault_of_the_footage():
    frames, keyframes, decisions = film()
    frames.loc[frames.index < 35, "reject_reason"] = "duplicate"
    assert failed(frames, keyframes, decisions) == set()


def test_photos_are_no_neighbours_in_time():
    metrics = frame_metrics(*film(step=0.4), clips=[])
    assert metrics["overlap_share"] is None


def test_a_camera_that_stands_has_no_frames_that_turn():
    frames, keyframes, decisions = film()
    frames["motion_px"], frames["rotation_only"] = 0.0, True
    assert frame_metrics(frames, keyframes, decisions, clips=["a"])["rotation_only_share"] is None
