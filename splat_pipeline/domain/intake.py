"""What a run is told of its upload, and what becomes of an upload whose content is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splat_pipeline.domain.uploads import Upload

TITLE_TAG, UPLOAD_TAG, STAMP_TAG = "splat/title", "splat/upload", "splat/stamp"
OWNER_TAG = "splat/owner"
"""Of a run without a daemon: the process that runs it."""
PRODUCT_TAG, PRIORITY_TAG, PARTITION_TAG = "splat/product", "dagster/priority", "dagster/partition"
RUNNING = frozenset(["NOT_STARTED", "QUEUED", "MANAGED", "STARTING", "STARTED", "CANCELING"])
"""Dagster's names for a run that has not ended."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """The last run of a job."""

    run_id: str
    status: str
    upload: str | None
    """Entry of the inbox that it was started for."""


def tags_of(upload: Upload) -> dict[str, str]:
    """Return the tags of a run for an entry of the inbox; Dagster starts higher priorities first, then older runs."""
    return {
        TITLE_TAG: upload.title,
        UPLOAD_TAG: upload.entry,
        STAMP_TAG: upload.stamp,
        PRODUCT_TAG: upload.wishes.product,
        PRIORITY_TAG: str(upload.wishes.priority),
    }


def duplicate(upload: Upload, known: Known, *, utc: str) -> dict[str, Any]:
    """Return what is told beside an upload whose content was computed, or is, by another run."""
    return {
        "result": "of an earlier upload with the same content; force: true in job.yaml computes it anew",
        "job": upload.job,
        "title": upload.title,
        "run_id": known.run_id,
        "run": f"/runs/{known.run_id}",
        "key": f"{known.run_id} again {upload.stamp}",
        "utc": utc,
    }


def outcome(run_id: str, tags: Mapping[str, str], *, job: str, utc: str, link: str) -> dict[str, Any]:
    """Return what is told beside an upload after its run, apart from why it failed."""
    return {
        "job": job,
        "title": tags.get(TITLE_TAG, ""),
        "product": tags.get(PRODUCT_TAG, ""),
        "run_id": run_id,
        "run": link,
        "key": run_id,
        "utc": utc,
    }
