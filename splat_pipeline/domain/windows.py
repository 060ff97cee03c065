"""Which keyframes are reconstructed together, what is tried on them, and which attempt is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from splat_pipeline.domain.errors import MissingWindow

GOOD_SHARE = 0.8
"""An attempt that registers this share of its window ends the search (nerfstudio calls less weak)."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Keyframes ``first`` to ``stop - 1``, by keyframe_id."""

    window_id: int
    first: int
    stop: int

    @property
    def name(self) -> str:
        """Of the window's artifact, and of its folder in ``local_reconstructions``."""
        return f"window_{self.window_id:04d}"

    def of(self, keyframes: pd.DataFrame) -> pd.DataFrame:
        """Return the window's rows of ``keyframes``."""
        return keyframes[keyframes["keyframe_id"].between(self.first, self.stop - 1)]


def plan_windows(keyframes: pd.DataFrame) -> list[Window]:
    """Return the windows that cover ``keyframes``, in order: one over all of them.

    Up to a few hundred frames one window is the more accurate choice: windows gain on length and memory only.
    """
    ids = keyframes["keyframe_id"]
    return [Window(window_id=0, first=int(ids.min()), stop=int(ids.max()) + 1)] if len(ids) else []


def complete(planned: Sequence[Window], done: Iterable[int]) -> None:
    """Raise ``MissingWindow`` naming the planned windows that are not done."""
    have = set(done)
    missing = [window.name for window in planned if window.window_id not in have]
    if missing:
        raise MissingWindow(f"{len(missing)} of {len(planned)} windows are missing: {', '.join(missing)}")


def ladder(strategies: Sequence[str], mapper: str) -> list[str]:
    """Return the strategies that ``mapper`` ("auto" or a mapper's name, with which theirs begin) allows, best first."""
    return [name for name in strategies if mapper == "auto" or name.split("-", maxsplit=1)[0] == mapper]


def is_enough(registered: int, images: int) -> bool:
    """Say whether nothing more need be tried."""
    return registered >= GOOD_SHARE * images


def settle(attempts: Sequence[dict[str, Any]]) -> tuple[int | None, list[dict[str, Any]]]:
    """Return the position of the best attempt (None when none gave a model) and the rows with their final outcome.

    Best is most images registered; the first of equals. Rows are of ``tables.ATTEMPTS``.
    """
    best = max(range(len(attempts)), key=lambda i: (attempts[i]["registered"], -i), default=None)
    if best is None or not attempts[best]["registered"]:
        return None, [dict(row) for row in attempts]
    outcomes = [
        "kept" if i == best else "weaker" if row["registered"] else row["outcome"] for i, row in enumerate(attempts)
    ]
    return best, [{**row, "outcome": outcome} for row, outcome in zip(attempts, outcomes, strict=True)]


def window_row(window: Window, attempts: Sequence[dict[str, Any]], best: int | None) -> dict[str, Any]:
    """Return the row of ``tables.WINDOWS`` that sums up ``attempts``."""
    kept = None if best is None else attempts[best]
    return {
        "window_id": window.window_id,
        "first": window.first,
        "stop": window.stop,
        "registered": kept["registered"] if kept else 0,
        "rms_px": kept["rms_px"] if kept else None,
        "strategy": kept["strategy"] if kept else "",
        "attempts": len(attempts),
        "failure_signature": None if kept else ", ".join(f"{row['strategy']}: {row['outcome']}" for row in attempts),
        "seconds": sum(row["seconds"] for row in attempts),
        "peak_rss_bytes": max((row["peak_rss_bytes"] for row in attempts), default=0),
    }
