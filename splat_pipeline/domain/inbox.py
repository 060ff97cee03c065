"""When is a dropped upload complete? A pure decision over what was seen, poll by poll.

An upload is complete when nothing of it changed for a quiet time, or when its owner says so. The quiet time is the
installation's, and longer for an upload that was seen to pause: twice its longest pause, up to ``PATIENCE`` times. What
changes after it was requested becomes complete anew: a new version.

Time is a clock that never goes back (since the machine's start); where another clock goes on (a restart, another
machine), the waits begin anew. At most ``MAX_WATCHED`` uploads are watched, which bounds the cursor; the others stay
where they are until there is room, the longest unchanged first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

MAX_REQUESTS = 25
"""Uploads that one poll starts at most: a run costs 1-2 s to create; the rest waits in the cursor."""
MAX_WATCHED = 1000
PATIENCE = 10
"""So many times longer waits what is empty or has the half of a file in it: somebody may be at it, slowly."""
_FORM = 2


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One entry of the inbox at one poll."""

    stamp: str
    """Fingerprint of names, sizes, times and inodes or tags of all files: differs when anything changed."""
    complete: bool = False
    """Its owner said so (a .done marker): do not wait."""
    unfinished: bool = False
    """Nothing in it yet, or the half of a file."""
    modified_ns: int = 0
    """When the last of its files was written, by the clock of where it lies: used to order, not to wait."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A reading of a clock that never goes back."""

    clock: str
    """Which clock: the machine's start."""
    s: float


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the cursor remembers of one upload."""

    stamp: str
    since_s: float
    """Reading of the clock when this stamp was first seen."""
    pause_s: float = 0.0
    """Longest time without a change, before the last one."""
    requested: bool = False


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """What is remembered from one poll to the next."""

    clock: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)
    """By ``key_of`` the upload's name."""


def key_of(name: str) -> str:
    """Return what stands for a name in the cursor: names may be long."""
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]


def decide(cursor: Cursor, seen: Mapping[str, Seen], *, now: Moment, stable_s: float) -> tuple[Cursor, list[str]]:
    """Return the next cursor and the names that are complete, longest unchanged first, at most ``MAX_REQUESTS``.

    One that was requested is not requested again until it changes or leaves.
    """
    before = cursor.entries if cursor.clock == now.clock else _restarted(cursor.entries, now.s)
    watched = _watched(before, seen)
    after = {key_of(name): _follow(before.get(key_of(name)), seen[name], now.s) for name in watched}
    ready = [name for name in watched if _is_ready(after[key_of(name)], seen[name], now.s, stable_s)]
    ready = sorted(ready, key=lambda name: (after[key_of(name)].since_s, seen[name].modified_ns, name))[:MAX_REQUESTS]
    for name in ready:
        after[key_of(name)] = replace(after[key_of(name)], requested=True)
    return Cursor(clock=now.clock, entries=after), ready


def again(cursor: Cursor, names: Iterable[str], *, now: Moment | None = None) -> Cursor:
    """Return the cursor with ``names`` not requested.

    Their turn comes after a quiet time from ``now``, behind the others; with none, at the next look.
    """
    entries = {key: cursor.entries[key] for key in map(key_of, names)}
    undone = {
        key: replace(entry, requested=False, since_s=entry.since_s if now is None else now.s)
        for key, entry in entries.items()
    }
    return replace(cursor, entries={**cursor.entries, **undone})


def _watched(before: Mapping[str, Entry], seen: Mapping[str, Seen]) -> list[str]:
    """Return the names that are followed: those that were, then others as far as there is room, oldest first."""
    known = [name for name in seen if key_of(name) in before]
    new = sorted((name for name in seen if key_of(name) not in before), key=lambda name: (seen[name].modified_ns, name))
    return known + new[: max(0, MAX_WATCHED - len(known))]


def _restarted(entries: Mapping[str, Entry], now_s: float) -> dict[str, Entry]:
    return {key: replace(entry, since_s=now_s) for key, entry in entries.items()}


def _follow(entry: Entry | None, look: Seen, now_s: float) -> Entry:
    if entry is None:
        return Entry(stamp=look.stamp, since_s=now_s)
    if entry.stamp != look.stamp:
        return Entry(stamp=look.stamp, since_s=now_s, pause_s=max(entry.pause_s, now_s - entry.since_s))
    return replace(entry, since_s=min(entry.since_s, now_s))


def _is_ready(entry: Entry, look: Seen, now_s: float, stable_s: float) -> bool:
    longest_s = stable_s * PATIENCE
    wait_s = longest_s if look.unfinished else min(max(stable_s, 2 * entry.pause_s), longest_s)
    return not entry.requested and (look.complete or now_s - entry.since_s >= wait_s)


def dump(cursor: Cursor) -> str:
    """Return the cursor as text."""
    rows = {
        key: [entry.stamp, round(entry.since_s, 1), round(entry.pause_s, 1), int(entry.requested)]
        for key, entry in cursor.entries.items()
    }
    return json.dumps({"form": _FORM, "clock": cursor.clock, "entries": rows}, separators=(",", ":"))


def parse(text: str | None) -> Cursor:
    """Invert ``dump``. None, and the text of another version, is the empty cursor: then every wait begins anew."""
    data = json.loads(text) if text else {}
    if data.get("form") != _FORM:
        return Cursor()
    entries = {
        key: Entry(stamp=stamp, since_s=since_s, pause_s=pause_s, requested=bool(requested))
        for key, (stamp, since_s, pause_s, requested) in data["entries"].items()
    }
    return Cursor(clock=data["clock"], entries=entries)
