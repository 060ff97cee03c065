"""The dial turns downward only and keeps its reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from splat_pipeline.domain.plans import CPU_LADDER, LADDERS, Detail, plan_for, plan_from_json, plan_to_json, step_down


def test_the_ladder_goes_down_to_preview_and_ends_there():
    plan = plan_for(Detail.FULL, seed=1)
    walked = [plan.detail]
    while (lower := step_down(plan, f"failed at {plan.detail}")) is not None:
        plan = lower
        walked.append(plan.detail)
    assert walked == [Detail.FULL, Detail.REDUCED, Detail.PREVIEW]
    assert plan.reasons == ("failed at full", "failed at reduced")
    assert plan.seed == 1


def test_what_was_asked_of_the_trainer_is_asked_on_every_rung():
    plan = replace(plan_for(Detail.FULL, seed=1), options={"strategy": "mcmc"})
    lower = step_down(plan, "no memory")
    assert lower is not None
    assert lower.options == {"strategy": "mcmc"}


@pytest.mark.parametrize("device", sorted(LADDERS))
def test_each_lower_rung_asks_for_less_and_for_more_of_nothing(device):
    for upper in Detail:
        if upper.below is not None:
            high, low = LADDERS[device][upper], LADDERS[device][upper.below]
            assert low.longer_side_px < high.longer_side_px
            assert low.iterations < high.iterations
            assert low.max_gaussians < high.max_gaussians
            assert low.sh_degree <= high.sh_degree


def test_the_full_detail_of_a_gpu_is_that_of_the_paper():
    rung = LADDERS["gpu"][Detail.FULL]
    assert rung.iterations == 30_000
    assert rung.max_gaussians >= 1_000_000


def test_a_lower_rung_never_asks_for_more_than_the_plan_did():
    plan = replace(plan_for(Detail.FULL, seed=1), iterations=300, max_gaussians=30_000)
    lower = step_down(plan, "no memory")
    assert lower is not None
    assert (lower.iterations, lower.max_gaussians) == (300, 30_000)
    assert lower.longer_side_px == CPU_LADDER[Detail.REDUCED].longer_side_px


def test_a_plan_survives_json():
    plan = replace(plan_for(Detail.REDUCED, seed=7).because("few registered"), options={"background": "white"})
    assert plan_from_json(plan_to_json(plan)) == plan
