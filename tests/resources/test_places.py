"""Every kind of place keeps the same promises: a folder, a bucket, a container."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from resources.folders import FolderPlace
from resources.objects import ObjectPlace
from resources.places import place_of
from splat_pipeline.domain.errors import StoreUnavailable
from splat_pipeline.ports.stores import Place


@pytest.fixture
def place(anywhere: str) -> Place:
    return place_of(anywhere)


def test_what_is_written_is_found_with_its_size_and_read(place: Place):
    place.write("a/b.txt", b"hello")
    place.write("a/c/d.txt", b"")
    place.write("ab/e.txt", b"1")
    assert {name: facts.size_bytes for name, facts in place.find("a").items()} == {"a/b.txt": 5, "a/c/d.txt": 0}
    assert set(place.find()) == {"a/b.txt", "a/c/d.txt", "ab/e.txt"}
    assert list(place.find("a/b.txt")) == ["a/b.txt"]
    assert place.children() == ["a", "ab"]
    assert place.children("a") == ["b.txt", "c"]
    assert (place.read("a/b.txt"), place.read("a/b.txt", 1, 3), place.read("a/c/d.txt")) == (b"hello", b"el", b"")


def test_what_is_not_there_is_said_so(place: Place):
    place.check()
    assert place.find("x") == {}
    assert place.children("x") == []
    with pytest.raises(FileNotFoundError):
        place.read("x")
    place.remove("x")


def test_the_stamp_changes_when_content_is_written_anew(place: Place):
    place.write("a", b"one")
    before = place.find("a")["a"]
    assert place.find("a")["a"] == before
    place.write("a", b"two")
    assert place.find("a")["a"].stamp != before.stamp
    assert abs(place.find("a")["a"].modified_ns - before.modified_ns) < 60e9


def test_of_sixteen_that_create_a_marker_at_once_one_does(place: Place):
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: place.create("marker", b"%d" % i), range(16)))
    assert won.count(True) == 1
    assert place.read("marker") == b"%d" % won.index(True)


def test_a_tree_arrives_whole_and_can_be_sent_on_and_removed(place: Place, tmp_path: Path):
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "x [1] é.txt").write_text("x")
    (tmp_path / "tree" / "last.json").write_text("{}")
    place.put_tree(tmp_path / "tree", "home/v1", "last.json")
    assert set(place.find("home/v1")) == {"home/v1/last.json", "home/v1/sub/x [1] é.txt"}
    other = FolderPlace(tmp_path / "other")
    place.send("home/v1/sub/x [1] é.txt", other, "y.txt")
    other.send("y.txt", place, "back/y.txt")
    place.send("back/y.txt", place, "back/z.txt")
    place.fetch("back/z.txt", tmp_path / "z.txt")
    assert (tmp_path / "z.txt").read_text() == other.read("y.txt").decode() == "x"
    place.remove("home")
    assert set(place.find()) == {"back/y.txt", "back/z.txt"}


def test_a_part_of_a_tree_that_does_not_arrive_leaves_no_last_file(
    s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = place_of(f"{s3_server}/torn")
    (tmp_path / "tree").mkdir()
    for name in ("a", "last"):
        (tmp_path / "tree" / name).write_text("whole")
    real = ObjectPlace.put

    def torn(self: ObjectPlace, path: Path, name: str) -> None:
        path.write_text("ha")
        real(self, path, name)
        path.write_text("whole")

    sizes = iter([torn, real])

    def put(self: ObjectPlace, path: Path, name: str) -> None:
        next(sizes)(self, path, name)

    monkeypatch.setattr(ObjectPlace, "put", put)
    with pytest.raises(StoreUnavailable, match="v1/a did not arrive whole"):
        place.put_tree(tmp_path / "tree", "v1", "last")
    assert list(place.find("v1")) == ["v1/a"]


def test_a_bucket_that_is_not_there_is_named_and_nothing_secret_is(s3_server: str):
    del s3_server
    with pytest.raises(StoreUnavailable, match="no bucket or container nowhere"):
        place_of("s3://nowhere/x").check()
    with pytest.raises(StoreUnavailable, match="write: FileNotFoundError"):
        place_of("s3://nowhere/x").write("a", b"1")
    with pytest.raises(StoreUnavailable, match="find: FileNotFoundError"):
        place_of("s3://nowhere/x").find()


def test_a_store_that_refuses_says_so_without_its_own_words(monkeypatch: pytest.MonkeyPatch):
    class Refusing:
        def info(self, *given: object) -> dict[str, object]:
            raise PermissionError(f"sig=abcdef {given}")

    place = ObjectPlace("s3://bucket/x")
    monkeypatch.setattr(ObjectPlace, "_fs", Refusing())
    with pytest.raises(StoreUnavailable) as told:
        place.read("a")
    assert str(told.value) == "s3://bucket/x: read: PermissionError"


@pytest.mark.parametrize(("code", "stays"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_mount_that_cannot_flush_names_is_used_and_one_that_fails_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, stays: bool
):
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    place = FolderPlace(tmp_path)
    with nullcontext() if stays else pytest.raises(StoreUnavailable, match=os.strerror(code).lower()):
        place.write("a", b"1")
    assert place.read("a") == b"1"


def test_a_file_system_without_hard_links_creates_once_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(target))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    place = FolderPlace(tmp_path)
    assert place.create("a", b"one")
    assert not place.create("a", b"two")
    assert place.read("a") == b"one"
    assert place.children() == ["a"]
