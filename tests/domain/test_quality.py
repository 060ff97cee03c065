"""Gates: a number, a limit, a verdict, and what it means for the detail."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from gates import metrics_of
from hypothesis import given

from splat_pipeline.domain.plans import Detail
from splat_pipeline.domain.quality import (
    LIMITS,
    allowed_detail,
    judge,
    judge_all,
    judge_stage,
    read_verdicts,
    write_verdicts,
)


@pytest.mark.parametrize("gate", LIMITS)
def test_every_gate_passes_on_its_limit_and_fails_just_beyond(gate: str):
    limit = LIMITS[gate]
    worse = math.nextafter(limit.bound, -math.inf if limit.at_least is not None else math.inf)
    assert judge(gate, limit.bound).passed
    assert not judge(gate, worse).passed


@pytest.mark.parametrize("gate", LIMITS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_passes(gate: str, value: float):
    assert not judge(gate, value).passed


def test_every_metric_is_judged_in_one_stage_and_an_error_goes_further_than_its_warning():
    by_metric: dict[str, list] = {}
    for limit in LIMITS.values():
        by_metric.setdefault(limit.metric, []).append(limit)
    for metric, limits in by_metric.items():
        assert len({limit.stage for limit in limits}) == 1, metric
        if len(limits) == 2:
            error, warning = sorted(limits, key=lambda limit: limit.severity)
            assert (error.severity, warning.severity) == ("ERROR", "WARN")
            assert judge_all({metric: warning.bound})[0].passed, metric


def test_good_numbers_leave_full_detail_without_reasons():
    verdicts = judge_stage("camera_poses", metrics_of("camera_poses", registered_share=1.0, rms_px=0.6))
    assert allowed_detail(verdicts) == (Detail.FULL, [])


def test_a_failed_warning_lowers_the_detail_and_says_why():
    detail, reasons = allowed_detail(judge_all({"registered_share": 0.6, "rms_px": 0.6}))
    assert detail is Detail.REDUCED
    assert reasons == ["registered_well: registered_share 0.6, must be at least 0.8"]


@given(st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_verdicts_read_back_are_the_verdicts_written(share: float, rms_px: float):
    verdicts = judge_all({"registered_share": share, "rms_px": rms_px, "components": None})
    with tempfile.TemporaryDirectory() as folder:
        write_verdicts(Path(folder) / "gates.json", verdicts)
        again = read_verdicts(Path(folder) / "gates.json")
    assert [(v.gate, v.passed) for v in again] == [(v.gate, v.passed) for v in verdicts]
