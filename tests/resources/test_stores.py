"""A reader sees a whole artifact or none; what was damaged is said to be damaged."""

from __future__ import annotations

import errno
import hashlib
import itertools
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resources import fences
from resources.copies import Copies
from resources.inbox import list_entry
from resources.objects import ObjectPlace
from resources.places import place_of
from resources.stores import FileStore
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import (
    CorruptArtifact,
    DiskFull,
    InputError,
    MissingArtifact,
    Superseded,
    UnsafeUpload,
)
from splat_pipeline.domain.uploads import Upload, UploadFile
from splat_pipeline.ports.stores import Artifact

HELD = {"keyframe_id": 1, "psnr_db": 30.0, "ssim": 0.9}


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The folder of this machine that a store uses, wherever it is."""
    return tmp_path / "local"


def opened(anywhere: str, local: Path) -> FileStore:
    root = local if "://" not in anywhere else f"{anywhere}/store"
    return FileStore(root, f"{anywhere}/delivered", local=local)


@pytest.fixture
def store(anywhere: str, local: Path) -> FileStore:
    return opened(anywhere, local)


def rewrite(store: FileStore, artifact: Artifact, name: str, data: bytes | None) -> None:
    """Change a file of an artifact behind the back of the store, where it is stored."""
    home = f"jobs/{artifact.job}/{artifact.asset}/{artifact.version}"
    store.place.remove(f"{home}/{name}")
    if data is not None:
        store.place.write(f"{home}/{name}", data)
    shutil.rmtree(store.local / "copies", ignore_errors=True)


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


def test_the_scratch_folder_is_gone_after_success_and_after_failure(store: FileStore, local: Path):
    published(store)
    with pytest.raises(FileNotFoundError), store.scratch("job-1", "splat") as folder:
        (folder / "absent").rename(folder / "x")
    assert list((local / "scratch").iterdir()) == []


def test_unfinished_work_is_found_again_under_its_key_until_it_is_published(
    store: FileStore, anywhere: str, local: Path
):
    (store.ongoing("job-1", "splat", "a") / "half").write_text("done so far")
    (store.ongoing("job-1", "preview", "a") / "half").write_text("of another asset")
    assert (opened(anywhere, local).ongoing("job-1", "splat", "a") / "half").exists()
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


@pytest.mark.parametrize("changed", [b"jello", b"hell", None])
def test_a_damaged_file_is_found_on_reading_and_healed_by_publishing_again(store: FileStore, changed: bytes | None):
    rewrite(store, published(store), "sub/a.txt", changed)
    with pytest.raises((CorruptArtifact, MissingArtifact)) as told:
        store.fetch("job-1", "splat")
    assert "a.txt" in str(told.value) or "lacks a file" in str(told.value)
    published(store)
    assert (store.fetch("job-1", "splat").folder / "sub" / "a.txt").read_text() == "hello"


@pytest.mark.parametrize("changed", [b"", b'{"files": [', b'{"files": [], "digest": "00"}', b"[1]"])
def test_a_damaged_manifest_is_found_on_reading(store: FileStore, changed: bytes):
    rewrite(store, published(store), "artifact.json", changed)
    with pytest.raises(CorruptArtifact, match=r"artifact\.json"):
        store.fetch("job-1", "splat")


def test_a_damaged_copy_is_fetched_anew(s3_server: str, local: Path):
    store = opened(f"{s3_server}/copies", local)
    artifact = published(store)
    (artifact.folder / "b.txt").write_text("x")
    assert (store.fetch("job-1", "splat").folder / "b.txt").read_text() == "b"


def test_reads_that_are_cut_off_or_changed_on_the_way_are_made_again_and_never_believed(
    s3_server: str, local: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every second file and manifest arrives wrong: 25 artifacts are read right all the same."""
    store, rng = opened(f"{s3_server}/faulty", local), random.Random(0)
    texts = {published(store, f"text {i}" * 20, job=f"job-{i}").job: f"text {i}" * 20 for i in range(25)}
    shutil.rmtree(local / "copies" / "kept")
    fetch, read, harm = ObjectPlace.fetch, ObjectPlace.read, itertools.cycle([True, False])

    def wrong(data: bytes) -> bytes:
        at = rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1]) * (rng.random() < 0.5) + data[at + 1 :] * (rng.random() < 0.5)

    def faulty_fetch(self: ObjectPlace, name: str, path: Path) -> None:
        fetch(self, name, path)
        if next(harm):
            path.write_bytes(wrong(path.read_bytes()))

    def faulty_read(self: ObjectPlace, name: str, *part: int) -> bytes:
        data = read(self, name, *part)
        return wrong(data) if name.endswith(".json") and next(harm) else data

    monkeypatch.setattr(ObjectPlace, "fetch", faulty_fetch)
    monkeypatch.setattr(ObjectPlace, "read", faulty_read)
    for job, text in texts.items():
        artifact = store.fetch(job, "splat")
        assert (artifact.folder / "sub" / "a.txt").read_text() == text
        assert (artifact.folder / "b.txt").read_text() == "b"
    monkeypatch.setattr(ObjectPlace, "fetch", lambda self, name, path: path.write_text("never right"))
    shutil.rmtree(local / "copies" / "kept")
    with pytest.raises(CorruptArtifact, match="was read 3 times and is not what was written"):
        store.fetch("job-0", "splat")


def test_a_superseded_attempt_never_publishes_over_its_successor(store: FileStore, anywhere: str, local: Path):
    with store.scratch("job-1", "splat") as slow:
        (slow / "a").write_text("of the attempt that was taken for dead")
        later = published(opened(anywhere, local), "of its successor")
        with pytest.raises(Superseded, match="attempt 1 at jobs/job-1/splat is over: attempt 2 began after it"):
            store.publish("job-1", "splat", slow, provenance={})
    assert store.fetch("job-1", "splat") == later


