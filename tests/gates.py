"""Metrics of a stage for tests of what follows from its gates."""

from __future__ import annotations

from splat_pipeline.domain.quality import LIMITS


def metrics_of(stage: str, **measured: float) -> dict[str, float | None]:
    """All metrics of ``stage``: as given, and those that are not do not apply."""
    every = {limit.metric: None for limit in LIMITS.values() if limit.stage == stage}
    assert set(measured) <= set(every), f"{stage} has no {set(measured) - set(every)}"
    return {**every, **measured}
