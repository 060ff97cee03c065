"""Whether two artifacts of one stage say the same: byte by byte, or number by number within a tolerance.

``equal``      the same bytes
``same``       the same but for what was measured or named by the clock: seconds, memory, times, model-<UTC>
``within``     numbers differ by no more than the stage's tolerance
``differs``    anything else
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from splat_pipeline.domain.formats.ply import read_ply

CLOCK = frozenset(
    {
        "seconds",
        "peak_rss_bytes",
        "utc",
        "run_id",
        "timings",
        "version",
        "size_bytes",
        "code_version",
        "recipe_keys_from",
    }
)
"""Columns and keys that tell of the run, not of its result; sizes are those of compressed files."""
PAGES = frozenset({".html"})
"""Tell times; what else they tell is told by tables that are compared."""
OTHER_BYTES = 1e-9
"""A difference that is there and has no number: pictures, films, Gaussians that cannot be held one against another."""
EXACT = 0.0
TOLERANCE: Mapping[str, float] = {
    "source_videos": EXACT, "frame_quality": EXACT, "keyframes": EXACT, "features": EXACT, "match_graph": EXACT,
    "linking_frames": EXACT, "window_": 1e-4, "local_reconstructions": 1e-4, "camera_poses": 1e-4,
    "point_cloud": 1e-4, "training_plan": EXACT, "splat": 0.1, "cleaned": 0.1, "exports": 0.1, "preview": 0.1,
    "report": 0.1,
}  # fmt: skip
"""How far a number may be off, as a share of what its column spreads over. Bundle adjustment on several threads adds up
in another order each time: 1e-13 was seen on 30 frames, 1e-4 leaves room for longer captures. What is trained on poses
that differ in the last digit is other Gaussians, whose figures agree in the middle."""
COARSE = 0.05
"""From this tolerance on the median difference of a column counts, below it the largest."""
FEWER = 0.05
"""So far may counts of points, Gaussians or attempts be apart where a stage has a tolerance."""
_STAMP = re.compile(r"model-\d{14}")


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What came of comparing one stage."""

    verdict: str
    worst: float = 0.0
    """Largest difference, as a share of what its column spreads over."""
    where: str = ""
    """File and column of it, or what else differs."""


def compare(stage: str, before: Path, after: Path) -> Likeness:
    """Compare two artifact folders of ``stage``."""
    ours, theirs = _files(before), _files(after)
    if set(ours) != set(theirs):
        return Likeness(verdict="differs", worst=math.inf, where=", ".join(sorted(set(ours) ^ set(theirs)))[:200])
    other = [name for name in sorted(ours) if ours[name].read_bytes() != theirs[name].read_bytes()]
    if not other:
        return Likeness(verdict="equal" if _names(before) == _names(after) else "same")
    tolerance = tolerance_of(stage)
    found = [_compare(name, ours[name], theirs[name], tolerance) for name in other]
    worst, where = max(found, key=lambda pair: pair[0])
    verdict = "same" if worst == 0 else "within" if worst <= tolerance else "differs"
    return Likeness(verdict=verdict, worst=worst, where=where if worst else "")


def tolerance_of(stage: str) -> float:
    """Return the tolerance of a stage, or of a window of its fan-out."""
    return next((value for name, value in TOLERANCE.items() if stage.startswith(name)), EXACT)


def overall(verdicts: Sequence[str]) -> str:
    """Return the worst of the verdicts."""
    order = ("equal", "same", "within", "differs")
    return max(verdicts, key=order.index, default="equal")


def environment_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return in words what two snapshots say differently of versions and machine."""
    told = []
    for part in ("versions", "machine"):
        old, new = before.get(part, {}), after.get(part, {})
        told += [
            f"{part}.{name}: {old.get(name, 'unknown')} -> {new.get(name, 'unknown')}"
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
    return told


def _files(folder: Path) -> dict[str, Path]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "artifact.json"]
    return {_STAMP.sub("model", path.relative_to(folder).as_posix()): path for path in paths}


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def _compare(name: str, before: Path, after: Path, tolerance: float) -> tuple[float, str]:
    """Return (worst difference, where); 0: the same but for the clock."""
    if before.suffix == ".parquet":
        return _tables(name, pd.read_parquet(before), pd.read_parquet(after), tolerance)
    if before.suffix == ".json":
        old, new = (_flat(json.loads(path.read_text())) for path in (before, after))
        return _leaves(name, old, new)
    if before.name == "gaussians.ply":
        old_count, new_count = (len(read_ply(path)) for path in (before, after))
        share, told = _counts(name, old_count, new_count, tolerance)
        return max(share, OTHER_BYTES), told
    if before.suffix in PAGES:
        return 0.0, name
    return (OTHER_BYTES if tolerance else math.inf), f"{name}: other bytes"


def _tables(name: str, old: pd.DataFrame, new: pd.DataFrame, tolerance: float) -> tuple[float, str]:
    if list(old.columns) != list(new.columns):
        return math.inf, f"{name}: other columns"
    if len(old) != len(new):
        return _counts(name, len(old), len(new), tolerance)
    worst = (0.0, name)
    for column in old.columns:
        if column not in CLOCK:
            worst = max(worst, (_column(old[column], new[column], tolerance), f"{name}: {column}"))
    return worst


def _column(old: pd.Series[Any], new: pd.Series[Any], tolerance: float) -> float:
    if not pd.api.types.is_numeric_dtype(old) or pd.api.types.is_bool_dtype(old):
        words = [[_STAMP.sub("model", str(value)) for value in column] for column in (old, new)]
        return 0.0 if words[0] == words[1] else _share_of(words) if tolerance else math.inf
    a, b = old.to_numpy(np.float64), new.to_numpy(np.float64)
    if not (np.isnan(a) == np.isnan(b)).all():
        return math.inf
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    spread = max(float(np.nanmax(a) - np.nanmin(a)), float(np.nanmax(np.abs(a))) * 1e-3, 1e-12)
    off = np.abs(a - b)
    most = float(np.nanmedian(off)) if tolerance >= COARSE else float(np.nanmax(off))
    return most / spread


def _share_of(words: Sequence[Sequence[str]]) -> float:
    other = sum(a != b for a, b in zip(words[0], words[1], strict=True))
    return other / max(1, len(words[0]))


def _counts(name: str, old: int, new: int, tolerance: float) -> tuple[float, str]:
    share = abs(old - new) / max(old, 1)
    told = f"{name}: {old} -> {new} rows"
    return (math.inf, told) if tolerance < COARSE or share > FEWER else (share, told)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested values by their path, without those of the clock."""
    if isinstance(value, Mapping):
        items: Any = [(str(key), inner) for key, inner in value.items() if key not in CLOCK]
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: value}
    return {key: leaf for name, inner in items for key, leaf in _flat(inner, f"{path}.{name}".lstrip(".")).items()}


def _leaves(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[float, str]:
    """Return the worst relative difference of numbers; words must be the same, digits in them aside."""
    if set(old) != set(new):
        return math.inf, f"{name}: other keys"
    worst = (0.0, name)
    for key, a in old.items():
        b = new[key]
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (a, b))
        off = abs(a - b) / max(abs(a), 1.0) if numbers else 0.0 if _words(a) == _words(b) else math.inf
        worst = max(worst, (float(off), f"{name}: {key}"))
    return worst


def _words(value: Any) -> str:
    return re.sub(r"\d+", "#", str(value))
