"""How a gate's verdict is shown in Dagster: as an asset check per partition."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import dagster as dg

from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain.quality import LIMITS, Verdict


def specs_of(asset: str) -> list[dg.AssetCheckSpec]:
    """Return the check specs of every gate of ``asset``. Only ERROR gates block what comes after."""
    with warnings.catch_warnings():
        # Without partitions a check has one status over all jobs; it works in the pinned 1.13 but is "preview".
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                gate,
                asset=asset,
                blocking=limit.severity == "ERROR",
                partitions_def=jobs,
                description=f"{limit.metric} {limit.relation} {limit.bound:g} ({limit.severity})",
            )
            for gate, limit in LIMITS.items()
            if limit.stage == asset
        ]


def results_of(asset: str, verdicts: Iterable[Verdict]) -> list[dg.AssetCheckResult]:
    """Return the check results that show ``verdicts``."""
    return [
        dg.AssetCheckResult(
            check_name=verdict.gate,
            asset_key=asset,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity[verdict.limit.severity],
            description=verdict.because,
            metadata={
                verdict.limit.metric: float(verdict.value),
                "limit": float(verdict.limit.bound),
                "because": verdict.because,
                "class": verdict.limit.error.__name__,
                "remedy": verdict.limit.error.remedy,
            },
        )
        for verdict in verdicts
    ]
