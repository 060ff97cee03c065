"""What can go wrong, by the names under which it is counted: one row a class of failure that people meet.

The identifiers are stable: tables over all jobs, webhooks and scripts group by them. Errors may be split and renamed;
each belongs to the row that names it or the nearest of its parents. ``docs/failures.md`` is generated from here.
"""

from __future__ import annotations

from collections.abc import Iterable

from splat_pipeline.domain import errors as e
from splat_pipeline.domain.error_root import SplatError
from splat_pipeline.domain.failure_classes import FOOTAGE, POSES, WORK, FailureClass

CLASSES: tuple[FailureClass, ...] = (*FOOTAGE, *POSES, *WORK)
BY_CODE: dict[str, FailureClass] = {each.code: each for each in CLASSES}
_BY_ERROR: dict[type[SplatError], FailureClass] = {kind: each for each in CLASSES for kind in each.errors}


def class_of(kind: type[BaseException]) -> FailureClass:
    """Return the class of failure that an error belongs to; what is not one of ours is internal, or cancelled."""
    if issubclass(kind, MemoryError):
        return BY_CODE["out-of-memory"]
    if issubclass(kind, SplatError):
        return next(_BY_ERROR[parent] for parent in kind.__mro__ if parent in _BY_ERROR)
    return BY_CODE["internal" if issubclass(kind, Exception) else "cancelled"]


def named(name: str | None) -> FailureClass:
    """Return the class of failure of the error that is called ``name``; an unknown name is internal."""
    kind = e.by_name(name or "")
    return class_of(kind or SplatError)


def page(classes: Iterable[FailureClass] = CLASSES) -> str:
    """Return the table of ``docs/failures.md``."""
    rows = ["| identifier | errors | evidence | who filmed | who runs it |", "|---|---|---|---|---|"]
    for each in classes:
        kinds = ", ".join(f"`{kind.__name__}`" for kind in each.errors) or "none of ours"
        rows.append(f"| `{each.code}` | {kinds} | {each.evidence} | {each.person} | {each.operator} |")
    return "\n".join(rows)
