"""A reader sees a whole artifact or none; what was damaged is said to be damaged."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from resources.stores import FileStore
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import CorruptArtifact, DiskFull, MissingArtifact, UnsafeUpload
from splat_pipeline.domain.uploads import Upload, UploadFile
from splat_pipeline.ports import Artifact

HELD = {"keyframe_id": 1, "psnr_db": 30.0, "ssim": 0.9}


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", tmp_path / "delivered")


def published(store: FileStore, text: str = "hello", asset: str = "splat", job: str = "job-1") -> Artifact:
    with store.scratch(job, asset) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)
        (folder / "b.txt").write_text("b")
        return store.publish(job, asset, folder, provenance={"run_id": "r"})


def test_what_was_published_is_fetched_whole(store: FileStore):
    artifact = published(store)
    again = store.fetch("job-1", "splat")
    assert again == artifact
    assert (again.folder / "sub" / "a.txt").read_text() == "hello"
    assert again.size_bytes == len("hello") + 1
    assert again.manifest["run_id"] == "r"


def test_identical_content_has_one_version_and_other_content_another(store: FileStore):
    first, same, other = published(store), published(store), published(store, "changed")
    assert first.version == same.version != other.version
    assert store.fetch("job-1", "splat").version == other.version
    assert store.fetch("job-1", "splat", first.version).digest == first.digest


def test_the_scratch_folder_is_gone_after_success_and_after_failure(store: FileStore, tmp_path: Path):
    published(store)
    with pytest.raises(FileNotFoundError), store.scratch("job-1", "splat") as folder:
        (folder / "absent").rename(folder / "x")
    assert list((tmp_path / "store" / "scratch").iterdir()) == []


def test_unfinished_work_is_found_again_under_its_key_until_it_is_published(store: FileStore, tmp_path: Path):
    (store.ongoing("job-1", "splat", "a") / "half").write_text("done so far")
    (store.ongoing("job-1", "preview", "a") / "half").write_text("of another asset")
    assert (FileStore(tmp_path / "store", tmp_path / "delivered").ongoing("job-1", "splat", "a") / "half").exists()
    published(store)
    assert list(store.ongoing("job-1", "splat", "a").iterdir()) == []
    assert (store.ongoing("job-1", "preview", "a") / "half").exists()


def test_unfinished_work_on_other_inputs_is_removed(store: FileStore):
    first = store.ongoing("job-1", "splat", "a")
    (first / "half").write_text("done so far")
    assert list(store.ongoing("job-1", "splat", "b").iterdir()) == []
    assert not first.exists()
    with pytest.raises(UnsafeUpload):
        store.ongoing("job-1", "splat", "../x")


def test_a_stage_that_never_ran_is_missing_and_says_which(store: FileStore):
    with pytest.raises(MissingArtifact, match="keyframes of job job-1 was never made"):
        store.fetch("job-1", "keyframes")
    published(store)
    with pytest.raises(MissingArtifact, match="no version 0123"):
        store.fetch("job-1", "splat", "0123")


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_damaged_file_is_found_on_reading_and_healed_by_publishing_again(store: FileStore, damage: str):
    file = published(store).folder / "sub" / "a.txt"
    file.write_text("jello") if damage == "change" else file.unlink()
    with pytest.raises(CorruptArtifact, match=r"sub/a\.txt"):
        store.fetch("job-1", "splat")
    published(store)
    assert (store.fetch("job-1", "splat").folder / "sub" / "a.txt").read_text() == "hello"


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a\0b", "x" * 101, "/etc"])
def test_names_that_could_leave_the_store_are_refused(store: FileStore, name: str):
    with pytest.raises(UnsafeUpload):
        published(store, job=name)
    with pytest.raises(UnsafeUpload):
        store.fetch("job-1", name)


def test_a_full_disk_is_called_so_and_leaves_nothing_behind(store: FileStore, tmp_path: Path):
    with pytest.raises(DiskFull), store.scratch("job-1", "splat") as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "x"))
    assert list((tmp_path / "store" / "scratch").iterdir()) == []


def test_an_upload_is_remembered_and_can_move(store: FileStore):
    upload = Upload(job="job-1", title="My <clip>", location="/a", files=(UploadFile(name="x.mp4", size_bytes=3),))
    store.register(upload)
    assert store.upload("job-1") == upload
    assert store.jobs() == ["job-1"]
    with pytest.raises(MissingArtifact):
        store.upload("job-2")


def test_rows_of_several_writers_are_read_as_one_table(store: FileStore):
    row = dict.fromkeys((c.name for c in tables.STAGES.columns), None)
    row |= {"job": "j", "stage": "s", "run_id": "r", "seconds": 1.0, "peak_rss_bytes": 1, "bytes_in": 0, "bytes_out": 0}
    row |= {"attempts": 1, "outcome": "success"}
    assert len(store.rows(tables.STAGES)) == 0
    store.append(tables.STAGES, [{**row, "utc": "2026-01-02T00:00:00Z"}])
    store.append(tables.STAGES, [{**row, "utc": "2026-01-01T00:00:00Z"}])
    assert list(store.rows(tables.STAGES)["utc"]) == ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]


def test_a_delivery_is_whole_and_latest_points_at_the_last(store: FileStore, tmp_path: Path):
    assert store.delivery_of("job-1") is None
    first = store.deliver(published(store, asset="package"))
    second = store.deliver(published(store, "new", asset="package"))
    assert (tmp_path / "delivered" / "job-1" / "latest" / "sub" / "a.txt").read_text() == "new"
    assert store.delivery_of("job-1") == second
    assert first.is_dir()
    assert json.loads((second / "artifact.json").read_text())["asset"] == "package"
    assert [p for p in second.parent.iterdir() if p.name.startswith(".")] == []
