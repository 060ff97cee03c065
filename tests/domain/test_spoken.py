"""Verdicts in the report read as sentences, the worst first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from splat_pipeline.domain.quality import LIMITS, judge
from splat_pipeline.domain.spoken import spoken, told_plainly, worst_first


@pytest.mark.parametrize(
    ("gate", "value", "words"),
    [
        ("stands_still", 0.3077, "dynamic share 30.8 %, must be at most 25 %"),
        ("reprojection_well", 0.5, "rms 0.5 px, must be at most 1.5 px"),
        ("learned", 29.04, "psnr heldout 29.04 dB, must be at least 12 dB"),
        ("triangulated", 26.6, "tri angle 26.6°, must be at least 0.5°"),
        ("loop_gap", None, "loop shift after does not apply"),
    ],
)
def test_a_verdict_has_words_and_units(gate: str, value: float | None, words: str) -> None:
    assert spoken(judge(gate, value)) == words


def test_every_gate_can_be_spoken_without_a_name_of_a_column() -> None:
    for gate in LIMITS:
        assert "_" not in spoken(judge(gate, 1.0))


def test_a_note_and_who_lifted_a_gate_are_told() -> None:
    noted = judge("stands_still", 0.5, note="between 3 and 5 s")
    assert spoken(noted).endswith("; between 3 and 5 s")
    lifted = replace(noted, limit=replace(noted.limit, lifted="job.yaml"))
    assert "lifted by job.yaml" in spoken(lifted)


def test_lines_that_repeat_a_verdict_are_put_in_words_and_others_stay() -> None:
    verdict = judge("stands_still", 0.3077)
    lines = ["asked for: reduced", f"stands_still: {verdict.because}"]
    assert told_plainly(lines, [verdict]) == [
        "asked for: reduced",
        "stands still: dynamic share 30.8 %, must be at most 25 %",
    ]


def test_what_failed_stands_first_and_what_does_not_apply_last() -> None:
    gates = [judge("loop_gap", None), judge("learned", 29.0), judge("stands_still", 0.9), judge("learned", 2.0)]
    assert {gate.limit.severity for gate in gates[2:]} == {"WARN", "ERROR"}
    shown, well = worst_first(gates)
    assert [gate.limit.severity for gate in shown] == ["ERROR", "WARN"]
    assert [gate.applies for gate in well] == [True, False]
