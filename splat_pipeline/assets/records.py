"""Rows of the cross-job tables, and what Dagster and the artifacts tell of what came before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from splat_pipeline.domain.alike import signature_of
from splat_pipeline.domain.quality import Verdict
from splat_pipeline.domain.windows import Window
from splat_pipeline.ports.machine import Usage
from splat_pipeline.ports.stores import Artifact

MEASURED = frozenset({"seconds", "peak_rss_bytes", "bytes_in", "bytes_out", "artifact"})
"""Metadata that tell of one run only."""
_LOOKED_BACK = 20
"""Materializations that are looked through for the one that a reused result comes from."""


def stage_row(
    about: Mapping[str, str],
    usage: Usage,
    *,
    bytes_in: int,
    bytes_out: int,
    attempts: int,
    error: BaseException | None,
) -> dict[str, Any]:
    """Return a row of the ``stages`` table, its outcome and product still open. ``about``: job, run_id, utc, stage."""
    return {
        **about,
        "seconds": usage.seconds,
        "peak_rss_bytes": usage.peak_rss_bytes,
        "peak_vram_bytes": usage.peak_vram_bytes,
        "gpu_share": usage.gpu_share,
        "gpu_power_w": usage.gpu_power_w,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "attempts": attempts,
        "failure_signature": None if error is None else signature_of(error, about["stage"]),
    }


def correction_row(about: Mapping[str, str], window: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of ``tables.CORRECTIONS`` of a row of ``tables.WINDOWS``. ``about``: job, run_id, utc."""
    return {
        **about,
        "segment": Window(window_id=window["window_id"], first=window["first"], stop=window["stop"]).name,
        "attempts": window["attempts"],
        "registered": window["registered"],
        "of": window["stop"] - window["first"],
    }


def gate_row(about: Mapping[str, str], verdict: Verdict, *, scene_type: str) -> dict[str, Any]:
    """Return a row of the ``gates`` table. ``about``: job, run_id, utc, stage."""
    return {
        **about,
        "gate": verdict.gate,
        "metric": verdict.limit.metric,
        "value": float(verdict.value),
        "limit": float(verdict.limit.bound),
        "scene_type": scene_type,
        "severity": verdict.severity,
        "passed": verdict.passed,
        "because": verdict.because,
        "lifted": verdict.limit.lifted or None,
    }


def asked_of(context: dg.AssetExecutionContext | dg.OpExecutionContext, asset: str) -> dict[str, Any]:
    """Return what the launchpad says of the op that makes ``asset``: its config as it was given, without defaults."""
    ops: Any = context.run.run_config.get("ops") or {}
    return dict((ops.get(asset) or {}).get("config") or {})


def lineage_of(inputs: Mapping[str, Artifact]) -> dict[str, dict[str, Any]]:
    """Return what came before ``inputs``, by asset: digest, version, size, run, seconds, peak memory, launchpad config.

    It travels in the manifests, so that a package tells its whole history without fetching it.
    """
    lineage: dict[str, dict[str, Any]] = {}
    for artifact in inputs.values():
        lineage.update(artifact.manifest.get("lineage", {}))
    for name, artifact in inputs.items():
        kept = {key: artifact.manifest.get(key) for key in ("run_id", "seconds", "peak_rss_bytes")}
        kept |= {"asked": artifact.manifest["asked"]} if "asked" in artifact.manifest else {}
        about = {"digest": artifact.digest, "version": artifact.version, "size_bytes": artifact.size_bytes}
        lineage[name] = {**about, **kept}
    return dict(sorted(lineage.items()))


def shown_before(context: dg.AssetExecutionContext | dg.OpExecutionContext, artifact: Artifact) -> dict[str, Any]:
    """Return the metadata that Dagster was given with ``artifact`` when it was made, as far as it still knows."""
    key = context.asset_key if isinstance(context, dg.AssetExecutionContext) else dg.AssetKey(artifact.asset)
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[artifact.job])
    for record in context.instance.fetch_materializations(wanted, limit=_LOOKED_BACK).records:
        made = record.asset_materialization
        if made is not None and (made.tags or {}).get("dagster/data_version") == artifact.digest:
            return {name: value for name, value in made.metadata.items() if name not in MEASURED}
    return {}
