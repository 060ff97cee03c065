"""An upload that stays unchanged starts one run; afterwards it lies in processed/ or, with its reason, in error/."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from resources.stores import FileStore
from sensors.outcomes import Shelves, outcome_sensors
from sensors.uploads import entries, look, uploads_sensor
from splat_pipeline.assets.failures import classified
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain.errors import TooDark, UnsafeUpload
from splat_pipeline.domain.uploads import Upload, UploadFile


@pytest.fixture
def shelves(tmp_path: Path) -> Shelves:
    (tmp_path / "inbox").mkdir()
    return Shelves(inbox=tmp_path / "inbox", processed=tmp_path / "processed", errors=tmp_path / "error")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", tmp_path / "delivered")


def drop(shelves: Shelves, name: str = "garden", text: str = "film") -> Path:
    folder = shelves.inbox / name
    folder.mkdir()
    (folder / "a.mp4").write_text(text)
    return folder


def read(path: Path) -> Upload:
    if path.is_symlink():
        raise UnsafeUpload(f"{path.name} is a link", file=path.name)
    if path.is_file():
        files, location = [path], path.parent
    else:
        files, location = list(path.iterdir()), path
    listed = tuple(UploadFile(name=f.name, size_bytes=f.stat().st_size) for f in files)
    return Upload(job=f"{path.stem}-00000000", title=path.name, location=str(location), files=listed, managed=True)


def tick(shelves: Shelves, store: FileStore, cursor: str | None, stable_s: float = 0) -> dg.SensorResult:
    sensor = uploads_sensor(shelves, store=store, job_name="j", list_upload=read, stable_s=stable_s, poll_s=5)
    with dg.DagsterInstance.ephemeral() as instance:
        return sensor(dg.build_sensor_context(instance=instance, cursor=cursor))


def test_a_stable_upload_starts_one_run_with_its_partition(shelves: Shelves, store: FileStore):
    drop(shelves)
    first = tick(shelves, store, None)
    assert [(r.partition_key, r.tags["splat/title"]) for r in first.run_requests] == [("garden-00000000", "garden")]
    assert first.dynamic_partitions_requests[0].partition_keys == ["garden-00000000"]
    assert store.upload("garden-00000000").location == str(shelves.inbox / "garden")
    assert tick(shelves, store, first.cursor).run_requests == []


def test_a_growing_upload_waits(shelves: Shelves, store: FileStore):
    folder = drop(shelves)
    first = tick(shelves, store, None, stable_s=3600)
    (folder / "a.mp4").write_text("longer film")
    assert first.run_requests == tick(shelves, store, first.cursor, stable_s=3600).run_requests == []


def test_what_cannot_be_listed_goes_to_error_with_its_reason_and_others_go_on(shelves: Shelves, store: FileStore):
    drop(shelves)
    (shelves.inbox / "bad").symlink_to("/etc")
    result = tick(shelves, store, None)
    assert [r.partition_key for r in result.run_requests] == ["garden-00000000"]
    assert json.loads((shelves.errors / "bad.reason.json").read_text())["class"] == "UnsafeUpload"
    assert (shelves.errors / "bad").is_symlink()


def test_hidden_names_are_not_uploads(shelves: Shelves):
    for name in (".DS_Store", "_half", "x.reason.json", "ok.mp4"):
        (shelves.inbox / name).write_text("x")
    assert [p.name for p in entries(shelves.inbox)] == ["ok.mp4"]
    assert list(entries(shelves.inbox / "absent")) == []


def test_the_stamp_changes_with_content_time_and_names(shelves: Shelves):
    folder = drop(shelves)
    stamps = {look(folder).stamp}
    (folder / "a.mp4").write_text("film!")
    stamps.add(look(folder).stamp)
    (folder / "b.mp4").write_text("")
    stamps.add(look(folder).stamp)
    assert len(stamps) == 3
    assert not look(folder).complete
    (folder / ".done").touch()
    assert look(folder).complete


def run_job(shelves: Shelves, store: FileStore, upload: Upload, *, fails: bool) -> None:
    """Run a one-asset job on the upload's partition and let the matching sensor see its end."""

    @dg.asset(partitions_def=jobs)
    @classified
    def only() -> None:
        if fails:
            raise TooDark("median luma 2", file="a.mp4")

    store.register(upload)
    job = dg.define_asset_job("j", selection=[only])
    defs = dg.Definitions(assets=[only], jobs=[job])
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(jobs.name), [upload.job])
        done = defs.resolve_job_def("j").execute_in_process(
            instance=instance, partition_key=upload.job, raise_on_error=False
        )
        sensor = outcome_sensors(shelves, store=store, job=job)[1 if fails else 0]
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        kind = "PIPELINE_FAILURE" if fails else "PIPELINE_SUCCESS"
        event = next(e for e in done.all_events if e.event_type_value == kind)
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name, dagster_event=event, dagster_instance=instance, dagster_run=run
        )
        sensor(context.for_run_failure() if fails else context)


@pytest.mark.parametrize("single", [False, True])
def test_a_successful_upload_moves_to_processed_and_stays_known(shelves: Shelves, store: FileStore, single: bool):
    path = drop(shelves)
    if single:
        path = (path / "a.mp4").rename(shelves.inbox / "film.mp4")
    upload = read(path)
    run_job(shelves, store, upload, fails=False)
    moved = shelves.processed / path.name
    assert moved.exists()
    assert not path.exists()
    assert Path(store.upload(upload.job).location, upload.files[0].name).read_text() == "film"


def test_a_failed_upload_moves_to_error_with_class_file_cause_and_remedy(shelves: Shelves, store: FileStore):
    run_job(shelves, store, read(drop(shelves)), fails=True)
    reason = json.loads((shelves.errors / "garden.reason.json").read_text())
    assert (reason["class"], reason["file"], reason["cause"]) == ("TooDark", "a.mp4", "median luma 2")
    assert reason["remedy"] == TooDark.remedy
    assert reason["job"] == "garden-00000000"
    assert (shelves.errors / "garden" / "a.mp4").read_text() == "film"


def test_a_name_that_is_taken_gets_a_suffix_and_nothing_is_overwritten(shelves: Shelves, store: FileStore):
    for text in ("one", "two"):
        run_job(shelves, store, read(drop(shelves, text=text)), fails=False)
    assert sorted(p.read_text() for p in shelves.processed.glob("*/a.mp4")) == ["one", "two"]


def test_an_upload_that_did_not_come_through_the_inbox_stays_where_it_is(
    shelves: Shelves, store: FileStore, tmp_path: Path
):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.mp4").write_text("film")
    run_job(shelves, store, replace(read(folder), managed=False), fails=False)
    assert (folder / "a.mp4").exists()
    assert not shelves.processed.exists()
