"""Alike failures of different jobs have one signature, different ones have different ones."""

from __future__ import annotations

import pytest

from splat_pipeline.domain.alike import code_in, salient_of, signature_of
from splat_pipeline.domain.errors import CorruptArtifact, SplatError, TooDark, ToolCrashed


def dark(clip: str, frames: int, luma: int, spans: str) -> TooDark:
    cause = f"{clip} ({frames} frames): median brightness {luma} of 255, at least 14 is needed; too dark {spans}"
    return TooDark(cause, file=clip)


def test_what_belongs_to_one_job_is_not_in_the_signature():
    one = signature_of(dark("clip one.mp4", 90, 3, "from 0.0 to 2.3 s"), "frame_quality")
    other = signature_of(
        dark("B/DSC_12.MOV", 1240, 11, "from 0.5 to 1.2 s, from 3.0 to 4.0 s and from 5.0 to 9.1 s and 3 times more"),
        "frame_quality",
    )
    assert one == other
    assert one == (
        "too-dark | frame_quality | <file> (# frames): median brightness # of #, at least # is needed; too dark "
        "from # to # s"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            ToolCrashed("ffmpeg ended with 1: /tmp/a-1/x.mp4: bad"),
            ToolCrashed("ffmpeg ended with 234: /srv/b/y.mov: bad"),
        ),
        (CorruptArtifact("'a b' of job x is 3f9a2c11dd0e"), CorruptArtifact("'c' of job x is 0011223344556677")),
        (ValueError("shape (3, 4) at 0.5%"), ValueError("shape (12, 1) at 1e-3%")),
    ],
)
def test_names_numbers_and_places_do_not_tell_failures_apart(one: Exception, other: Exception):
    assert signature_of(one, "window_0003") == signature_of(other, "window_0120")


def test_class_stage_and_evidence_tell_failures_apart():
    errors = [ToolCrashed("ffmpeg ended with 1"), ToolCrashed("colmap ended with 1"), SplatError("ffmpeg ended with 1")]
    seen = {signature_of(error, stage) for error in errors for stage in ("exports", "preview")}
    assert len(seen) == 6
    assert {code_in(each) for each in seen} == {"tool-crashed", "internal"}


def test_an_error_of_the_code_is_internal_and_says_its_type():
    assert signature_of(ZeroDivisionError("division by zero"), "splat") == (
        "internal | splat | ZeroDivisionError: division by zero"
    )
    assert signature_of(KeyError(), "splat") == "internal | splat | KeyError"
    assert code_in(signature_of(MemoryError("8 GB"), "splat")) == "out-of-memory"


def test_who_ended_a_run_is_not_an_internal_error():
    assert signature_of(KeyboardInterrupt(), "splat") == "cancelled | splat | KeyboardInterrupt"


def test_a_long_cause_is_cut_and_a_row_of_before_is_its_own_class():
    assert len(salient_of("word " * 100)) <= 120
    assert code_in("TooDark") == "TooDark"
