"""Real captures: what a person expects of them stands for the truth that nobody knows.

A folder with an ``expected.json`` is a capture, and so is a file in a folder without one. It is good, unless this says
that it is to be rejected, or it is one of the files of ``BROKEN``, by name. Papers are no captures.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gates.judged import Judged, number
from benchmarks.gates.line import STAGES, Line
from benchmarks.gates.nursery import nursed
from benchmarks.gates.truth import NOTHING
from splat_pipeline.domain import plans, tables
from splat_pipeline.domain.recipe import Recipe

LARGER: dict[str, Any] = {
    "detail": "preview",
    "frames": {"max_keyframes": 130, "longer_side_px": 640},
    "poses": {"max_features": 3000, "longer_side_px": 640},
}
"""Recipe of real captures, trained as a user's are: seconds to minutes of film do not fit into 13 keyframes."""
UNREADABLE = frozenset({"unreadable"})
BROKEN: Mapping[str, frozenset[str]] = {
    "truncated_no_moov.mp4": UNREADABLE,
    "zero_byte.mp4": UNREADABLE,
    "text_renamed.mp4": UNREADABLE,
    "audio_only.mp4": UNREADABLE,
    "audio_with_cover.m4a": UNREADABLE,
    "one_frame.mp4": frozenset({"too-short"}),
    "black.mp4": frozenset({"too-dark"}),
    "blurry.mp4": frozenset({"blurred"}),
    "static_tripod_still.mp4": frozenset({"static-camera"}),
    "static_camera_moving_people.mp4": frozenset({"static-camera"}),
    "moving_object_static_background.mp4": frozenset({"static-camera"}),
    "tiny_64x48.mp4": frozenset({"too-small"}),
    "corrupt_middle.mp4": frozenset({"bad-poses-found", "drift", "few-registered", "no-model", "weak-footage"}),
    "opencv_Megamind_bugy.avi": frozenset({"no-model", "few-registered", "dynamic", "low-overlap", "drift"}),
}
"""Files that no splat can come of, and what that may rightly be called.

``corrupt_middle.mp4``: its poses are off by 20 % of the extent and 122 degrees from those of the intact clip.
"""
REJECTED = frozenset({"static-camera", "dynamic"})


def captures(data: Path) -> Iterator[Path]:
    """Yield the captures of a collection, or of the collections in a folder."""
    for path in sorted(data.iterdir()):
        if path.name.startswith(".") or path.suffix in {".md", ".txt", ".json"}:
            continue
        if path.is_dir() and not (path / "expected.json").is_file():
            yield from captures(path)
        else:
            yield path


def classes_of(path: Path) -> frozenset[str]:
    """Return what a capture's failure may be called; none: it is good."""
    told = path / "expected.json"
    if told.is_file():
        return REJECTED if json.loads(told.read_text())["outcome"] == "reject" else frozenset()
    return BROKEN.get(path.name, frozenset())


def judged(data: Path, known: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield what becomes of each capture below ``data`` up to its splat, as the rows of other captures.

    Those whose names are ``known`` are left out.
    """
    with tempfile.TemporaryDirectory(prefix="gates-") as home, nursed():
        line = Line(Path(home), recipe=Recipe().overridden(LARGER, source="benchmark"), ladder=plans.CPU_LADDER)
        Path(line.settings.place("store")).mkdir(parents=True)
        for path in captures(data):
            if path.name in known:
                continue
            began = time.monotonic()
            yield _row(line, path) | {"seconds": round(time.monotonic() - began, 1)}


def _row(line: Line, path: Path) -> dict[str, Any]:
    job = line.register(path, path.name)
    outcome = line.run(job, STAGES)
    rows = line.store.rows(tables.GATES)
    mine = rows[rows["job"] == job].drop_duplicates("gate", keep="last") if len(rows) else rows
    cause = str((outcome.reason or {}).get("cause") or "")
    plan = json.loads((line.folder(job, "splat") / "plan.json").read_text()) if outcome.reason is None else {}
    classes = classes_of(path)
    told = Judged(
        name=path.name, kind="real", stage="real", classes=tuple(sorted(classes)), shipped=outcome.reason is None,
        failure=outcome.reason and outcome.reason["failure"],
        raised=outcome.reason is not None and not cause.startswith("gate "), stopped_by=cause[:200],
        detail=plan.get("detail"), reasons=tuple(plan.get("reasons", ())),
        warned=tuple(mine.loc[~mine["passed"].astype(bool) & (mine["severity"] == "WARN"), "gate"]),
        gates={row["gate"]: number(row["value"]) for row in mine.to_dict("records")}, worth=NOTHING,
    )  # fmt: skip
    return told.to_json() | {"good": not classes}
