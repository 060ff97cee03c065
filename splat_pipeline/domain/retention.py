"""What is kept how long: a pure decision over what lies there.

Four kinds of things, each with an age and a size budget for every product class of jobs:

    uploads         in processed/, after delivery
    intermediates   artifacts of a job but its package
    checkpoints     unfinished work of trainings
    packages        what was delivered, and its copy in the store

What is guarded stays whatever its age: what belongs to a job that runs, and all of a job that was not delivered, so
that the only copy of it never goes and an error can be looked at. Uploads in error/ are not looked at here at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["uploads", "intermediates", "checkpoints", "packages"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STANDARD = "standard"
"""Product class whose rules hold for every class that has none of its own."""
DAY_S, GIGABYTE = 86_400.0, 1e9


class Keep(BaseModel):
    """Budget of one kind of thing; None: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: float | None = Field(None, ge=0, description="older ones go")
    gigabytes: float | None = Field(None, ge=0, description="beyond so much of one product class the oldest go")


class KeepRules(BaseModel):
    """Budgets of one product class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uploads: Keep = Keep(days=30)
    intermediates: Keep = Keep(days=14)
    checkpoints: Keep = Keep(days=3)
    packages: Keep = Keep()


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something that may go, whole."""

    kind: Kind
    product: str
    job: str
    name: str
    """Where it lies."""
    size_bytes: int
    age_s: float
    """Since it was written last."""
    guard: str | None = None
    """Why it stays, whatever the rules say."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of a thing, and why."""

    thing: Thing
    goes: bool
    because: str


def decide(things: Iterable[Thing], rules: Mapping[str, KeepRules]) -> list[Decision]:
    """Return a decision on every thing, the oldest first.

    Guarded things count towards a size budget, since they take their room; what can go pays for them.
    """
    standard = rules.get(STANDARD, KeepRules())
    groups: dict[tuple[str, Kind], list[Thing]] = defaultdict(list)
    for thing in things:
        groups[thing.product, thing.kind].append(thing)
    decided = []
    for (product, kind), members in groups.items():
        decided += _of_group(members, getattr(rules.get(product, standard), kind))
    return sorted(decided, key=_oldest_first)


def make_room(things: Iterable[Thing], *, wanted_bytes: int, least_age_s: float) -> list[Decision]:
    """Return what goes so that ``wanted_bytes`` become free: the oldest uploads, then intermediates, then checkpoints.

    Packages never go for room, nothing guarded does, nor what is younger than ``least_age_s``. It may not be enough.
    """
    order: tuple[Kind, ...] = ("uploads", "intermediates", "checkpoints")
    free = [t for t in things if t.guard is None and t.kind in order and t.age_s >= least_age_s]
    gone, decided = 0, []
    for thing in sorted(free, key=lambda t: (order.index(t.kind), -t.age_s, t.name)):
        if gone >= wanted_bytes:
            break
        gone += thing.size_bytes
        decided.append(Decision(thing=thing, goes=True, because="room is needed for new runs"))
    return decided


def _of_group(members: list[Thing], keep: Keep) -> list[Decision]:
    held = sum(thing.size_bytes for thing in members)
    most = None if keep.gigabytes is None else keep.gigabytes * GIGABYTE
    decided = []
    for thing in sorted(members, key=lambda t: (-t.age_s, t.name)):
        because = _reason(thing, keep, held=held, most=most)
        goes = thing.guard is None and because is not None
        held -= thing.size_bytes if goes else 0
        decided.append(Decision(thing=thing, goes=goes, because=thing.guard or because or "within its budgets"))
    return decided


def _reason(thing: Thing, keep: Keep, *, held: int, most: float | None) -> str | None:
    if keep.days is not None and thing.age_s > keep.days * DAY_S:
        return f"older than {keep.days:g} days"
    if most is not None and held > most:
        return f"{thing.kind} of {thing.product} take more than {keep.gigabytes:g} GB"
    return None


def _oldest_first(decision: Decision) -> tuple[int, float, str]:
    return KINDS.index(decision.thing.kind), -decision.thing.age_s, decision.thing.name
