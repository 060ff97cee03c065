"""Uploads are listed as they lie there; what is no plain file is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from resources.inbox import list_upload, open_regular, sha256_of
from splat_pipeline.domain.errors import EmptyUpload, InputError, UnsafeUpload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    upload = tmp_path / "Garden (1)"
    (upload / "cam2").mkdir(parents=True)
    (upload / "a.mp4").write_bytes(b"film")
    (upload / "cam2" / "-b.mp4").write_bytes(b"other film")
    return upload


def test_an_upload_is_its_files_and_is_named_by_their_content(folder: Path) -> None:
    upload = list_upload(folder)
    assert upload.title == "Garden (1)"
    assert upload.job.startswith("garden-1-")
    assert {file.name: file.size_bytes for file in upload.files} == {"a.mp4": 4, "cam2/-b.mp4": 10}
    assert not upload.managed
    assert list_upload(folder, "other", managed=True).managed
    assert list_upload(folder, "other").job[-8:] == upload.job[-8:]


def test_only_content_changes_the_job(folder: Path) -> None:
    before = list_upload(folder).job
    (folder / ".done").touch()
    (folder / "Thumbs.db").write_bytes(b"x")
    assert list_upload(folder).job == before
    (folder / "a.mp4").write_bytes(b"flim")
    assert list_upload(folder).job != before


def test_the_ends_of_a_large_file_count(tmp_path: Path) -> None:
    body = bytearray(3 << 20)
    (tmp_path / "a.mp4").write_bytes(body)
    before = list_upload(tmp_path / "a.mp4").job
    body[-1] = 1
    (tmp_path / "a.mp4").write_bytes(body)
    assert list_upload(tmp_path / "a.mp4").job != before


def test_a_single_file_is_an_upload(folder: Path) -> None:
    upload = list_upload(folder / "a.mp4")
    assert upload.location == str(folder)
    assert upload.title == "a"
    assert [file.name for file in upload.files] == ["a.mp4"]


def test_links_are_refused(folder: Path) -> None:
    (folder / "c.mp4").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeUpload, match=r"c\.mp4.*link"):
        list_upload(folder)


def test_links_to_folders_are_refused(folder: Path) -> None:
    (folder / "etc").symlink_to("/etc")
    with pytest.raises(UnsafeUpload, match="etc"):
        list_upload(folder)


def test_an_upload_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UnsafeUpload, match="link"):
        list_upload(tmp_path / "link")


def test_a_pipe_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "p.mp4")
    with pytest.raises(UnsafeUpload, match=r"p\.mp4"):
        list_upload(folder)


def test_an_empty_upload_and_a_wrong_path_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(EmptyUpload):
        list_upload(tmp_path)
    with pytest.raises(InputError, match="nothing at"):
        list_upload(tmp_path / "missing")


def test_a_file_is_hashed_whole(folder: Path) -> None:
    digest, size = sha256_of(folder / "a.mp4")
    assert size == 4
    assert digest == hashlib.sha256(b"film").hexdigest()
    with pytest.raises(InputError, match="gone"), open_regular(folder / "gone.mp4"):
        pass