def test_what_a_superseded_attempt_writes_after_its_last_look_is_not_read(store: FileStore):
    first = published(store)
    later = published(store, "later")
    fences.point(store.place, "jobs/job-1/splat", 1, first.version, {})
    assert store.fetch("job-1", "splat").version == later.version
    assert published(store, "last").version == store.fetch("job-1", "splat").version


def test_attempts_that_began_at_once_have_numbers_of_their_own(store: FileStore):
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda i: fences.begin(store.place, "jobs/j/a", {"i": i}), range(8)))
    assert len(set(numbers)) == 8


def test_a_copy_in_use_stays_and_others_make_room(tmp_path: Path):
    copies = Copies(tmp_path, most_bytes=0)
    (copies.hold("used") / "x").write_bytes(b"1" * 100)
    # A copy that another process left: no lock is held on it.
    left = next(i for i in range(99) if not hashlib.sha256(b"%d" % i).hexdigest().startswith(used_shard()))
    old = tmp_path / "kept" / hashlib.sha256(b"%d" % left).hexdigest()
    old.mkdir()
    (old / "x").write_bytes(b"1" * 100)
    assert (copies.hold("used") / "x").exists()
    assert not old.exists()


def used_shard() -> str:
    return hashlib.sha256(b"used").hexdigest()[:2]


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a\0b", "x" * 101, "/etc"])
def test_names_that_could_leave_the_store_are_refused(store: FileStore, name: str):
    with pytest.raises(UnsafeUpload):
        published(store, job=name)
    with pytest.raises(UnsafeUpload):
        store.fetch("job-1", name)


def test_a_full_disk_is_called_so_and_leaves_nothing_behind(store: FileStore, local: Path):
    with pytest.raises(DiskFull), store.scratch("job-1", "splat") as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "x"))
    assert list((local / "scratch").iterdir()) == []


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


def test_the_same_content_belongs_to_the_job_that_came_first(store: FileStore):
    content = "ab" * 32
    assert store.first_job(content, "garden-1") == "garden-1"
    assert store.first_job(content, "yard-1") == "garden-1"
    assert store.first_job("cd" * 32, "yard-2") == "yard-2"


def test_rows_of_several_writers_at_once_are_all_there(store: FileStore):
    row = dict.fromkeys((c.name for c in tables.STAGES.columns), None)
    row |= {"stage": "s", "run_id": "r", "seconds": 1.0, "peak_rss_bytes": 1, "bytes_in": 0, "bytes_out": 0}
    row |= {"attempts": 1, "outcome": "success", "utc": "2026-01-01T00:00:00Z"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.append(tables.STAGES, [{**row, "job": f"j{i}"}]), range(16)))
    assert set(store.rows(tables.STAGES)["job"]) == {f"j{i}" for i in range(16)}


def test_a_delivery_is_whole_and_latest_is_the_last(store: FileStore, anywhere: str):
    assert store.delivery_of("job-1") is None
    first = store.deliver(published(store, asset="package"))
    second = store.deliver(published(store, "new", asset="package"))
    assert first != second
    with store.scratch("job-1", "package") as folder:
        (folder / "b.txt").write_text("x")
        old = store.publish("job-1", "package", folder, provenance={})
    published(store, "new", asset="package")
    with pytest.raises(Superseded, match="package of job job-1 was made anew"):
        store.deliver(old)
    assert second.startswith(f"{anywhere}/delivered/job-1/")
    latest = store.delivery_of("job-1")
    assert latest is not None
    assert (latest / "sub" / "a.txt").read_text() == "new"
    for name in (first, second):
        found = place_of(name).find()
        assert set(found) == {"artifact.json", "b.txt", "sub/a.txt"}


def test_the_link_to_the_latest_delivery_is_a_folder_on_a_file_system(tmp_path: Path):
    store = FileStore(tmp_path / "store", tmp_path / "delivered")
    store.deliver(published(store, asset="package"))
    assert (tmp_path / "delivered" / "job-1" / "latest" / "sub" / "a.txt").read_text() == "hello"
    assert [p for p in (tmp_path / "delivered" / "job-1").iterdir() if p.name.startswith(".")] == []


def test_an_upload_far_away_is_brought_here_and_held_against_what_it_was(anywhere: str, store: FileStore):
    inbox = place_of(f"{anywhere}/in")
    for name, data in {"a.mp4": b"film", "cam 2/b#1.mp4": b"x" * (3 << 20), "job.yaml": b"force: true"}.items():
        inbox.write(f"garden/{name}", data)
    upload = list_entry(inbox, "garden")
    here = Path(store.here(upload).location)
    assert (here / "a.mp4").read_bytes() == b"film"
    assert (here / "cam 2" / "b#1.mp4").read_bytes() == b"x" * (3 << 20)
    assert store.here(upload).job == upload.job
    if "://" in anywhere:
        inbox.write("garden/a.mp4", b"flim")
        shutil.rmtree(store.local / "copies")
        with pytest.raises(InputError, match=r"a\.mp4 is not what it was"):
            store.here(upload)
        inbox.remove("garden/a.mp4")
        with pytest.raises(InputError, match=r"a\.mp4 is gone"):
            store.here(upload)


def test_a_store_elsewhere_needs_a_folder_of_this_machine():
    with pytest.raises(ValueError, match="needs a folder of this machine"):
        FileStore("s3://bucket/store", "s3://bucket/delivered")
