"""When is a dropped upload complete? A pure decision over what was seen, poll by poll."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MAX_REQUESTS = 25
"""Uploads that one poll starts at most: a run costs 1-2 s to create; the rest waits in the cursor."""

EMPTY_PATIENCE = 10
"""An empty folder waits this many times longer: somebody may just have made it to copy files into."""


class Phase(StrEnum):
    """Of one upload."""

    CHANGING = "changing"
    REQUESTED = "requested"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One entry of the inbox at one poll."""

    stamp: str
    """Fingerprint of size, modification and change time and inode of every file: differs when anything changed."""
    complete: bool
    """Its owner said so (a .done marker): do not wait."""
    empty: bool = False
    """Nothing in it yet."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the cursor remembers of one upload."""

    stamp: str
    since_s: float
    """Clock reading when this stamp was first seen."""
    phase: Phase


Cursor = dict[str, Entry]


def decide(
    cursor: Mapping[str, Entry], seen: Mapping[str, Seen], *, now_s: float, stable_s: float
) -> tuple[Cursor, list[str]]:
    """Return the next cursor and the names that are complete, oldest first, at most ``MAX_REQUESTS``.

    An upload is complete when it was seen unchanged for ``stable_s``, or says so itself. One that was requested is
    not requested again until it changes or leaves. A clock that went backwards starts the wait anew.
    """
    following = {name: _follow(cursor.get(name), look, now_s) for name, look in seen.items()}
    ready = [name for name, look in seen.items() if _is_ready(following[name], look, now_s, stable_s)]
    ready = sorted(ready, key=lambda name: (following[name].since_s, name))[:MAX_REQUESTS]
    for name in ready:
        following[name] = Entry(stamp=following[name].stamp, since_s=following[name].since_s, phase=Phase.REQUESTED)
    return following, ready


def _follow(entry: Entry | None, look: Seen, now_s: float) -> Entry:
    if entry is None or entry.stamp != look.stamp or entry.since_s > now_s:
        if entry is not None and entry.stamp == look.stamp and entry.phase is Phase.REQUESTED:
            return entry
        return Entry(stamp=look.stamp, since_s=now_s, phase=Phase.CHANGING)
    return entry


def _is_ready(entry: Entry, look: Seen, now_s: float, stable_s: float) -> bool:
    wait_s = stable_s * EMPTY_PATIENCE if look.empty else stable_s
    waited = now_s - entry.since_s >= wait_s
    return entry.phase is Phase.CHANGING and (look.complete or waited)


def dump(cursor: Mapping[str, Entry]) -> str:
    """Return the cursor as text."""
    return json.dumps({name: [e.stamp, e.since_s, str(e.phase)] for name, e in cursor.items()})


def parse(text: str | None) -> Cursor:
    """Invert ``dump``; None is the empty cursor."""
    rows: dict[str, Any] = json.loads(text) if text else {}
    return {name: Entry(stamp=row[0], since_s=row[1], phase=Phase(row[2])) for name, row in rows.items()}
