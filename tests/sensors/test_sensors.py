"""An upload that stays unchanged starts one run; afterwards it lies in processed/ or, with its reason, in error/."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.places import place_of
from resources.shelves import Shelves
from resources.stores import FileStore
from sensors.outcomes import AT_ONCE, Cursor, Exit, outcomes_sensor
from sensors.uploads import Door, uploads_sensor
from splat_pipeline.assets.failures import classified
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain.errors import StoreUnavailable, TooDark
from splat_pipeline.domain.inbox import Moment

UTC = "2026-11-20T10:15:00Z"


@dg.asset(partitions_def=jobs)
@classified
def only(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("fails"):
        raise TooDark("median luma 2", file="a.mp4")


JOB = dg.define_asset_job("j", selection=[only])
DEFS = dg.Definitions(assets=[only], jobs=[JOB])


class Installation:
    """Both doors, a store, and a Dagster that runs what is asked for."""

    def __init__(self, root: str, local: Path, instance: dg.DagsterInstance) -> None:
        inbox, processed, errors = (place_of(f"{root}/{name}") for name in ("inbox", "processed", "error"))
        self.shelves = Shelves(inbox=inbox, processed=processed, errors=errors)
        self.store = FileStore(f"{root}/store", f"{root}/delivered", local=local)
        self.instance, self.s = instance, 0.0
        self.let_in: str | None = None
        self.let_out: str | None = None
        self.stable_s = 0.0
        self.slow_s = 0.0

    def drop(self, name: str = "garden", text: str = "film", **wishes: Any) -> None:
        self.shelves.inbox.write(f"{name}/a.mp4", text.encode())
        if wishes:
            self.shelves.inbox.write(f"{name}/job.yaml", json.dumps(wishes).encode())

    def now(self) -> Moment:
        """A clock that goes on by ``slow_s`` at every reading."""
        self.s += self.slow_s
        return Moment(clock="boot", s=self.s)

    def tick(self) -> list[dg.RunRequest]:
        """Let the uploads sensor look once; add the partitions that it asks for."""
        self.s += 10
        door = Door(
            shelves=self.shelves,
            store=self.store,
            job_name="j",
            stable_s=self.stable_s,
            now=self.now,
            utc=lambda: UTC,
        )
        sensor = uploads_sensor(door, poll_s=5, inbox="inbox")
        result = sensor(dg.build_sensor_context(instance=self.instance, cursor=self.let_in))
        assert isinstance(result, dg.SensorResult)
        self.let_in = result.cursor
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(str(jobs.name), request.partition_keys)
        return list(result.run_requests or [])

    def run(self, request: dg.RunRequest, **tags: str) -> dg.ExecuteInProcessResult:
        return DEFS.resolve_job_def("j").execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags={**request.tags, **tags},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def settle(self) -> Cursor:
        """Let the outcomes sensor look once."""
        sensor = outcomes_sensor(
            Exit(shelves=self.shelves, store=self.store, job_name="j", ui="http://ui:3000/", now=self.now), poll_s=5
        )
        result = sensor(dg.build_sensor_context(instance=self.instance, cursor=self.let_out))
        assert isinstance(result, dg.SensorResult)
        self.let_out = result.cursor
        return Cursor.parse(result.cursor)

    def marker(self, shelf: str, name: str) -> dict[str, Any]:
        return json.loads(getattr(self.shelves, shelf).read(name))


@pytest.fixture
def at(tmp_path: Path, instance: dg.DagsterInstance) -> Installation:
    return Installation(str(tmp_path), tmp_path / "local", instance)


@pytest.mark.parametrize("fails", [False, True])
def test_an_upload_ends_as_one_result_or_one_error_wherever_it_lies(
    anywhere: str, tmp_path: Path, instance: dg.DagsterInstance, fails: bool
):
    at = Installation(anywhere, tmp_path / "local", instance)
    at.drop(product="quick", priority=7)
    (request,) = at.tick()
    assert at.tick() == []
    job = str(request.partition_key)
    assert job.startswith("garden-")
    assert request.tags["splat/title"] == "garden"
    assert (request.tags["splat/product"], request.tags["dagster/priority"]) == ("quick", "7")
    assert instance.has_dynamic_partition("jobs", job)
    assert at.store.upload(job).location == f"{at.shelves.inbox.url}/garden"
    done = at.run(request, **({"fails": "yes"} if fails else {}))
    at.settle()
    shelf, marker = ("errors", "garden.reason.json") if fails else ("processed", "garden.result.json")
    told = at.marker(shelf, marker)
    assert (told["job"], told["run_id"], told["product"]) == (job, done.run_id, "quick")
    assert told["run"] == f"http://ui:3000/runs/{done.run_id}"
    if fails:
        assert (told["class"], told["file"], told["cause"]) == ("TooDark", "a.mp4", "median luma 2")
        assert told["remedy"] == TooDark.remedy
        assert [line["step"] for line in told["evidence"]] == ["only"]
        assert "median luma 2" in told["evidence"][0]["message"]
    upload = at.store.upload(job)
    assert upload.location == f"{getattr(at.shelves, shelf).url}/garden"
    assert (Path(at.store.here(upload).location) / "a.mp4").read_text() == "film"
    assert at.shelves.seen() == {}
    assert at.tick() == []


def test_a_growing_upload_waits(at: Installation):
    at.stable_s = 30
    at.drop()
    assert at.tick() == []
    at.drop(text="longer film")
    assert at.tick() == at.tick() == at.tick() == []
    assert len(at.tick()) == 1


def test_what_cannot_be_listed_goes_to_error_with_its_reason_and_others_go_on(at: Installation, tmp_path: Path):
    at.drop()
    at.drop("wrong", priority="urgent")
    (tmp_path / "inbox" / "bad").symlink_to("/etc")
    assert [str(r.partition_key)[:6] for r in at.tick()] == ["garden"]
    assert at.marker("errors", "bad.reason.json")["class"] == "UnsafeUpload"
    assert at.marker("errors", "wrong.reason.json")["class"] == "BadJobFile"
    assert (tmp_path / "error" / "bad").is_symlink()
    assert at.tick() == []


def test_a_store_that_does_not_answer_loses_nothing(at: Installation, monkeypatch: pytest.MonkeyPatch):
    def down(*given: object, **named: object) -> str:
        raise StoreUnavailable("no answer")

    at.drop()
    with monkeypatch.context() as patched:
        patched.setattr(FileStore, "first_job", down)
        assert at.tick() == []
    (request,) = at.tick()
    at.run(request)
    with monkeypatch.context() as patched:
        patched.setattr(Shelves, "shelve", down)
        assert len(at.settle().pending) == 1
    assert at.settle().pending == ()
    assert at.marker("processed", "garden.result.json")["result"] == "delivered"


def test_a_tick_that_takes_long_leaves_the_rest_to_the_next(at: Installation):
    for name in "abc":
        at.drop(name, text=name)
    at.slow_s = 8
    first = at.tick()
    assert [r.tags["splat/upload"] for r in first] == ["a", "b"]
    second = at.tick()
    assert [r.tags["splat/upload"] for r in second] == ["c"]
    for request in [*first, *second]:
        at.run(request)
    assert len(at.settle().pending) == 1
    assert at.settle().pending == ()
    assert at.shelves.seen() == {}


def test_the_same_content_again_points_to_the_first_result(at: Installation):
    at.drop()
    (request,) = at.tick()
    first = at.run(request)
    at.settle()
    at.drop("yard")
    assert at.tick() == []
    told = at.marker("processed", "yard.result.json")
    assert (told["job"], told["run_id"]) == (request.partition_key, first.run_id)
    assert at.store.upload(str(request.partition_key)).location.endswith("processed/garden")
    at.drop()
    assert at.tick() == []
    assert "garden-20261120T101500Z" in at.shelves.processed.children()


def test_force_computes_the_same_content_anew_in_its_partition(at: Installation):
    at.drop()
    (first,) = at.tick()
    at.run(first)
    at.settle()
    at.drop("yard", force=True)
    (second,) = at.tick()
    assert second.partition_key == first.partition_key
    assert second.run_key != first.run_key
    at.run(second)
    at.settle()
    assert {"garden", "yard"} <= set(at.shelves.processed.children())


def test_the_same_content_is_tried_again_when_it_failed(at: Installation):
    at.drop()
    (first,) = at.tick()
    at.run(first, fails="yes")
    at.settle()
    at.drop()
    (second,) = at.tick()
    assert second.partition_key == first.partition_key
    assert second.run_key != first.run_key


def test_files_that_come_after_the_start_make_a_new_version_and_are_not_moved_away(at: Installation):
    at.drop()
    (first,) = at.tick()
    at.shelves.inbox.write("garden/b.mp4", b"late")
    at.run(first)
    at.settle()
    assert set(at.shelves.inbox.find()) == {"garden/a.mp4", "garden/b.mp4"}
    (second,) = at.tick()
    assert second.partition_key != first.partition_key
    at.run(second)
    at.settle()
    assert at.shelves.inbox.find() == {}
    assert at.marker("processed", "garden.result.json")["job"] == second.partition_key


def running(at: Installation, request: dg.RunRequest, during: Callable[[], None]) -> None:
    """Run what was asked for, with something else going on meanwhile."""
    run = at.instance.create_run_for_job(
        DEFS.resolve_job_def("j"), tags={**request.tags, "dagster/partition": str(request.partition_key)}
    )
    at.instance.report_run_canceling(run)
    during()
    at.instance.report_run_canceled(at.instance.get_run_by_id(run.run_id))


def test_the_same_content_waits_for_the_run_that_computes_it_and_is_tried_when_that_fails(at: Installation):
    at.drop()
    (request,) = at.tick()
    at.drop("yard")

    def nothing_happens() -> None:
        assert at.tick() == []
        assert at.shelves.seen().keys() == {"garden", "yard"}

    running(at, request, nothing_happens)
    (second,) = at.tick()
    assert second.partition_key == request.partition_key
    assert second.tags["splat/upload"] == "yard"


def test_of_two_with_the_same_content_at_once_one_is_computed(at: Installation):
    at.drop()
    at.drop("yard")
    (request,) = at.tick()
    first = at.run(request)
    at.settle()
    assert at.tick() == []
    assert at.shelves.seen() == {}
    told = [at.marker("processed", f"{name}.result.json") for name in ("garden", "yard")]
    assert [one["run_id"] for one in told] == [first.run_id] * 2
    assert [one["result"] for one in told].count("delivered") == 1


def test_an_upload_that_is_touched_while_its_run_goes_on_is_not_run_again(at: Installation, tmp_path: Path):
    at.drop()
    (request,) = at.tick()

    def touch() -> None:
        (tmp_path / "inbox" / "garden" / "a.mp4").touch()
        assert at.tick() == []

    running(at, request, touch)
    at.settle()
    told = at.marker("errors", "garden.reason.json")
    assert (told["class"], told["job"]) == ("Cancelled", request.partition_key)
    assert at.shelves.seen() == {}


def test_what_dagster_runs_again_stays_until_it_is_known(at: Installation, monkeypatch: pytest.MonkeyPatch):
    at.drop()
    (request,) = at.tick()
    done = at.run(request, fails="yes")
    monkeypatch.setattr(type(at.instance), "run_retries_enabled", True)
    assert at.settle().pending == (done.run_id,)
    at.instance.add_run_tags(done.run_id, {"dagster/will_retry": "true"})
    assert at.settle().pending == ()
    assert at.shelves.seen().keys() == {"garden"}
    again = at.run(request, fails="yes")
    at.instance.add_run_tags(again.run_id, {"dagster/will_retry": "false"})
    at.settle()
    assert at.marker("errors", "garden.reason.json")["run_id"] == again.run_id


def test_an_end_that_is_in_the_log_and_not_yet_in_the_table_of_runs_is_waited_for(at: Installation):
    at.drop()
    (request,) = at.tick()
    done = at.run(request)
    record = at.instance.get_run_by_id(done.run_id)
    assert record is not None
    at.instance.delete_run(done.run_id)
    at.instance.add_run(record.with_status(dg.DagsterRunStatus.STARTED))
    end = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name="j")
    at.instance.event_log_storage.store_event(  # as where the database goes away between the two
        dg.EventLogEntry(None, 20, "", done.run_id, 0.0, job_name="j", dagster_event=end)
    )
    assert at.settle().pending == (done.run_id,)
    assert at.shelves.seen().keys() == {"garden"}
    at.instance.run_storage.handle_run_event(done.run_id, end)
    assert at.settle().pending == ()
    assert at.marker("processed", "garden.result.json")["result"] == "delivered"


def test_a_sensor_that_lost_its_memory_finds_everything_again(at: Installation):
    for name in ("a", "b", "c"):
        at.drop(name, text=name)
    requests = at.tick()
    at.run(requests[0])
    at.settle()
    at.run(requests[1])
    at.let_in = at.let_out = None
    assert [r.run_key for r in at.tick()] == [requests[2].run_key]  # Dagster starts one run of a key
    at.settle()
    assert at.shelves.seen().keys() == {"c"}
    assert len([n for n in at.shelves.processed.children() if n.endswith(".result.json")]) == 2


def test_runs_that_did_not_come_through_the_inbox_are_left_alone(at: Installation):
    at.instance.add_dynamic_partitions("jobs", ["mine-00000000"])
    at.run(dg.RunRequest(partition_key="mine-00000000"))
    assert at.settle().pending == ()
    assert at.shelves.processed.children() == []


def test_what_the_outcomes_sensor_remembers_is_bounded():
    cursor = Cursor(after={"success": 5}, done=tuple(f"{i:036d}" for i in range(AT_ONCE)))
    assert Cursor.parse(cursor.dump()) == cursor
    assert len(cursor.dump()) < 20_000
