"""What does not fit is made to fit, by the combination that loses least, and it is said."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from splat_pipeline.domain.memory import SPARE, STEPS, Footprint, Pictures, estimate, fitted, loss_db
from splat_pipeline.domain.plans import Detail, plan_for

PLAN = plan_for(Detail.FULL, seed=3)
OF = Footprint(image=4, pixel=72, gaussian=900, copied=250, pair=92, fixed=1e8)
PICTURES = Pictures(count=100, width_px=1280, height_px=720)
WANTED = estimate(PICTURES.at_most(800), 100_000, OF)


def test_the_estimate_is_the_sum_of_its_parts():
    pictures = Pictures(count=10, width_px=320, height_px=160)
    none = Footprint(image=0, pixel=0, gaussian=0, copied=0, pair=0, fixed=0)
    parts = {"image": 512_000, "pixel": 51_200 * 1.3125, "gaussian": 400, "copied": 400, "pair": 30 * 200**0.5 * 20}
    for name, times in {**parts, "fixed": 1}.items():
        assert estimate(pictures, 400, Footprint(**{**vars(none), name: 7.0})) == round(7 * times)


def test_images_are_never_made_larger():
    assert PICTURES.at_most(640) == Pictures(count=100, width_px=640, height_px=360)
    assert PICTURES.at_most(4000) == PICTURES


def test_a_plan_that_fits_stays_as_it_is():
    assert fitted(PLAN, PICTURES, OF, round(WANTED / SPARE) + 1) is PLAN


@given(free=st.integers(1, WANTED * 2))
@example(free=152_441_545)
def test_what_is_chosen_fits_when_anything_does_and_nothing_that_fits_loses_less(free: int):
    plan = fitted(PLAN, PICTURES, OF, free)
    size = estimate(PICTURES.at_most(plan.longer_side_px), plan.max_gaussians, OF)
    room = SPARE * free
    shares = (plan.longer_side_px / 800, plan.max_gaussians / 100_000)
    others = [
        loss_db(*other)
        for other in product(STEPS, STEPS)
        if estimate(PICTURES.at_most(round(800 * other[0])), round(100_000 * other[1]), OF) <= room
    ]
    if others:
        assert size <= room
        # whole pixels are not quite the share that was chosen, and small shares lose steeply
        assert loss_db(*shares) == pytest.approx(min(others), abs=0.01, rel=5e-3)
    else:
        assert shares == (STEPS[-1], STEPS[-1])
    assert len(plan.reasons) == (room < WANTED)
    assert (plan.iterations, plan.sh_degree, plan.seed) == (PLAN.iterations, PLAN.sh_degree, PLAN.seed)


def test_gaussians_go_before_resolution():
    plan = fitted(PLAN, PICTURES, OF, round(WANTED * 0.95 / SPARE))
    assert plan.longer_side_px == 800
    assert plan.max_gaussians < 100_000


def test_the_reason_tells_what_was_wanted_what_is_free_and_what_is_taken_instead():
    plan = fitted(PLAN.because("few registered"), PICTURES, OF, 250_000_000, kind="VRAM")
    assert plan.reasons[0] == "few registered"
    assert plan.reasons[1] == (
        f"VRAM: {WANTED / 1e6:.0f} MB wanted for 100 images of 800 px and 100000 Gaussians, 250 MB free: "
        f"{plan.longer_side_px} px and {plan.max_gaussians} Gaussians take "
        f"{estimate(PICTURES.at_most(plan.longer_side_px), plan.max_gaussians, OF) / 1e6:.0f} MB"
    )


def test_the_detail_says_which_rung_the_plan_does_not_exceed():
    details = [fitted(PLAN, PICTURES, OF, round(WANTED * share)).detail for share in (2.0, 1.2, 0.6, 0.4, 0.1)]
    assert details[0] is Detail.FULL
    assert details[-1] is Detail.PREVIEW
    order = list(Detail)
    assert [order.index(d) for d in details] == sorted(order.index(d) for d in details)


def test_less_loses_more():
    for low, high in zip(STEPS[1:], STEPS, strict=False):
        assert loss_db(low, 1) > loss_db(high, 1)
        assert loss_db(1, low) > loss_db(1, high)
    assert loss_db(1, 1) == 0
