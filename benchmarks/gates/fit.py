"""Numbers for the gates that one half of the captures asks for, to be held against the other half.

A gate is considered as if it stopped jobs, whatever its severity: where bad captures lie beyond all good ones, the
bound that lies between them is proposed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from splat_pipeline.domain.quality import LIMITS

Row = Mapping[str, Any]
Bounds = dict[str, float]
"""By gate: beyond it a capture is stopped."""


def halves(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return every other capture of each kind, and the rest."""
    seen: dict[str, int] = {}
    parts: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        number = seen.get(row["kind"], len(seen) % 2)  # kinds of one capture go to both halves in turn
        parts[number % 2].append(row)
        seen[row["kind"]] = number + 1
    return parts


def shipped_bounds() -> Bounds:
    """Return the bounds that stop a job today."""
    return {gate: limit.bound for gate, limit in LIMITS.items() if limit.severity == "ERROR"}


def is_beyond(gate: str, value: float | None, bound: float) -> bool:
    """Whether a value is on the wrong side; one that was not measured is not."""
    if value is None or gate not in LIMITS:
        return False
    return value > bound if LIMITS[gate].at_least is None else value < bound


def caught(row: Row, bounds: Bounds) -> bool:
    """Whether a capture would be stopped: by what raised an error, or by a gate at one of ``bounds``."""
    return row["raised"] or any(is_beyond(gate, row["gates"].get(gate), bound) for gate, bound in bounds.items())


def fitted(rows: Sequence[Row]) -> Bounds:
    """Return today's bounds with those that ``rows`` ask for: one gate after the other, the most telling first."""
    bounds = {**shipped_bounds(), **loosened(rows)}
    while True:
        missed = [row for row in rows if not row["good"] and not caught(row, bounds)]
        tries = {gate: bound for gate in LIMITS if (bound := between(gate, rows, missed)) is not None}
        gains = {
            gate: sum(is_beyond(gate, row["gates"].get(gate), bound) for row in missed) for gate, bound in tries.items()
        }
        best = max(gains, key=lambda gate: gains[gate], default=None)
        if best is None or not gains[best]:
            return bounds
        bounds[best] = tries[best]


def loosened(rows: Sequence[Row]) -> Bounds:
    """Return wider bounds for the gates that stop good captures."""
    out: Bounds = {}
    for gate, bound in shipped_bounds().items():
        wrong = [row["gates"][gate] for row in rows if row["good"] and is_beyond(gate, row["gates"].get(gate), bound)]
        if wrong:
            wider = between(gate, rows, [row for row in rows if not row["good"]])
            worst = max(wrong) if LIMITS[gate].at_least is None else min(wrong)
            out[gate] = worst if wider is None else wider
    return out


def between(gate: str, rows: Sequence[Row], missed: Sequence[Row]) -> float | None:
    """Return the bound half way between the worst good value and the nearest of ``missed`` beyond it; None: none is."""
    sign = 1.0 if LIMITS[gate].at_least is None else -1.0
    good = [sign * row["gates"][gate] for row in rows if row["good"] and row["gates"].get(gate) is not None]
    bad = [sign * row["gates"][gate] for row in missed if row["gates"].get(gate) is not None]
    if not good:
        return None
    beyond = [value for value in bad if value > max(good)]
    return sign * (max(good) + min(beyond)) / 2 if beyond else None


def proposals(one: Sequence[Row], other: Sequence[Row], bounds: Bounds) -> list[dict[str, Any]]:
    """Return what ``bounds``, fitted on ``one``, change, and what each change does on ``other``."""
    today = shipped_bounds()
    changed = {gate: bound for gate, bound in bounds.items() if not math.isclose(bound, today.get(gate, math.nan))}
    return [
        {
            "gate": gate,
            "metric": LIMITS[gate].metric,
            "severity_now": LIMITS[gate].severity,
            "bound_now": LIMITS[gate].bound,
            "bound": round(bound, 5),
            "catches": _names(one, gate, bound, good=False),
            "catches_on_other": _names(other, gate, bound, good=False),
            "alarms_on_other": _names(other, gate, bound, good=True),
        }
        for gate, bound in changed.items()
    ]


def _names(rows: Sequence[Row], gate: str, bound: float, *, good: bool) -> list[str]:
    return [row["name"] for row in rows if row["good"] is good and is_beyond(gate, row["gates"].get(gate), bound)]
