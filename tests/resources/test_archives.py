"""Zips are unpacked whole and safely, or refused; what their headers say is not believed."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from resources.archives import unpack
from resources.guarded import GuardedReader
from splat_pipeline.domain.errors import (
    DiskFull,
    EmptyUpload,
    InputError,
    UnreadableMedia,
    UnsafeUpload,
    UnsupportedMedia,
)

CONTENT = bytes(range(256)) * 400


def packed(path: Path, files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def found(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_clips_photos_and_settings_come_out_as_they_were(tmp_path: Path, out: Path) -> None:
    files = {"a/ü 1.jpg": CONTENT, "a/b/c.mp4": CONTENT[:-1], "job.yaml": b"seed: 5\n", "empty.png": b""}
    extra = {"notes.txt": b"x", "__MACOSX/._1.jpg": b"x", "setup.exe": b"x"}
    assert unpack(packed(tmp_path / "a.zip", files | extra), out) == 4
    assert found(out) == files


@pytest.mark.parametrize("stored", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_child_process_unpacks_the_same(stored: int, tmp_path: Path, out: Path) -> None:
    path = packed(tmp_path / "a.zip", {"1.jpg": CONTENT, "2.jpg": b""}, method=stored)
    assert GuardedReader().unpack(path, out) == 2
    assert found(out) == {"1.jpg": CONTENT, "2.jpg": b""}


def test_the_child_process_says_why_it_refuses(tmp_path: Path, out: Path) -> None:
    with pytest.raises(UnsafeUpload, match="leaves") as caught:
        GuardedReader().unpack(packed(tmp_path / "a.zip", {"../../a.jpg": CONTENT}), out)
    assert "links" in caught.value.remedy
    assert found(tmp_path).keys() == {"a.zip"}


def test_links_are_not_made(tmp_path: Path, out: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b.jpg", CONTENT)
        link = zipfile.ZipInfo("a.jpg")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeUpload, match="a link"):
        unpack(tmp_path / "a.zip", out)
    assert not found(out)


def forged(path: Path, *, size: int) -> Path:
    """Say in both headers that the only entry unpacks to ``size`` bytes."""
    data = bytearray(packed(path, {"a.jpg": CONTENT}).read_bytes())
    central = data.index(b"PK\x01\x02")
    data[22:26] = data[central + 24 : central + 28] = struct.pack("<I", size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [10, len(CONTENT) - 1, len(CONTENT) + 1, 200_000])
def test_a_forged_size_gains_nothing(size: int, tmp_path: Path, out: Path) -> None:
    with pytest.raises((UnreadableMedia, UnsafeUpload)):
        unpack(forged(tmp_path / "a.zip", size=size), out)
    assert sum(map(len, found(out).values())) <= min(size, len(CONTENT))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, out: Path) -> None:
    path = packed(tmp_path / "a.zip", {"a.tif": bytes(20 << 20)})
    with pytest.raises(UnsafeUpload, match="unpacks"):
        unpack(path, out)
    assert not found(out)


def test_too_little_space_is_told_before_it_is_used(tmp_path: Path, out: Path, monkeypatch) -> None:
    full = SimpleNamespace(free=10)
    monkeypatch.setattr("resources.archives.shutil.disk_usage", lambda _: full)
    with pytest.raises(DiskFull, match="10 are free"):
        unpack(packed(tmp_path / "a.zip", {"a.jpg": CONTENT}), out)


def damaged(content: bytes) -> dict[str, tuple[bytes, type[InputError]]]:
    middle = bytearray(content)
    middle[200:260] = b"\xaa" * 60
    encrypted = bytearray(content)
    central = encrypted.index(b"PK\x01\x02")
    encrypted[6] |= 1
    encrypted[central + 8] |= 1
    invalid = bytearray(content.replace(b"a.jpg", b"\xff\xfe.jp"))
    for at in (6, invalid.index(b"PK\x01\x02") + 8):
        invalid[at : at + 2] = struct.pack("<H", 0x800)
    return {
        "cut off": (content[: len(content) // 2], UnreadableMedia),
        "empty": (b"", UnreadableMedia),
        "text": (b"no zip at all " * 50, UnreadableMedia),
        "overwritten": (bytes(middle), UnreadableMedia),
        "encrypted": (bytes(encrypted), UnsupportedMedia),
        "name that is not UTF-8": (bytes(invalid), UnsafeUpload),
        "foreign method": (content.replace(b"\x08\0", b"\x0e\0"), UnsupportedMedia),
    }


@pytest.mark.parametrize("fault", list(damaged(b"PK\x01\x02" + bytes(300))))
def test_each_damage_has_its_class(fault: str, tmp_path: Path, out: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("a.jpg"), CONTENT, zipfile.ZIP_DEFLATED)
    content, error = damaged(buffer.getvalue())[fault]
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(error, match=r"a\.zip"):
        unpack(tmp_path / "a.zip", out)


def test_a_zip_without_pictures_is_empty(tmp_path: Path, out: Path) -> None:
    with pytest.raises(EmptyUpload, match=r"notes\.txt"):
        unpack(packed(tmp_path / "a.zip", {"notes.txt": b"x"}), out)
