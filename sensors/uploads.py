"""The door that lets uploads in: a folder that is watched, one run and one partition for each complete upload."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg

from sensors.outcomes import Shelves
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.traces import REUSE_TAG
from splat_pipeline.domain import inbox as rules
from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.ports import Store

DONE = ".done"
ListUpload = Callable[[Path], Upload]


def uploads_sensor(
    shelves: Shelves, *, store: Store, job_name: str, list_upload: ListUpload, stable_s: float, poll_s: int
) -> dg.SensorDefinition:
    """Return the sensor over the inbox; ``list_upload`` reads one upload and names its job."""
    inbox = shelves.inbox

    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen = {path.name: look(path) for path in entries(inbox)}
        cursor, ready = rules.decide(rules.parse(context.cursor), seen, now_s=time.time(), stable_s=stable_s)
        requests, keys = [], []
        for name in ready:
            upload = _read(name, shelves, list_upload, context)
            if upload is None:
                continue
            store.register(upload)
            keys.append(upload.job)
            requests.append(_request(upload, seen[name].stamp))
        new = [key for key in keys if not context.instance.has_dynamic_partition(str(jobs.name), key)]
        return dg.SensorResult(
            run_requests=requests,
            dynamic_partitions_requests=[jobs.build_add_request(new)] if new else [],
            cursor=rules.dump(cursor),
            skip_reason=None if requests else _why_nothing(seen),
        )

    return dg.SensorDefinition(
        name="uploads",
        evaluation_fn=tick,
        job_name=job_name,
        minimum_interval_seconds=poll_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts a run for every upload in {inbox} that did not change for {stable_s:g} s.",
    )


def entries(inbox: Path) -> Iterator[Path]:
    """Yield what was dropped: folders and single files; hidden names and the reasons of earlier failures are not."""
    if not inbox.is_dir():
        return
    for path in sorted(inbox.iterdir()):
        if not path.name.startswith((".", "_")) and not path.name.endswith(".reason.json"):
            yield path


def look(path: Path) -> rules.Seen:
    """Fingerprint an upload from the directory alone: no file is opened."""
    found = [path] if not path.is_dir() or path.is_symlink() else sorted(_walk(path))
    digest = hashlib.sha256()
    for file in found:
        stat = file.lstat()
        digest.update(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0{stat.st_ino}\n".encode())
    return rules.Seen(stamp=digest.hexdigest()[:16], complete=(path / DONE).exists(), empty=not found)


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder, followlinks=False):
        yield from (Path(root) / name for name in names)


def _read(name: str, shelves: Shelves, list_upload: ListUpload, context: dg.SensorEvaluationContext) -> Upload | None:
    """Read one upload; what cannot even be listed goes to error/ at once, with its reason."""
    try:
        return list_upload(shelves.inbox / name)
    except InputError as error:
        target = shelves.shelve(name, error.to_json())
        context.log.error(f"{name} was refused and lies in {target}: {error} Remedy: {error.remedy}")  # noqa: TRY400  # no traceback for users
        return None


def _request(upload: Upload, stamp: str) -> dg.RunRequest:
    # The stamp is part of the key, so that an upload that comes again after it was moved away runs again.
    tags = {"splat/title": upload.title, REUSE_TAG: "true"}
    return dg.RunRequest(run_key=f"{upload.job}:{stamp}", partition_key=upload.job, tags=tags)


def _why_nothing(seen: dict[str, rules.Seen]) -> str:
    return f"{len(seen)} uploads in the inbox, none newly complete"
