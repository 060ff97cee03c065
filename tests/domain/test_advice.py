"""Advice follows from what was measured, names the clip, and is silent where nothing could be better."""

from __future__ import annotations

from splat_pipeline.domain.advice import advice_of
from splat_pipeline.domain.errors import Blurred, FewRegistered
from splat_pipeline.domain.gaps import Gap
from splat_pipeline.domain.quality import judge

NAMES = {"a": "walk.mp4", "b": "yard.mp4"}


def test_a_capture_without_fault_gets_no_advice() -> None:
    gates = [judge("registered_well", 0.9)]
    assert advice_of(gates, [], {"a": {"blurred": 0.1}}, names=NAMES, psnr_heldout_db=30.0) == ()


def test_a_failed_gate_a_gap_and_bad_frames_each_say_what_to_do_and_where() -> None:
    gates = [judge("registered_well", 0.7), judge("sharp_enough", 0.9), judge("learned_well", 18.0)]
    lost = [
        Gap(video_id="a", first_s=1.0, last_s=2.0, keyframes=2),
        Gap(video_id="b", first_s=77.04, last_s=80.0, keyframes=9),
    ]
    shares = {"a": {"blurred": 0.31, "clip: TooDark: black": 1.0}, "b": {"duplicate": 0.1}}
    said = advice_of(gates, lost, shares, names=NAMES, psnr_heldout_db=18.0)
    assert said[0] == f"registered well: {FewRegistered.remedy}"
    assert said[1].startswith("yard.mp4, 77.0 to 80.0 s: no pose was found for 9 frames.")
    assert said[2].startswith("walk.mp4, 1.0 to 2.0 s")
    assert said[3] == f"walk.mp4: 31% of the frames are blurred. {Blurred.remedy}"
    assert said[4].startswith("Unseen views are matched softly")
    assert len(said) == 5


def test_what_was_not_measured_is_no_reason_for_advice() -> None:
    assert advice_of([], [], {}, names={}, psnr_heldout_db=None) == ()
