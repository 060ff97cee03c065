"""What may be tried on a window: each name begins with its mapper."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """What one attempt does differently."""

    mapper: str
    wide: bool = False
    """Match twice as many neighbours, and every pair up to ``WIDE_EXHAUSTIVE`` images."""
    loose: bool = False
    """Accept a weaker start and weaker images."""
    rich: bool = False
    """Find features anew: more, weaker ones, with affine shape."""
    other: bool = False
    """Begin elsewhere: another seed, and a pair from the middle."""
    join: bool = False
    """Go on from the best model so far, with more matches of the images that it lacks."""


WIDE_EXHAUSTIVE = 150
STRATEGIES: dict[str, Strategy] = {
    "global": Strategy(mapper="global"),
    "incremental": Strategy(mapper="incremental"),
    "global-wide": Strategy(mapper="global", wide=True),
    "incremental-wide": Strategy(mapper="incremental", wide=True, loose=True),
    "incremental-rich": Strategy(mapper="incremental", wide=True, loose=True, rich=True),
    "incremental-other": Strategy(mapper="incremental", loose=True, other=True),
    "incremental-join": Strategy(mapper="incremental", loose=True, join=True),
}
"""Global first: on real captures it registered as many images or more, in less time."""
