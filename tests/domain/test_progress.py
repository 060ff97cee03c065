"""What a line of progress says can be read back from it, and no other line is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.progress import Progress, progress_of

WHOLE = st.integers(0, 10**7)


@given(
    at=st.builds(
        Progress,
        iteration=WHOLE,
        iterations=WHOLE,
        loss=st.floats(0, 10),
        psnr_db=st.floats(-5, 120),
        gaussians=WHOLE,
        factor=st.sampled_from([1, 2, 4]),
        seconds=st.floats(0, 1e6),
        seconds_left=st.floats(0, 1e6),
    )
)
def test_a_line_is_read_back_as_it_says(at: Progress):
    read = progress_of(at.line())
    assert read is not None
    assert read.line() == at.line()
    assert (read.iteration, read.iterations, read.gaussians, read.factor) == (
        at.iteration,
        at.iterations,
        at.gaussians,
        at.factor,
    )
    assert read.loss == pytest.approx(at.loss, abs=6e-5)


@pytest.mark.parametrize(
    "line", ["", "training at full: 5 views, 100 iterations", "iteration 3 of 5", "x iteration 1 of 2: loss"]
)
def test_another_line_is_not_progress(line: str):
    assert progress_of(line) is None
