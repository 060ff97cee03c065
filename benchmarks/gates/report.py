"""Figures over all captures: how well the gates tell good from bad, what they call it, and what the ladder saves.

A row is a capture as ``Judged.to_json`` tells it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.gates.fit import Bounds, caught, fitted, halves, proposals, shipped_bounds
from splat_pipeline.domain.plans import Detail

Row = Mapping[str, Any]
TARGETS = {"recall_bad": 0.95, "false_alarm": 0.05, "class_accuracy": 0.9}


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Return all figures."""
    one, other = halves(rows)
    bounds = fitted(one)
    return {
        **told(rows, [not row["shipped"] for row in rows]),
        "captures": len(rows),
        "kinds": len({row["kind"] for row in rows}),
        "targets": TARGETS,
        "missed": [_missed(row) for row in rows if row["shipped"] and not row["good"]],
        "alarms": [_alarm(row) for row in rows if not row["shipped"] and row["good"]],
        "miscalled": [_alarm(row) for row in rows if _is_called(row) and row["failure"] not in row["classes"]],
        "by_kind": by_kind(rows),
        "halves": {
            "fitted_on": len(one),
            "reported_on": len(other),
            "as_shipped": told(other, [not row["shipped"] for row in other]),
            "fitted": told(other, [caught(row, bounds) for row in other]),
            "proposals": proposals(one, other, bounds),
        },
        "ladder": ladder(rows),
        "seconds": round(sum(row.get("seconds", 0.0) for row in rows), 1),
    }


def told(rows: Sequence[Row], stopped: Sequence[bool]) -> dict[str, Any]:
    """Return recall, false alarms, class accuracy and confusion, had these of ``rows`` been stopped."""
    pairs = Counter((row["good"], stop) for row, stop in zip(rows, stopped, strict=True))
    bad, good = pairs[False, True] + pairs[False, False], pairs[True, True] + pairs[True, False]
    called = [row["failure"] in row["classes"] for row in rows if _is_called(row)]
    return {
        "recall_bad": _share(pairs[False, True], bad),
        "precision_bad": _share(pairs[False, True], pairs[False, True] + pairs[True, True]),
        "false_alarm": _share(pairs[True, True], good),
        "class_accuracy": _share(sum(called), len(called)),
        "confusion": {
            "bad_stopped": pairs[False, True], "bad_shipped": pairs[False, False],
            "good_stopped": pairs[True, True], "good_shipped": pairs[True, False],
        },
    }  # fmt: skip


def _is_called(row: Row) -> bool:
    """Whether it was rightly stopped, and it is known what that may be called."""
    return not row["shipped"] and not row["good"] and bool(row["classes"])


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _missed(row: Row) -> dict[str, Any]:
    worth = row["worth"]
    return {
        "name": row["name"],
        "detail": row["detail"],
        "warned": row["warned"],
        "novel_db": worth["novel_db"],
        "ate": worth["ate"],
    }


def _alarm(row: Row) -> dict[str, Any]:
    worth = row["worth"]
    return {
        "name": row["name"],
        "failure": row["failure"],
        "stopped_by": row["stopped_by"],
        "novel_db": worth["novel_db"],
        "ate": worth["ate"],
    }


def by_kind(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return of each kind of damage how many were bad, stopped, warned of, and what they were called."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    return {
        kind: {
            "captures": len(mine),
            "bad": sum(not row["good"] for row in mine),
            "bad_stopped": sum(not row["good"] and not row["shipped"] for row in mine),
            "bad_lowered": sum(not row["good"] and row["shipped"] and row["detail"] != Detail.FULL for row in mine),
            "good_stopped": sum(row["good"] and not row["shipped"] for row in mine),
            "called": dict(Counter(row["failure"] for row in mine if row["failure"])),
        }
        for kind, mine in kinds.items()
    }


def ladder(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what is delivered with the ladder, without it, and without any gate.

    Without the ladder a job is delivered at full detail or not at all: whatever made it lower is the end of it.
    """
    lowered = [row for row in rows if row["shipped"] and row["detail"] != Detail.FULL]
    compared = [row for row in lowered if row["full_db"] is not None and row["worth"]["novel_db"] is not None]
    full = [row for row in rows if row["shipped"] and row["detail"] == Detail.FULL]
    worthy = [row for row in rows if row["good"]]
    return {
        "delivered_share": _share(len(lowered) + len(full), len(rows)),
        "delivered_share_without": _share(len(full), len(rows)),
        "good_delivered_share": _share(sum(row["shipped"] for row in worthy), len(worthy)),
        "good_delivered_share_without": _share(sum(row["good"] for row in full), len(worthy)),
        "lowered": len(lowered),
        "lowered_good": sum(row["good"] for row in lowered),
        "lowered_db": _mean([row["worth"]["novel_db"] for row in compared]),
        "same_at_full_db": _mean([row["full_db"] for row in compared]),
        "compared": len(compared),
        "delivered_db": _mean(
            [row["worth"]["novel_db"] for row in (*lowered, *full) if row["worth"]["novel_db"] is not None]
        ),
        "delivered_db_without": _mean(
            [row["worth"]["novel_db"] for row in full if row["worth"]["novel_db"] is not None]
        ),
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 3) if values else None


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables of ``docs/gate-benchmark.md``."""
    half = found["halves"]
    columns = (
        ("all captures", found),
        ("other half, as shipped", half["as_shipped"]),
        ("other half, fitted", half["fitted"]),
    )
    lines = ["| | " + " | ".join(name for name, _ in columns) + " | target |", "|---|" + "---|" * (len(columns) + 1)]
    signs = {"recall_bad": "at least", "false_alarm": "at most", "class_accuracy": "at least"}
    for key, sign in signs.items():
        cells = [str(column[key]) for _, column in columns]
        lines.append(f"| {key} | " + " | ".join(cells) + f" | {sign} {TARGETS[key]} |")
    lines += [
        f"| {key} | " + " | ".join(str(column["confusion"][key]) for _, column in columns) + " | |"
        for key in ("bad_stopped", "bad_shipped", "good_stopped", "good_shipped")
    ]
    lines += [
        "",
        "| damage | captures | bad | of these stopped | of these lowered | good ones stopped | called |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for kind, row in found["by_kind"].items():
        called = ", ".join(f"{name} {count}" for name, count in row["called"].items())
        numbers = [row[key] for key in ("captures", "bad", "bad_stopped", "bad_lowered", "good_stopped")]
        lines.append(f"| {kind} | " + " | ".join(map(str, numbers)) + f" | {called} |")
    return "\n".join(lines)


__all__ = ["Bounds", "figures", "ladder", "markdown", "shipped_bounds", "told"]
