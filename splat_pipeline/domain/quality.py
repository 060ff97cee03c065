"""Quality gates: pure functions with numbers. Asset checks show them, ``training_plan`` acts on them.

WARN lowers the detail, ERROR stops the job with the gate's error class. All thresholds stand in ``LIMITS``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splat_pipeline.domain.errors import Blurred, FewRegistered, PoseError, SplatError, TooShort, Untrained
from splat_pipeline.domain.plans import Detail

Severity = Literal["WARN", "ERROR"]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One row of the table of gates."""

    stage: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    severity: Severity
    error: type[SplatError]
    """What the failure is called, and whose remedy is shown."""
    lowers_to: Detail | None = None
    """The detail that a failed WARN allows at most."""

    @property
    def relation(self) -> str:
        """How a good value stands to the number."""
        return "at most" if self.at_least is None else "at least"

    @property
    def bound(self) -> float:
        """The number itself."""
        return self.at_least if self.at_least is not None else float(self.at_most or 0.0)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a gate says of one value."""

    gate: str
    limit: Limit
    value: float
    passed: bool
    because: str
    note: str = ""
    """What else a person should know, e.g. which seconds are missing. Part of ``because``."""


LIMITS: dict[str, Limit] = {
    "enough_keyframes": Limit(stage="keyframes", metric="keyframes", at_least=8, severity="ERROR", error=TooShort),
    "sharp_enough": Limit(
        stage="keyframes", metric="sharp_share", at_least=0.5, severity="WARN", error=Blurred, lowers_to=Detail.REDUCED
    ),
    "registered": Limit(
        stage="camera_poses", metric="registered_share", at_least=0.4, severity="ERROR", error=FewRegistered
    ),
    "registered_well": Limit(
        stage="camera_poses", metric="registered_share", at_least=0.8, severity="WARN", error=FewRegistered,
        lowers_to=Detail.REDUCED,
    ),
    "reprojection": Limit(stage="camera_poses", metric="rms_px", at_most=4.0, severity="ERROR", error=PoseError),
    "reprojection_well": Limit(
        stage="camera_poses", metric="rms_px", at_most=1.5, severity="WARN", error=PoseError, lowers_to=Detail.REDUCED
    ),
    "learned": Limit(stage="splat", metric="psnr_heldout_db", at_least=12.0, severity="ERROR", error=Untrained),
    "learned_well": Limit(stage="splat", metric="psnr_heldout_db", at_least=20.0, severity="WARN", error=Untrained),
}  # fmt: skip
"""Registered share: nerfstudio calls < 40 % bad and < 80 % weak. Reprojection: good SIFT reconstructions of real
clips are at 0.3 to 0.8 px mean; COLMAP itself drops observations above 4 px."""


def judge(gate: str, value: float, *, note: str = "") -> Verdict:
    """Return the verdict of ``gate`` on ``value``; a value that is not finite never passes."""
    limit = LIMITS[gate]
    above = limit.at_least is None or value >= limit.at_least
    below = limit.at_most is None or value <= limit.at_most
    because = f"{limit.metric} {value:.4g}, must be {limit.relation} {limit.bound:.4g}"
    passed = math.isfinite(value) and above and below
    because += f"; {note}" if note else ""
    return Verdict(gate=gate, limit=limit, value=value, passed=passed, because=because, note=note)


def judge_stage(stage: str, metrics: Mapping[str, float], notes: Mapping[str, str] | None = None) -> list[Verdict]:
    """Return the verdicts of every gate of ``stage``, in the order of the table.

    ``metrics`` holds each metric, ``notes`` what to add to the reason, by metric.
    """
    said = notes or {}
    return [
        judge(gate, metrics[limit.metric], note=said.get(limit.metric, ""))
        for gate, limit in LIMITS.items()
        if limit.stage == stage
    ]


def allowed_detail(verdicts: Iterable[Verdict]) -> tuple[Detail, list[str]]:
    """Return the highest detail that the failed warnings leave, and their reasons."""
    rungs = list(Detail)
    lowest, reasons = Detail.FULL, []
    for verdict in verdicts:
        lowers_to = verdict.limit.lowers_to
        if verdict.passed or lowers_to is None:
            continue
        lowest = max(lowest, lowers_to, key=rungs.index)
        reasons.append(f"{verdict.gate}: {verdict.because}")
    return lowest, reasons


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Write the numbers behind ``verdicts`` as JSON; a value that is not finite becomes null."""
    rows = [
        {
            "gate": v.gate,
            "stage": v.limit.stage,
            "metric": v.limit.metric,
            "value": v.value if math.isfinite(v.value) else None,
            "limit": v.limit.bound,
            "severity": v.limit.severity,
            "passed": v.passed,
            "because": v.because,
            "note": v.note,
        }
        for v in verdicts
    ]
    path.write_text(json.dumps(rows, indent=1))


def read_verdicts(path: Path) -> list[Verdict]:
    """Judge again, by today's limits, the values that ``write_verdicts`` wrote."""
    rows = json.loads(path.read_text())
    return [
        judge(row["gate"], math.nan if row["value"] is None else row["value"], note=row.get("note", "")) for row in rows
    ]
