"""A zip is refused for what its directory says, each fault by its name."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from splat_pipeline.domain import archives
from splat_pipeline.domain.archives import ZipEntry, chosen, utf8_name
from splat_pipeline.domain.errors import EmptyUpload, InputError, UnsafeUpload, UnsupportedMedia

PHOTO = ZipEntry(name="a.jpg", size_bytes=1000, packed_bytes=990, method=8, flags=0, mode=0o100644)


def chosen_names(*entries: ZipEntry, archive_bytes: int = 5000) -> list[str]:
    return [entry.name for entry in chosen(entries, archive="photos.zip", archive_bytes=archive_bytes)]


def test_what_belongs_to_a_job_is_taken_and_nothing_else() -> None:
    names = [
        "a.jpg",
        "b/c.HEIC",
        "job.yaml",
        "b/transforms.json",
        "notes.txt",
        "run.exe",
        "__MACOSX/._a.jpg",
        ".DS_Store",
    ]
    folder = replace(PHOTO, name="b/", size_bytes=0, packed_bytes=0, mode=0o040755)
    assert chosen_names(folder, *(replace(PHOTO, name=name) for name in names)) == names[:4]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"name": "../a.jpg"}, UnsafeUpload, "leaves"),
        ({"name": "b/../../a.jpg"}, UnsafeUpload, "leaves"),
        ({"name": "/etc/a.jpg"}, UnsafeUpload, "leaves"),
        ({"name": "C:/a.jpg"}, UnsafeUpload, "drive"),
        ({"name": "c:a.jpg"}, UnsafeUpload, "drive"),
        ({"name": "..\\a.jpg"}, UnsafeUpload, "backslash"),
        ({"name": "a\0.jpg"}, UnsafeUpload, "control"),
        ({"name": ""}, UnsafeUpload, "leaves"),
        ({"mode": 0o120777}, UnsafeUpload, "a link"),
        ({"mode": 0o010644}, UnsafeUpload, "no plain file"),
        ({"mode": 0o060644, "name": "sda.txt"}, UnsafeUpload, "no plain file"),
        ({"flags": 0x1}, UnsupportedMedia, "encrypted"),
        ({"name": "more.ZIP"}, UnsupportedMedia, "zip in a zip"),
        ({"method": 14}, UnsupportedMedia, "method 14"),
        ({"size_bytes": 2 << 20, "packed_bytes": 2000}, UnsafeUpload, "unpacks 2000 bytes"),
        ({"name": "b.jpg"}, UnsafeUpload, "twice"),
        ({"name": "b.jpg/c.jpg"}, UnsafeUpload, "as a file and as a folder"),
        ({"size_bytes": 65 << 30, "packed_bytes": 64 << 30}, UnsafeUpload, "at most"),
    ],
)
def test_each_fault_is_refused_with_what_to_do(change: dict, error: type[InputError], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        chosen_names(replace(PHOTO, name="b.jpg"), replace(PHOTO, **change), archive_bytes=65 << 30)
    assert caught.value.remedy


def test_entries_that_share_their_bytes_are_no_way_around_the_ratio() -> None:
    """As in overlapping bombs: each entry looks harmless, all are read from the same bytes."""
    entries = [replace(PHOTO, name=f"{i}.jpg", size_bytes=100_000, packed_bytes=1000) for i in range(100)]
    with pytest.raises(UnsafeUpload, match="no zip of photos"):
        chosen_names(*entries, archive_bytes=10_000)


def test_entries_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(archives, "MOST_ENTRIES", 3)
    with pytest.raises(UnsafeUpload, match="4 entries"):
        chosen_names(*[PHOTO] * 4)


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_a_zip_without_pictures_says_so(names: list[str]) -> None:
    with pytest.raises(EmptyUpload, match="no clip and no photo"):
        chosen_names(*(replace(PHOTO, name=name) for name in names))


def test_names_are_utf8_whether_the_flag_says_so_or_not() -> None:
    assert utf8_name("für.jpg", 0x800, archive="x") == "für.jpg"
    assert utf8_name("für.jpg".encode().decode("cp437"), 0, archive="x") == "für.jpg"  # as macOS packs
    with pytest.raises(UnsafeUpload, match="not UTF-8"):
        utf8_name(b"f\x81r.jpg".decode("cp437"), 0, archive="x")  # as old Windows does


@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_name_that_is_taken_leaves_the_folder(names: list[str]) -> None:
    try:
        kept = chosen_names(*(replace(PHOTO, name=f"{name}.jpg", packed_bytes=1000) for name in names))
    except InputError:
        return
    for name in kept:
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))
