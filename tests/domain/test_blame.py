"""Why there is no model is told by what its attempts looked like."""

from __future__ import annotations

import pytest

from splat_pipeline.domain.blame import no_model
from splat_pipeline.domain.errors import (
    LowOverlap,
    NoParallax,
    NoReconstruction,
    NoTexture,
    OutOfMemory,
    ToolCrashed,
    ToolTimeout,
)


def attempt(signature: str, strategy: str = "global") -> dict[str, str]:
    return {"strategy": strategy, "outcome": "failed", "signature": signature}


@pytest.mark.parametrize(
    ("signatures", "kind"),
    [
        (["no parallax"], NoParallax),
        (["few features"], NoTexture),
        (["low overlap", "no model"], LowOverlap),
        (["no model", "timeout"], NoReconstruction),
        (["timeout", "memory"], ToolTimeout),
        (["memory", "crashed"], OutOfMemory),
        (["crashed"], ToolCrashed),
        (["crashed", "no parallax"], NoParallax),
        ([], NoReconstruction),
    ],
)
def test_the_attempts_tell_why_there_is_no_model(signatures: list[str], kind: type):
    error = no_model([attempt(each) for each in signatures])
    assert type(error) is kind
    assert all(each in error.cause for each in signatures)


def test_the_cause_says_what_was_tried():
    error = no_model([attempt("no model"), attempt("timeout", "incremental")])
    assert error.cause == "no model was found: global: failed, no model; incremental: failed, timeout"
