"""Which version of an artifact is current, so that an attempt that was superseded never publishes over its successor.

    <home>/attempts/<number>.json             an attempt began: written once, by one attempt only
    <home>/current/<number>-<version>.json    that attempt published this version

The highest number counts. An attempt that others took for dead, and that wakes up after its successor published, has a
lower number: there is no moment at which what it writes would be read. The listing alone says what is current.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from resources.sealed import read_sealed, sealed
from splat_pipeline.domain.errors import CorruptArtifact, Superseded
from splat_pipeline.ports.stores import Place

ATTEMPTS, CURRENT = "attempts", "current"
_READS = 3
_POINTER = re.compile(r"\d{8}-[0-9a-f]{16}\.json")


def begin(place: Place, home: str, about: Mapping[str, Any]) -> int:
    """Return the number of a new attempt; it is higher than that of any before it."""
    number = _newest(place, home) + 1
    while not place.create(f"{home}/{ATTEMPTS}/{number:08d}.json", sealed(about)):
        number += 1
    return number


def require_newest(place: Place, home: str, number: int) -> None:
    """Raise ``Superseded`` when another attempt began after this one."""
    newest = _newest(place, home)
    if newest > number:
        raise Superseded(f"attempt {number} at {home} is over: attempt {newest} began after it")


def point(place: Place, home: str, number: int, version: str, about: Mapping[str, Any]) -> None:
    """Make ``version`` the current one, as of attempt ``number``, and forget the attempts before it."""
    place.create(f"{home}/{CURRENT}/{number:08d}-{version}.json", sealed(about))
    for folder in (ATTEMPTS, CURRENT):
        for name in place.children(f"{home}/{folder}"):
            if name[:8].isdecimal() and int(name[:8]) < number:
                place.remove(f"{home}/{folder}/{name}")


def current(place: Place, home: str) -> tuple[str, dict[str, Any]] | None:
    """Return the current version and what was told of the attempt that made it; None when there never was one."""
    for _ in range(_READS):
        names = [name for name in place.children(f"{home}/{CURRENT}") if _POINTER.fullmatch(name)]
        if not names:
            return None
        try:
            return max(names)[9:25], read_sealed(place, f"{home}/{CURRENT}/{max(names)}")
        except FileNotFoundError:  # a later attempt took it away
            continue
    raise CorruptArtifact(f"{home}/{CURRENT} changed {_READS} times while it was read", file=CURRENT)


def _newest(place: Place, home: str) -> int:
    names = [*place.children(f"{home}/{ATTEMPTS}"), *place.children(f"{home}/{CURRENT}")]
    return max((int(name[:8]) for name in names if name[:8].isdecimal()), default=0)
