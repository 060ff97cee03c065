"""Command line of the gate benchmark."""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gates import real
from benchmarks.gates.cases import reference
from benchmarks.gates.judged import Base, Judged, base_of, damaged, footage, pose_damages, splat_damages
from benchmarks.gates.line import Line
from benchmarks.gates.nursery import nursed
from benchmarks.gates.report import figures, markdown
from benchmarks.gates.truth import Worth

QUICK = ("none-table-1", "dark-0.03", "short-6", "nan-0.3")
"""Damage of each stage, and none."""
Task = tuple[str, Callable[[Line, Callable[[], Base]], Judged]]


def tasks() -> Iterator[Task]:
    """Yield every capture: its name, and what judges it."""
    from benchmarks.gates.cases import captures

    for capture in captures():
        yield capture.name, lambda line, _, capture=capture: footage(line, capture)  # type: ignore[misc]
    for damage in (*pose_damages(), *splat_damages()):
        yield damage.name, lambda line, base, damage=damage: damaged(line, base(), damage)  # type: ignore[misc]


def run(chosen: Sequence[str] | None, kept: Path | None, *, seconds: float | None = None) -> list[dict[str, Any]]:
    """Judge all captures, or those that are chosen; what ``kept`` has of earlier runs is not done again.

    After ``seconds`` no other is begun.
    """
    rows = [again(json.loads(line)) for line in kept.read_text().splitlines()] if kept and kept.is_file() else []
    known, began = {row["name"] for row in rows}, time.monotonic()
    todo = [(name, judge) for name, judge in tasks() if name not in known and (chosen is None or name in chosen)]
    with tempfile.TemporaryDirectory(prefix="gates-") as home, nursed():
        line = Line(Path(home))
        Path(line.settings.place("store")).mkdir(parents=True)
        made: list[Base] = []

        def base() -> Base:
            if not made:
                made.append(base_of(line, reference()))
            return made[0]

        for number, (_, judge) in enumerate(todo, 1):
            if seconds is not None and time.monotonic() - began > seconds:
                print(f"time is up: {len(todo) - number + 1} captures are left", file=sys.stderr)
                break
            started = time.monotonic()
            row = judge(line, base).to_json() | {"seconds": round(time.monotonic() - started, 1)}
            rows.append(row)
            _keep(row, kept)
            _tell(number, len(todo), row)
    return rows


def _with_real(data: Path, kept: Path | None, known: Collection[str]) -> list[dict[str, Any]]:
    """Return rows of the real captures below ``data`` that are not ``known``."""
    rows = []
    for number, row in enumerate(real.judged(data, known), 1):
        rows.append(row)
        _keep(row, kept)
        _tell(number, len(list(real.captures(data))), row)
    return rows


def _keep(row: dict[str, Any], kept: Path | None) -> None:
    if kept:
        with kept.open("a") as file:
            file.write(json.dumps(row) + "\n")


def again(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row that was kept, good or bad by what is asked for today."""
    if row["kind"] == "real":
        return row
    worth = {name: math.nan if value is None else value for name, value in row["worth"].items()}
    return row | {"good": Worth(**{"finite": True, **worth}).good}  # rows of before did not say


def _tell(number: int, count: int, row: dict[str, Any]) -> None:
    said = f"shipped at {row['detail']}" if row["shipped"] else f"stopped: {row['failure']}"
    truth = "good" if row["good"] else "bad"
    line = f"{number}/{count} {row['name']}: {said}; in truth {truth} {row['worth']}; {row['seconds']} s"
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge, and print or write the figures."""
    parser = argparse.ArgumentParser(description=(sys.modules["__main__"].__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--only", help="names of captures, with commas between")
    parser.add_argument(
        "--keep", type=Path, help="write each capture to this file at once, and go on from what is in it"
    )
    parser.add_argument("--seconds", type=float, help="begin no other capture after so long")
    parser.add_argument("--data", type=Path, help="folder with real captures, which count too: see gates/real.py")
    options = parser.parse_args(arguments)
    chosen = QUICK if options.quick else options.only.split(",") if options.only else None
    rows = run(chosen, options.keep, seconds=options.seconds)
    if options.data:
        rows += _with_real(options.data, options.keep, {row["name"] for row in rows})
    found = figures(rows)
    print(markdown(found), file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(found | {"rows": rows}, indent=1))
    print(
        json.dumps(
            {key: found[key] for key in ("recall_bad", "false_alarm", "class_accuracy", "captures", "confusion")}
        )
    )
