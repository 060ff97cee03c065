"""The table of gates, and what a job may ask of it."""

from __future__ import annotations

import math
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.gates import SCENES, Limit
from splat_pipeline.domain.plans import Detail
from splat_pipeline.domain.quality import (
    LIFT,
    LIMITS,
    allowed_detail,
    judge,
    judge_all,
    judge_stage,
    lifted,
    read_verdicts,
    stopping,
    table_for,
    write_verdicts,
)
from splat_pipeline.domain.recipe import Recipe


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_with_a_number_of_its_own_is_judged_by_it_and_told_so(scene: str):
    own = {gate: limit for gate, limit in LIMITS.items() if scene in limit.scenes}
    for gate, limit in table_for(scene).items():
        assert limit.bound == own[gate].scenes[scene] if gate in own else limit.bound == LIMITS[gate].bound
        worse = math.nextafter(limit.bound, -math.inf if limit.at_least is not None else math.inf)
        verdict = judge(gate, worse, table=table_for(scene))
        assert not verdict.passed
        assert (f"for {scene} scenes" in verdict.because) == (gate in own)


def test_an_unknown_scene_is_judged_by_the_numbers_of_all():
    assert table_for("auto") == LIMITS


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3), st.sampled_from(sorted(LIMITS)))
def test_a_value_that_passes_still_passes_when_it_gets_better(value: float, better: float, gate: str):
    up = LIMITS[gate].at_least is not None
    if judge(gate, value).passed:
        assert judge(gate, value + better if up else value - better).passed


@given(st.dictionaries(st.sampled_from(sorted({v.metric for v in LIMITS.values()})), st.floats(-10, 100)))
def test_failed_warnings_only_ever_lower_the_detail(metrics: dict[str, float]):
    rungs = list(Detail)
    before = Detail.FULL
    for count in range(len(metrics) + 1):
        now, _ = allowed_detail(judge_all(dict(list(metrics.items())[:count])))
        assert rungs.index(now) >= rungs.index(before)
        before = now


def test_a_metric_that_was_not_measured_is_a_mistake_and_one_that_does_not_apply_is_told():
    with pytest.raises(KeyError):
        judge_stage("camera_poses", {"registered_share": 1.0})
    verdict = judge("loop_gap", None)
    assert (verdict.passed, verdict.applies, verdict.because) == (True, False, "loop_shift_after does not apply")


def test_a_job_may_set_a_number_one_for_a_scene_or_lift_a_gate(tmp_path):
    asked = {"registered_well": 0.7, "tracked": {"aerial": 2.0}, "registered": LIFT}
    recipe = Recipe().overridden({"gates": asked}, source="job.yaml")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    table = table_for("aerial", recipe.gates)
    assert (table["registered_well"].bound, table["tracked"].bound) == (0.7, 2.0)
    assert table_for("indoor", recipe.gates)["tracked"].bound == LIMITS["tracked"].bound
    verdicts = judge_all({"registered_share": 0.1}, table)
    assert [(v.gate, v.passed, v.holds, v.severity) for v in verdicts] == [
        ("registered", False, True, "WARN"),
        ("registered_well", False, False, "WARN"),
    ]
    assert stopping(verdicts) == []
    by_hand = lifted(LIMITS, ["registered"], by="me")
    write_verdicts(tmp_path / "gates.json", judge_all({"registered_share": 0.1}, by_hand))
    again = read_verdicts(tmp_path / "gates.json")
    assert again[0].because == "registered_share 0.1, must be at least 0.4; lifted by me"
    assert again[1].limit.lifted == ""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"nonsense": 1.0}, "unknown gate nonsense; known are enough_keyframes"),
        ({"registered": False}, "registered: a number, numbers by scene type, or lift"),
        ({"registered": "drop"}, "gates.registered"),
        ({"registered": float("nan")}, "finite"),
        ({"registered": {"underwater": 1.0}}, "underwater"),
        ([1], "gates"),
    ],
)
def test_what_a_job_may_not_ask_of_gates_is_refused_by_name(asked, said: str):
    with pytest.raises(BadJobFile, match=re.escape(said)):
        Recipe().overridden({"gates": asked}, source="job.yaml")


def test_a_row_needs_exactly_one_number():
    with pytest.raises(ValueError, match="one of at_least and at_most"):
        Limit(stage="splat", metric="x", severity="WARN", error=BadJobFile)
