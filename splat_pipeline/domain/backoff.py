"""How long to wait between attempts: exponentially longer, by chance, within a budget.

Chance spreads the attempts of many callers that failed together ("full jitter": Brooker, Exponential Backoff And
Jitter, AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Bounds of the waits, all in seconds."""

    first_s: float = 1.0
    """The first wait is at most this long; each one after it at most twice as long as the one before."""
    longest_s: float = 30.0
    """No single wait is longer."""
    budget_s: float = 120.0
    """No wait is begun that would end after so long, counted from the first attempt."""


def waits(backoff: Backoff, chance: random.Random) -> Iterator[float]:
    """Yield how long to wait before the second attempt, the third and so on, without end, in seconds."""
    most = backoff.first_s
    while True:
        yield chance.uniform(0, min(most, backoff.longest_s))
        most = min(2 * most, backoff.longest_s)
