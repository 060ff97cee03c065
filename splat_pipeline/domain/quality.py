"""Quality gates: pure functions with numbers. Asset checks show them, ``training_plan`` and the ladder act on them.

    table = table_for("aerial", {"registered_well": 0.7, "not_planar": "lift"})
    verdicts = judge_all({"registered_share": 0.75, "planar_share": 0.95}, table)
    detail, reasons = allowed_detail(verdicts)

All numbers stand in ``gates.LIMITS``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from splat_pipeline.domain.gates import LIMITS, SCENES, Limit, SceneName, Severity
from splat_pipeline.domain.plans import Detail

Metrics = Mapping[str, float | None]
"""By name of the metric. None: it does not apply here, e.g. the gap of a loop where there is none."""
Table = Mapping[str, Limit]
"""Gates by name, with the numbers that hold for one job."""
LIFT = "lift"
Wish = float | str | Mapping[SceneName, float]
"""What may be asked of a gate: another number, one for each of some types of scene, or ``LIFT``."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a gate says of one value."""

    gate: str
    limit: Limit
    value: float
    """NaN where the metric does not apply, or could not be measured."""
    passed: bool
    because: str
    note: str = ""
    """What else a person should know, e.g. which seconds are missing. Part of ``because``."""
    applies: bool = True

    @property
    def holds(self) -> bool:
        """Whether nothing follows from it: it passed, or was lifted."""
        return self.passed or bool(self.limit.lifted)

    @property
    def severity(self) -> Severity:
        """WARN where the gate was lifted: then it does not stop."""
        return "WARN" if self.limit.lifted else self.limit.severity


def table_for(scene_type: str, wishes: Mapping[str, Wish] | None = None) -> dict[str, Limit]:
    """Return the gates with the numbers of a type of scene ("auto": those without), and what a job asks of them.

    Raises ``KeyError`` for an unknown gate.
    """
    table = {gate: limit.of(scene_type) for gate, limit in LIMITS.items()}
    for gate, wish in (wishes or {}).items():
        limit = table[gate]
        if isinstance(wish, Mapping):
            own = {str(name): float(number) for name, number in wish.items()}
            table[gate] = replace(limit, scenes={**limit.scenes, **own}).of(scene_type)
        else:
            table[gate] = replace(limit, lifted="the job's settings") if wish == LIFT else limit.with_bound(float(wish))
    return table


def lifted(table: Table, gates: Collection[str], *, by: str) -> dict[str, Limit]:
    """Return ``table`` with some gates lifted. Raises ``KeyError`` for an unknown one."""
    return {**table, **{gate: replace(table[gate], lifted=by) for gate in gates}}


def unknown_gates(gates: Iterable[str]) -> str:
    """Return what is wrong with the names of ``gates``, in words; "" when all are known."""
    unknown = sorted(set(gates) - set(LIMITS))
    return f"unknown gate {', '.join(unknown)}; known are {', '.join(LIMITS)}" if unknown else ""


def judge(gate: str, value: float | None, *, note: str = "", table: Table = LIMITS) -> Verdict:
    """Return the verdict of ``gate`` on ``value``; a value that is not finite never passes, None does not apply."""
    limit = table[gate]
    number = math.nan if value is None else float(value)
    above = limit.at_least is None or number >= limit.at_least
    below = limit.at_most is None or number <= limit.at_most
    passed = value is None or (math.isfinite(number) and above and below)
    said = [f"{limit.metric} {number:.4g}, must be {limit.relation} {limit.bound:.4g}"]
    said[0] += f" for {limit.scene} scenes" if limit.scene else ""
    if value is None:
        said = [f"{limit.metric} does not apply"]
    said += [f"lifted by {limit.lifted}"] if limit.lifted and not passed else []
    said += [note] if note else []
    return Verdict(
        gate=gate, limit=limit, value=number, passed=passed, because="; ".join(said), note=note,
        applies=value is not None,
    )  # fmt: skip


def judge_stage(
    stage: str, metrics: Metrics, notes: Mapping[str, str] | None = None, *, table: Table = LIMITS
) -> list[Verdict]:
    """Return the verdicts of every gate of ``stage``, in the order of the table.

    ``metrics`` holds each metric of the stage, ``notes`` what to add to the reason, by metric. Raises ``KeyError``
    for a metric that was not measured.
    """
    said = notes or {}
    return [
        judge(gate, metrics[limit.metric], note=said.get(limit.metric, ""), table=table)
        for gate, limit in table.items()
        if limit.stage == stage
    ]


def judge_all(metrics: Metrics, table: Table = LIMITS) -> list[Verdict]:
    """Return the verdicts of every gate of ``table`` whose metric is among ``metrics``, in the order of the table."""
    return [judge(gate, metrics[limit.metric], table=table) for gate, limit in table.items() if limit.metric in metrics]


def allowed_detail(verdicts: Iterable[Verdict]) -> tuple[Detail, list[str]]:
    """Return the highest detail that the failed warnings leave, and their reasons."""
    rungs = list(Detail)
    lowest, reasons = Detail.FULL, []
    for verdict in verdicts:
        lowers_to = verdict.limit.lowers_to
        if verdict.holds or lowers_to is None:
            continue
        lowest = max(lowest, lowers_to, key=rungs.index)
        reasons.append(f"{verdict.gate}: {verdict.because}")
    return lowest, reasons


def stopping(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts that stop a job."""
    return [verdict for verdict in verdicts if not verdict.holds and verdict.severity == "ERROR"]


def verdict_json(verdict: Verdict) -> dict[str, object]:
    """Return plain values; a value that is not finite becomes None."""
    return {
        "gate": verdict.gate,
        "stage": verdict.limit.stage,
        "metric": verdict.limit.metric,
        "value": float(verdict.value) if math.isfinite(verdict.value) else None,
        "limit": float(verdict.limit.bound),
        "severity": verdict.severity,
        "passed": verdict.passed,
        "applies": verdict.applies,
        "lifted": verdict.limit.lifted,
        "because": verdict.because,
        "note": verdict.note,
    }


def write_verdicts(path: Path, verdicts: Iterable[Verdict], *, scene_type: str = "auto") -> None:
    """Write the numbers behind ``verdicts`` as JSON; a value that is not finite becomes null."""
    rows = [{**verdict_json(verdict), "scene_type": scene_type} for verdict in verdicts]
    path.write_text(json.dumps(rows, indent=1))


def scene_of(path: Path) -> str:
    """Return the type of scene by which the verdicts in a file were given."""
    return str(next((row.get("scene_type", "auto") for row in json.loads(path.read_text())), "auto"))


def read_verdicts(path: Path, table: Table = LIMITS) -> list[Verdict]:
    """Judge again, by ``table``, the values that ``write_verdicts`` wrote; what a person lifted then stays lifted."""
    return [_again(row, table) for row in json.loads(path.read_text()) if row["gate"] in table]


def _again(row: Mapping[str, str], table: Table) -> Verdict:
    gate, value, who = row["gate"], row["value"], row.get("lifted", "")
    if who and not table[gate].lifted:
        table = lifted(table, [gate], by=who)
    applies = row.get("applies", True)
    number = (math.nan if value is None else float(value)) if applies else None
    return judge(gate, number, note=row.get("note", ""), table=table)


__all__ = [
    "LIFT", "LIMITS", "SCENES", "Limit", "Metrics", "Table", "Verdict", "Wish", "allowed_detail", "judge", "judge_all",
    "judge_stage", "lifted", "read_verdicts", "scene_of", "stopping", "table_for", "unknown_gates", "verdict_json",
    "write_verdicts",
]  # fmt: skip
