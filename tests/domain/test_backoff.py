"""Waits grow, differ by chance and stay within their bounds."""

from __future__ import annotations

import random
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.backoff import Backoff, waits


@given(seed=st.integers(), first=st.floats(0.01, 100), longest=st.floats(0.01, 1000))
def test_no_wait_is_longer_than_its_turn_allows(seed: int, first: float, longest: float):
    backoff = Backoff(first_s=first, longest_s=longest)
    for turn, wait in enumerate(islice(waits(backoff, random.Random(seed)), 40)):
        assert 0 <= wait <= min(first * 2**turn, longest)


def test_callers_that_failed_together_do_not_come_again_together():
    first = {round(next(waits(Backoff(), random.Random(seed))), 6) for seed in range(20)}
    assert len(first) == 20
