"""A draft first, then the final result as a new version: by the sensor, and by the command."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.stores import FileStore
from sensors.finals import DRAFT_TAG, finals_sensor
from splat_pipeline import passes
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.traces import REUSE_TAG
from splat_pipeline.domain.intake import OWNER_TAG
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.passes import run_passes
from splat_pipeline.settings import Settings

KEY = "garden-00000000"


def result_of(
    store: FileStore, instance: dg.DagsterInstance, *, draft: bool | None, tags: dict[str, str] | None = None
) -> Any:
    """Run a job that publishes a package, or none; return what the sensor asks for then."""

    @dg.asset(partitions_def=jobs, config_schema={"detail": dg.Noneable(str)})
    def training_plan(context):
        if draft is not None:
            with store.scratch(KEY, "package") as folder:
                (folder / "delivery.json").write_text(json.dumps({"draft": draft}))
                store.publish(KEY, "package", folder, provenance={"run_id": context.run.run_id})

    job = dg.define_asset_job("j", selection=[training_plan])
    defs = dg.Definitions(assets=[training_plan], jobs=[job])
    instance.add_dynamic_partitions(str(jobs.name), [KEY])
    done = defs.resolve_job_def("j").execute_in_process(
        instance=instance,
        partition_key=KEY,
        tags={"splat/title": "Garden", **(tags or {})},
        run_config={"ops": {"training_plan": {"config": {"detail": "full"}}}},
    )
    context = dg.build_run_status_sensor_context("finals", done.get_run_success_event(), instance, done.dagster_run)
    return done.run_id, finals_sensor(store=store, job=job, poll_s=10)(context)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", tmp_path / "delivered")


def test_after_a_draft_the_final_result_is_asked_for_and_takes_over_what_holds(
    store: FileStore, instance: dg.DagsterInstance
):
    run_id, request = result_of(store, instance, draft=True)
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.run_key) == (KEY, f"final:{run_id}")
    assert request.run_config["ops"] == {"training_plan": {"config": {"detail": "full", "draft": False}}}
    assert request.tags == {"splat/title": "Garden", DRAFT_TAG: run_id, REUSE_TAG: "true"}


@pytest.mark.parametrize(("draft", "tags"), [(False, {}), (None, {}), (True, {OWNER_TAG: "a command"})])
def test_a_final_result_a_part_of_a_job_and_a_command_are_followed_by_nothing(
    store: FileStore, instance: dg.DagsterInstance, draft: bool | None, tags: dict[str, str]
):
    _, request = result_of(store, instance, draft=draft, tags=tags)
    assert isinstance(request, dg.SkipReason)


def test_another_run_s_draft_is_not_followed_twice(store: FileStore, instance: dg.DagsterInstance):
    result_of(store, instance, draft=True)
    _, request = result_of(store, instance, draft=None)
    assert isinstance(request, dg.SkipReason)


@pytest.mark.parametrize(
    ("drafts", "fails_at", "asked"),
    [([False], None, [None]), ([True, False], None, [None, False]), ([True], 1, [None, False])],
)
def test_the_command_goes_on_after_a_draft_until_the_final_result_or_a_failure(
    drafts: list[bool], fails_at: int | None, asked: list[bool | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    seen: list[tuple[Any, bool]] = []

    def ran(settings: Settings, upload: Upload, *, config: dict[str, Any], listener: Any, reuse: bool) -> Any:
        seen.append((config.get("training_plan", {}).get("config", {}).get("draft"), reuse))
        return (False, {"class": "Diverged"}) if len(seen) - 1 == fails_at else (True, None)

    monkeypatch.setattr(passes, "run_upload", ran)
    monkeypatch.setattr(passes, "summary_of", lambda settings, job: {"draft": drafts[len(seen) - 1]})
    upload = Upload(job=KEY, title="Garden", location="/nowhere", files=())
    made = list(run_passes(Settings(home=tmp_path), upload, config={}, watch=lambda: nullcontext(print), reuse=False))
    assert [draft for draft, _ in seen] == asked
    assert [reuse for _, reuse in seen] == [False, True][: len(seen)]
    assert [summary is None for summary, _ in made] == [i == fails_at for i in range(len(seen))]
