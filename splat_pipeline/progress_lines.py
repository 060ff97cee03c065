"""Progress of a run for programs: one JSON object a line, on standard output or to the webhook.

    {"percent": 61, "stage": "splat", "status": "running", "artifacts": {}}
    {"percent": 93, "stage": "preview", "status": "done", "artifacts": {"preview": "/.../preview.mp4"}}

``percent`` never falls. It counts stages by the share of the time that they usually take, and within the training the
iterations. ``artifacts`` are the files that exist by then, by what they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dagster as dg

from splat_pipeline.domain.errors import WebhookFailed
from splat_pipeline.domain.progress import progress_of
from splat_pipeline.domain.report import STAGE_ORDER
from splat_pipeline.ports.outlets import Outlet

Send = Callable[[Mapping[str, Any]], None]

USUAL = {
    "source_videos": 2, "frame_quality": 6, "features": 8, "match_graph": 12, "local_reconstructions": 12,
    "camera_poses": 4, "splat": 45, "exports": 2, "preview": 4, "report": 2,
}  # fmt: skip
"""Shares of the time of a usual job; other stages count 1."""
FILES = {
    "preview": {"preview": "preview.mp4", "poster": "poster.jpg"},
    "exports": {"ply": "model-*[0-9].ply", "splat": "model-*.splat", "spz": "model-*.spz"},
    "report": {"report": "report.html"},
    "package": {"delivery": "delivery.json"},
}
"""What is told of a stage's artifact, by a pattern of its name."""


class JsonProgress:
    """Listens to a run's events; to be used in the place of ``terminal.Progress``."""

    def __init__(self, send: Send) -> None:
        """``send`` takes each line as an object."""
        self._send = send
        self._shares = {stage: USUAL.get(stage, 1) for stage in STAGE_ORDER}
        self._done: set[str] = set()
        self._percent = 0
        self._artifacts: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._tell("", "started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def __call__(self, entry: dg.EventLogEntry) -> None:
        """Tell one event."""
        event, stage = entry.dagster_event, (entry.step_key or "").partition(".")[0]
        if event is None:
            at = progress_of(entry.user_message)
            if at is not None:
                self._tell(stage, "running", within=at.iteration / max(at.iterations, 1))
        elif event.is_step_start:
            self._tell(stage, "running")
        elif event.is_step_failure:
            self._tell(stage, "failed")
        elif event.event_type_value == "ASSET_MATERIALIZATION" and event.asset_key is not None:
            stage = event.asset_key.to_user_string()
            self._done.add(stage)
            self._find(stage, event.step_materialization_data.materialization.metadata)
            self._tell(stage, "done")

    def _find(self, stage: str, metadata: Mapping[str, Any]) -> None:
        if "artifact" not in metadata:
            return
        folder = Path(str(metadata["artifact"].value))
        for what, pattern in FILES.get(stage, {}).items():
            for path in sorted(folder.rglob(pattern)):
                self._artifacts[what] = str(path)

    def _tell(self, stage: str, status: str, *, within: float = 0.0) -> None:
        reached: float = sum(self._shares.get(name, 0) for name in self._done)
        reached += 0 if stage in self._done else within * self._shares.get(stage, 0)
        self._percent = max(self._percent, int(100 * reached / sum(self._shares.values())))
        self._send({"percent": self._percent, "stage": stage, "status": status, "artifacts": dict(self._artifacts)})


def to_stdout(line: Mapping[str, Any]) -> None:
    """Write one line at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def to_webhook(outlet: Outlet, job: str) -> Send:
    """Return what sends stages that begin or end, not every step of a training; who does not listen stops nothing."""
    last: list[tuple[str, str]] = []

    def send(line: Mapping[str, Any]) -> None:
        at = (line["stage"], line["status"])
        if last != [at]:
            last[:] = [at]
            try:
                outlet.tell("progress", {"uuid": job, **line}, job=job, version="")
            except WebhookFailed as error:
                sys.stderr.write(f"WebhookFailed: {error}\n")

    return send
