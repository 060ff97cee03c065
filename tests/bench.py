"""The first three stages on one upload, through the real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg

from resources.inbox import list_upload
from resources.machine import LocalMachine
from resources.media import PyAvReader
from resources.sheets import ContactSheets
from resources.stores import FileStore
from splat_pipeline.assets import frames, intake
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain import tables
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.ports.media import MediaReader

ASSETS = [intake.source_videos, frames.frame_quality, frames.keyframes]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Bench:
    """One upload taken through the first three stages."""

    def __init__(self, root: Path, upload: Path) -> None:
        self.store = FileStore(root / "store", root / "delivered")
        self.upload = list_upload(upload)
        self.store.register(self.upload)

    def run(
        self,
        config: dict[str, Any] | None = None,
        recipe: Recipe | None = None,
        assets: list[Any] = ASSETS,
        reader: MediaReader | None = None,
    ) -> dg.ExecuteInProcessResult:
        resources = {
            "store": self.store,
            "machine": LocalMachine(),
            "reader": reader or PyAvReader(),
            "sheets": ContactSheets(),
            "recipe": recipe or Recipe(),
        }
        run_config = QUIET | ({"ops": {"source_videos": {"config": config}}} if config else {})
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions(str(jobs.name), [self.upload.job])
            return dg.materialize(
                assets,
                instance=instance,
                partition_key=self.upload.job,
                resources=resources,
                run_config=run_config,
                raise_on_error=False,
            )

    def folder(self, asset: str) -> Path:
        return self.store.fetch(self.upload.job, asset).folder

    def table(self, asset: str, spec: tables.TableSpec):
        return tables.read_table(self.folder(asset) / f"{spec.name}.parquet", spec)

    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder("source_videos") / "manifest.json").read_text())


def failure_of(result: dg.ExecuteInProcessResult) -> tuple[str, dict[str, Any]]:
    event = next(e for e in result.all_events if e.event_type_value == "STEP_FAILURE")
    failure = event.step_failure_data.user_failure_data
    return event.step_key, {key: value.value for key, value in failure.metadata.items()}
