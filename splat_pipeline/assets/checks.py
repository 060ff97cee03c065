"""How a gate's verdict is shown in Dagster: as an asset check per partition."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable

import dagster as dg
from pydantic import Field

from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.quality import LIMITS, Limit, Verdict, lifted, table_for, unknown_gates
from splat_pipeline.domain.recipe import Recipe

RUN_CONFIG = "run config"


class Gated(dg.Config):
    """What a person may set aside in the launchpad, for one run of a stage that has gates."""

    lift: list[str] = Field([], description="gates that are judged and told, and neither stop nor lower anything")


def table_of(recipe: Recipe, scene_type: str, lift: Collection[str] = ()) -> dict[str, Limit]:
    """Return the gates of a job. ``lift``: as the launchpad says. Raises ``BadJobFile`` for an unknown gate."""
    if unknown := unknown_gates(lift):
        raise BadJobFile(f"{RUN_CONFIG}: lift: {unknown}", file=RUN_CONFIG)
    return lifted(table_for(scene_type, recipe.gates), lift, by=RUN_CONFIG)


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
                description=f"{in_words(limit)} ({limit.severity})",
            )
            for gate, limit in LIMITS.items()
            if limit.stage == asset
        ]


def in_words(limit: Limit) -> str:
    """Return the metric with its numbers for every type of scene."""
    scenes = "".join(f", {scene} {number:g}" for scene, number in limit.scenes.items())
    return f"{limit.metric} {limit.relation} {limit.bound:g}{scenes}"


def results_of(asset: str, verdicts: Iterable[Verdict]) -> list[dg.AssetCheckResult]:
    """Return the check results that show ``verdicts``. A gate that was lifted is shown as it is, and does not block."""
    return [
        dg.AssetCheckResult(
            check_name=verdict.gate,
            asset_key=asset,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity[verdict.severity],
            description=verdict.because,
            metadata={
                **({verdict.limit.metric: float(verdict.value)} if verdict.applies else {}),
                "limit": float(verdict.limit.bound),
                "because": verdict.because,
                "class": verdict.limit.error.__name__,
                "remedy": verdict.limit.error.remedy,
                **({"lifted": f"by {verdict.limit.lifted}"} if verdict.limit.lifted else {}),
            },
        )
        for verdict in verdicts
    ]
