"""Verdicts as a person reads them: words for names, units for figures, and what went wrong first."""

from __future__ import annotations

from collections.abc import Sequence

from splat_pipeline.domain.quality import Verdict

UNITS = {"db": " dB", "px": " px", "deg": "°", "s": " s", "stops": " stops"}
"""By the last part of a metric's name; a share is told in per cent."""


def spoken(verdict: Verdict) -> str:
    """Return what a verdict rests on, e.g. "dynamic share 31 %, must be at most 25 %; between 3 and 5 s"."""
    name = _words(verdict.limit.metric)
    if not verdict.applies:
        return f"{name} does not apply"
    limit = verdict.limit
    told = (
        f"{name} {_figure(verdict.value, limit.metric)}, must be {limit.relation} {_figure(limit.bound, limit.metric)}"
    )
    told += f" for {limit.scene} scenes" if limit.scene else ""
    lifted = f"lifted by {limit.lifted}" if limit.lifted and not verdict.passed else ""
    return "; ".join(filter(None, (told, lifted, verdict.note)))


def told_plainly(lines: Sequence[str], gates: Sequence[Verdict]) -> list[str]:
    """Return ``lines`` with those that repeat a verdict, "gate: because", in words."""
    plain = {f"{gate.gate}: {gate.because}": f"{_words(gate.gate)}: {spoken(gate)}" for gate in gates}
    return [plain.get(line, line) for line in lines]


def worst_first(gates: Sequence[Verdict]) -> tuple[list[Verdict], list[Verdict]]:
    """Return the verdicts that a person should look at, errors first, and those that are well or do not apply."""
    open_ = [gate for gate in gates if gate.applies and not gate.passed]
    open_.sort(key=lambda gate: (bool(gate.limit.lifted), gate.limit.severity != "ERROR"))
    well = [gate for gate in gates if gate not in open_]
    return open_, sorted(well, key=lambda gate: not gate.applies)


def _figure(value: float, metric: str) -> str:
    kind = metric.rpartition("_")[2]
    if kind == "share":
        return f"{100 * value:.3g} %"
    return f"{value:.4g}{UNITS.get(kind, '')}"


def _words(name: str) -> str:
    last = name.rpartition("_")[2]
    return (name.removesuffix(f"_{last}") if last in UNITS else name).replace("_", " ")
