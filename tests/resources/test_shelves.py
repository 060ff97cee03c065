"""An upload is seen, and moved whole to its shelf with what is told of it, on every kind of place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from resources.places import place_of
from resources.shelves import Shelves
from splat_pipeline.domain.errors import BadJobFile, EmptyUpload, StoreUnavailable
from splat_pipeline.domain.inbox import Seen
from splat_pipeline.ports.stores import Place

UTC = "2026-11-20T10:15:00Z"
SECOND = "20261120T101500Z"


def told(key: str = "run-1", **more: Any) -> dict[str, Any]:
    return {"key": key, "utc": UTC, "job": "garden-00000000", **more}


@pytest.fixture
def shelves(anywhere: str) -> Shelves:
    return at(anywhere)


def at(root: str, errors: str | None = None) -> Shelves:
    places = (place_of(f"{root}/{name}") for name in ("inbox", "processed"))
    inbox, processed = places
    return Shelves(inbox=inbox, processed=processed, errors=place_of(errors or f"{root}/error"))


def drop(shelves: Shelves, name: str = "garden", data: bytes = b"film") -> None:
    shelves.inbox.write(f"{name}/a.mp4", data)
    shelves.inbox.write(f"{name}/cam 2/b.mp4", data * 2)


def names(place: Place) -> set[str]:
    return set(place.find())


def test_uploads_are_folders_and_single_files_and_nothing_else(shelves: Shelves):
    for name in (".DS_Store", "_half/a.mp4", "x.reason.json", "y.result.json", "ok.mp4", "z.mp4.part", "Thumbs.db"):
        shelves.inbox.write(name, b"x")
    drop(shelves)
    assert set(shelves.seen()) == {"ok.mp4", "garden"}
    assert not shelves.seen()["garden"].unfinished


def test_an_inbox_that_is_not_there_yet_is_empty(shelves: Shelves):
    assert shelves.seen() == {}


def test_the_stamp_changes_with_content_and_names_and_not_with_junk(shelves: Shelves):
    def look() -> Seen:
        return shelves.seen()["garden"]

    drop(shelves)
    stamps = [look().stamp]
    shelves.inbox.write("garden/.DS_Store", b"x")
    shelves.inbox.write("garden/cam 2/desktop.ini", b"x")
    assert look().stamp == stamps[0]
    shelves.inbox.write("garden/cam 2/b.mp4", b"film!")
    stamps.append(look().stamp)
    shelves.inbox.write("garden/c.mp4", b"")
    stamps.append(look().stamp)
    shelves.inbox.write("garden/d.mp4.crdownload", b"")
    stamps.append(look().stamp)
    assert look().unfinished
    assert len(set(stamps)) == 4
    assert not look().complete
    shelves.inbox.write("garden/.done", b"")
    assert look().complete
    assert look().stamp == stamps[-1]


def test_a_marker_beside_a_single_file_says_that_it_is_complete_and_goes_with_it(shelves: Shelves):
    shelves.inbox.write("film.mp4", b"film")
    assert not shelves.seen()["film.mp4"].complete
    shelves.inbox.write("film.mp4.done", b"")
    assert {name: seen.complete for name, seen in shelves.seen().items()} == {"film.mp4": True}
    assert shelves.shelve("film.mp4", told()) is not None
    assert names(shelves.inbox) == set()


@pytest.mark.parametrize("temporary", [".a.mp4.Xy12Zw", "a.mp4.part", "a.mp4.filepart", "a.mp4.tmp"])
def test_a_file_that_is_still_on_its_way_is_noticed(tmp_path: Path, temporary: str):
    shelves = at(str(tmp_path))
    shelves.inbox.write(f"garden/{temporary}", b"fi")
    assert shelves.seen()["garden"].unfinished
    before = shelves.seen()["garden"].stamp
    (tmp_path / "inbox" / "garden" / temporary).rename(tmp_path / "inbox" / "garden" / "a.mp4")
    after = shelves.seen()["garden"]
    assert not after.unfinished
    assert after.stamp != before


def test_an_empty_folder_is_seen_as_unfinished(tmp_path: Path, s3_server: str):
    (tmp_path / "inbox" / "garden").mkdir(parents=True)
    assert at(str(tmp_path)).seen()["garden"].unfinished
    far = at(f"{s3_server}/empty")
    far.inbox.write("garden/", b"")  # what consoles call a folder
    assert far.seen()["garden"].unfinished
    with pytest.raises(EmptyUpload):
        far.upload("garden")


def test_a_preallocated_file_that_is_being_filled_changes(tmp_path: Path):
    shelves = at(str(tmp_path))
    shelves.inbox.write("garden/a.mp4", bytes(1000))
    before = shelves.seen()["garden"].stamp
    with (tmp_path / "inbox" / "garden" / "a.mp4").open("r+b") as file:
        file.seek(500)
        file.write(b"film")
    assert shelves.seen()["garden"].stamp != before


def test_a_multipart_upload_is_not_seen_before_it_is_complete(s3_server: str):
    import boto3

    shelves, client = at(f"{s3_server}/parts"), boto3.client("s3")
    bucket, key = s3_server.removeprefix("s3://"), "parts/inbox/film.mp4"
    begun = client.create_multipart_upload(Bucket=bucket, Key=key)
    about = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
    part = client.upload_part(**about, PartNumber=1, Body=b"film")
    assert shelves.seen() == {}
    client.complete_multipart_upload(**about, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    client.close()
    assert set(shelves.seen()) == {"film.mp4"}
    assert shelves.upload("film.mp4").files[0].size_bytes == 4


def test_an_upload_is_the_same_wherever_it_lies(shelves: Shelves, tmp_path: Path):
    here = at(str(tmp_path / "other"))
    for each in (shelves, here):
        drop(each, data=b"x" * (1 << 20) + b"y")
        each.inbox.write("garden/job.yaml", b"priority: 3\ndetail: preview")
        each.inbox.write("garden/.done", b"")
    mine, other = shelves.upload("garden"), here.upload("garden")
    assert (mine.job, mine.content, mine.title, mine.wishes) == (other.job, other.content, "garden", other.wishes)
    assert mine.wishes.priority == 3
    assert mine.files == other.files
    assert mine.entry == "garden"
    assert mine.stamp == shelves.seen()["garden"].stamp
    assert mine.location == f"{shelves.inbox.url}/garden"


def test_how_an_upload_is_asked_for_is_not_its_content_but_its_recipe_is(tmp_path: Path):
    shelves, contents = at(str(tmp_path)), []
    drop(shelves)
    for text in ("", "force: true", "priority: 3\nproduct: quick", "detail: preview", "{detail: preview, force: true}"):
        shelves.inbox.write("garden/job.yaml", text.encode())
        contents.append(shelves.upload("garden").content)
    shelves.inbox.remove("garden/job.yaml")
    contents.append(shelves.upload("garden").content)
    assert contents[0] == contents[1] == contents[2] == contents[5] != contents[3] == contents[4]
    shelves.inbox.write("garden/job.yaml", b"priority: urgent")
    with pytest.raises(BadJobFile, match="priority"):
        shelves.upload("garden")


def test_a_delivered_upload_moves_to_processed_with_its_result(shelves: Shelves):
    drop(shelves)
    stamp = shelves.seen()["garden"].stamp
    shelved = shelves.shelve("garden", told(result="delivered"), stamp=stamp)
    assert shelved is not None
    assert shelved.place == shelved.location == f"{shelves.processed.url}/garden"
    assert names(shelves.processed) == {"garden/a.mp4", "garden/cam 2/b.mp4", "garden.result.json"}
    assert shelves.processed.read("garden/cam 2/b.mp4") == b"filmfilm"
    assert json.loads(shelves.processed.read("garden.result.json"))["job"] == "garden-00000000"
    assert names(shelves.inbox) == set()
    assert shelves.seen() == {}


def test_a_failed_one_moves_to_error_with_its_reason(shelves: Shelves):
    shelves.inbox.write("film.mp4", b"film")
    shelved = shelves.shelve("film.mp4", told(**{"class": "TooDark"}))
    assert shelved is not None
    assert shelved.location == shelves.errors.url
    assert names(shelves.errors) == {"film.mp4", "film.mp4.reason.json"}
    assert names(shelves.processed) == set()


def test_moving_again_ends_the_same_and_a_taken_name_gets_a_suffix(shelves: Shelves):
    drop(shelves)
    first = shelves.shelve("garden", told())
    assert shelves.shelve("garden", told()) == first
    assert shelves.shelve("garden", told("run-9")) is None
    drop(shelves, data=b"other")
    second = shelves.shelve("garden", told("run-2"))
    assert second is not None
    assert second.place == f"{shelves.processed.url}/garden-{SECOND}"
    assert shelves.shelve("garden", told("run-2")) == second
    assert shelves.processed.read("garden/a.mp4") == b"film"
    assert shelves.processed.read(f"garden-{SECOND}/a.mp4") == b"other"
    shelves.inbox.write("film.mp4", b"1")
    shelves.shelve("film.mp4", told("run-3"))
    shelves.inbox.write("film.mp4", b"2")
    single = shelves.shelve("film.mp4", told("run-4"))
    assert single is not None
    assert shelves.shelve("film.mp4", told("run-4")) == single
    assert single.location == f"{shelves.processed.url}/film-{SECOND}"
    assert shelves.processed.read(f"film-{SECOND}/film.mp4") == b"2"


def test_what_changed_since_stays(shelves: Shelves):
    drop(shelves)
    stamp = shelves.seen()["garden"].stamp
    shelves.inbox.write("garden/c.mp4", b"late")
    assert shelves.shelve("garden", told(), stamp=stamp) is None
    assert "garden/c.mp4" in names(shelves.inbox)
    assert names(shelves.processed) == set()


class Dies(Exception):
    pass


@pytest.mark.parametrize("kind", ["folder", "s3"])
@pytest.mark.parametrize("steps", range(9))
def test_a_move_that_dies_anywhere_is_finished_by_the_next(
    s3_server: str, tmp_path: Path, kind: str, steps: int, monkeypatch: pytest.MonkeyPatch
):
    shelves = at(str(tmp_path) if kind == "folder" else f"{s3_server}/dies/{steps}")
    drop(shelves)
    left = iter(range(steps))

    def dying(method: Any) -> Any:
        def step(self: Any, *given: Any) -> Any:
            if next(left, None) is None:
                raise Dies
            return method(self, *given)

        return step

    place = type(shelves.inbox)
    with monkeypatch.context() as patched:
        for name in ("send", "write", "remove"):
            patched.setattr(place, name, dying(getattr(place, name)))
        try:
            shelves.shelve("garden", told())
        except Dies:
            assert names(shelves.inbox) or names(shelves.processed)
    shelved = shelves.shelve("garden", told())
    assert shelved is not None
    assert shelved.place == f"{shelves.processed.url}/garden"
    assert names(shelves.processed) == {"garden/a.mp4", "garden/cam 2/b.mp4", "garden.result.json"}
    assert shelves.processed.read("garden/cam 2/b.mp4") == b"filmfilm"
    assert names(shelves.inbox) == set()


def test_a_move_that_dies_while_it_clears_the_inbox_is_finished_and_takes_nothing_that_came_since(s3_server: str):
    shelves = at(f"{s3_server}/clearing")
    drop(shelves)
    stamp = shelves.seen()["garden"].stamp
    shelves.shelve("garden", told(), stamp=stamp)
    shelves.inbox.write("garden/a.mp4", b"film")  # as if it had not been removed yet
    shelves.inbox.write("garden/late.mp4", b"late")
    assert shelves.shelve("garden", told(), stamp=stamp) is not None
    assert names(shelves.inbox) == {"garden/late.mp4"}


def test_an_upload_moves_between_kinds_of_places_checked(s3_server: str, tmp_path: Path):
    shelves = at(f"{s3_server}/between", errors=str(tmp_path / "error"))
    drop(shelves)
    shelved = shelves.shelve("garden", told(**{"class": "TooDark"}))
    assert shelved is not None
    assert shelved.location == str(tmp_path / "error" / "garden")
    assert (tmp_path / "error" / "garden" / "cam 2" / "b.mp4").read_bytes() == b"filmfilm"
    assert names(shelves.inbox) == set()


def test_an_upload_that_did_not_arrive_whole_stays(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shelves = at(f"{s3_server}/cut", errors=str(tmp_path / "error"))
    drop(shelves)

    def cut(self: Any, name: str, other: Place, target: str) -> None:
        other.write(target, b"X" * len(self.read(name)))

    monkeypatch.setattr(type(shelves.inbox), "send", cut)
    with pytest.raises(StoreUnavailable, match="did not arrive whole"):
        shelves.shelve("garden", told(**{"class": "TooDark"}))
    assert names(shelves.inbox) == {"garden/a.mp4", "garden/cam 2/b.mp4"}
    assert not (tmp_path / "error" / "garden.reason.json").exists()


def test_an_upload_moves_to_another_file_system_without_what_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shelves = at(str(tmp_path))
    drop(shelves)
    os.mkfifo(tmp_path / "inbox" / "garden" / "pipe")
    (tmp_path / "inbox" / "garden" / "link").symlink_to("/etc/passwd")
    real = Path.lstat

    def elsewhere(self: Path) -> os.stat_result:
        seen = real(self)
        return os.stat_result([*seen[:2], seen.st_dev + 1, *seen[3:]]) if self.name == "garden" else seen

    monkeypatch.setattr(Path, "lstat", elsewhere)
    assert shelves.shelve("garden", told()) is not None
    moved = tmp_path / "processed" / "garden"
    assert sorted(path.name for path in moved.iterdir()) == ["a.mp4", "cam 2", "link"]
    assert (moved / "link").is_symlink()
    assert not (tmp_path / "inbox" / "garden").exists()
