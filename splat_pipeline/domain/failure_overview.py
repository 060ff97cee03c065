"""What goes wrong over all jobs: recurring failures, success by stage, corrections a segment, cost by type of scene.

Every function takes cross-job tables as ``Store.rows`` gives them, and returns one row a line of what is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from splat_pipeline.domain.alike import code_in, signature
from splat_pipeline.domain.taxonomy import BY_CODE, class_of, named

MOST = 50
"""Recurring failures that are shown."""
_NUMBERED = re.compile(r"_\d+$")
Classes = Mapping[str, type[Exception]]
"""By gate, the error that it stops a job with."""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What is shown, worst first where there is an order."""

    failures: pd.DataFrame
    """signature, failure, jobs, times, last_utc, a_job, person, operator."""
    stages: pd.DataFrame
    """stage, runs, succeeded, success_rate, of the windows of a fan-out as one stage."""
    corrections: pd.DataFrame
    """job, segment, attempts, registered, of: how often each segment was tried."""
    cost: pd.DataFrame
    """scene_type, stage, runs, seconds, peak_rss_bytes, peak_vram_bytes, gpu_share: medians, highest peaks."""


def overview(stages: pd.DataFrame, gates: pd.DataFrame, corrections: pd.DataFrame, classes: Classes) -> Overview:
    """Return what goes wrong over all jobs. ``classes``: see ``Classes``."""
    failed = pd.concat([_raised(stages), _stopped(gates, classes)], ignore_index=True)
    return Overview(
        failures=recurring(failed), stages=by_stage(stages), corrections=per_segment(corrections),
        cost=by_scene(stages, gates),
    )  # fmt: skip


def _raised(stages: pd.DataFrame) -> pd.DataFrame:
    failed = stages[stages["failure_signature"].notna()]
    return failed[["job", "utc"]].assign(signature=failed["failure_signature"].map(str))


def _stopped(gates: pd.DataFrame, classes: Classes) -> pd.DataFrame:
    """Return the failures of gates that stop a job: their stage itself succeeded."""
    failed = gates[(gates["severity"] == "ERROR") & ~gates["passed"].astype(bool)]
    signatures = [
        signature(_code_of(str(row["gate"]), classes), str(row["stage"]), f"gate {row['gate']}")
        for row in failed.to_dict("records")
    ]
    return failed[["job", "utc"]].assign(signature=signatures)


def _code_of(gate: str, classes: Classes) -> str:
    return class_of(classes[gate]).code if gate in classes else "internal"


def recurring(failed: pd.DataFrame, most: int = MOST) -> pd.DataFrame:
    """Return the failures that alike jobs had, those of most jobs first. ``failed``: job, utc, signature."""
    rows: list[dict[str, Any]] = []
    for text, group in failed.groupby("signature", sort=True):
        last = group.sort_values("utc", kind="stable").iloc[-1]
        found = BY_CODE.get(code_in(str(text))) or named(code_in(str(text)))  # rows of before have the error's own name
        rows.append(
            {
                "signature": str(text), "failure": found.code, "jobs": group["job"].nunique(), "times": len(group),
                "last_utc": last["utc"], "a_job": last["job"], "person": found.person, "operator": found.operator,
            }
        )  # fmt: skip
    rows.sort(key=lambda row: (-row["jobs"], -row["times"], row["signature"]))
    return _frame(rows[:most], ("signature", "failure", "jobs", "times", "last_utc", "a_job", "person", "operator"))


def by_stage(stages: pd.DataFrame) -> pd.DataFrame:
    """Return how often each stage succeeded, the worst first; the windows of a fan-out count as one stage."""
    done = pd.DataFrame({"stage": _stage_names(stages), "success": (stages["outcome"] != "failure").to_numpy()})
    rows = [
        {
            "stage": str(stage),
            "runs": len(group),
            "succeeded": int(group["success"].sum()),
            "success_rate": round(float(group["success"].mean()), 4),
        }
        for stage, group in done.groupby("stage", sort=True)
    ]
    found = _frame(rows, ("stage", "runs", "succeeded", "success_rate"))
    return found.sort_values("success_rate", kind="stable", ignore_index=True)


def per_segment(corrections: pd.DataFrame) -> pd.DataFrame:
    """Return how often each segment of each job was tried, most first; of a job that ran again, the last run counts."""
    last = corrections.drop_duplicates(["job", "segment"], keep="last")
    order = last.sort_values(["attempts", "job", "segment"], ascending=[False, True, True], kind="stable")
    return order[["job", "segment", "attempts", "registered", "of"]].reset_index(drop=True)


def by_scene(stages: pd.DataFrame, gates: pd.DataFrame) -> pd.DataFrame:
    """Return what each stage costs by type of scene; a job whose gates tell none is ``unknown``.

    What was reused cost nothing, and is no run.
    """
    stages = stages[stages["outcome"] != "reused"]
    scene_of = gates.drop_duplicates("job", keep="last").set_index("job")["scene_type"]
    scenes = stages["job"].map(scene_of).fillna("unknown") if len(stages) else pd.Series(dtype=object)
    costs = stages.assign(stage=_stage_names(stages), scene_type=scenes)
    rows = []
    for (scene, stage), group in costs.groupby(["scene_type", "stage"], sort=True):
        vram, share = (pd.to_numeric(group[name]).dropna() for name in ("peak_vram_bytes", "gpu_share"))
        rows.append(
            {
                "scene_type": str(scene), "stage": str(stage), "runs": len(group),
                "seconds": round(float(group["seconds"].median()), 3),
                "peak_rss_bytes": int(group["peak_rss_bytes"].max()),
                "peak_vram_bytes": int(vram.max()) if len(vram) else None,
                "gpu_share": round(float(share.median()), 4) if len(share) else None,
            }
        )  # fmt: skip
    columns = ("scene_type", "stage", "runs", "seconds", "peak_rss_bytes", "peak_vram_bytes", "gpu_share")
    return _frame(rows, columns)


def _stage_names(stages: pd.DataFrame) -> list[str]:
    return [_NUMBERED.sub("", str(name)) for name in stages["stage"]]


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object)
