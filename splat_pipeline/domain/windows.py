"""Which keyframes are reconstructed together, what is tried on them, and which attempt is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from splat_pipeline.domain.errors import MissingWindow
from splat_pipeline.domain.recipe import PoseRecipe


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


def plan_windows(keyframes: pd.DataFrame, recipe: PoseRecipe) -> list[Window]:
    """Return the windows that cover ``keyframes``, in order: one over all of them up to ``window_over``.

    That is the more accurate choice as long as it can be afforded; windows gain on length and memory. Neighbouring
    windows of a clip share ``window_overlap`` keyframes or some more; no window reaches over the end of its clip, where
    neighbours in the order show different things.
    """
    if len(keyframes) <= recipe.window_over:
        spans = [_span(keyframes)] if len(keyframes) else []
    else:
        clips = keyframes.groupby("video_id", sort=False)
        spans = sorted(span for _, clip in clips for span in _spans(*_span(clip), recipe))
    return [Window(window_id=i, first=first, stop=stop) for i, (first, stop) in enumerate(spans)]


def _span(keyframes: pd.DataFrame) -> tuple[int, int]:
    return int(keyframes["keyframe_id"].min()), int(keyframes["keyframe_id"].max()) + 1


def _spans(first: int, stop: int, recipe: PoseRecipe) -> list[tuple[int, int]]:
    """Windows of equal length, evenly spread: the last of a clip is no shorter than the others."""
    size = min(recipe.window_size, stop - first)
    overlap = min(recipe.window_overlap, size - 1)
    steps = math.ceil((stop - first - size) / (size - overlap))
    starts = [first + round(i * (stop - first - size) / max(1, steps)) for i in range(steps + 1)]
    return [(start, start + size) for start in starts]


def complete(planned: Sequence[Window], done: Iterable[int]) -> None:
    """Raise ``MissingWindow`` naming the planned windows that are not done."""
    have = set(done)
    missing = [window.name for window in planned if window.window_id not in have]
    if missing:
        raise MissingWindow(f"{len(missing)} of {len(planned)} windows are missing: {', '.join(missing)}")


def offered(strategies: Sequence[str], mapper: str) -> list[str]:
    """Return the strategies that ``mapper`` ("auto" or a mapper's name, with which theirs begin) allows, best first."""
    return [name for name in strategies if mapper == "auto" or name.split("-", maxsplit=1)[0] == mapper]


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


def settle_again(
    attempts: Sequence[dict[str, Any]], again: dict[str, Any], *, taken: bool
) -> tuple[int, list[dict[str, Any]]]:
    """Return, as ``settle`` does, what counts after a doubted window was redone: ``again`` if it is ``taken``."""
    old = next(i for i, row in enumerate(attempts) if row["outcome"] == "kept")
    rows = [dict(row) for row in (*attempts, again)]
    if taken:
        rows[old]["outcome"], rows[-1]["outcome"] = "doubted", "kept"
    elif again["registered"]:
        rows[-1]["outcome"] = "weaker"
    return (len(attempts) if taken else old), rows


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
