"""Disks that are full, without inodes, read-only, or cut off from power: the last whole version stays what is read."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resources.stores import FileStore
from splat_pipeline.domain.errors import DiskFull, StoreUnavailable

JOB, ASSET = "garden-00000000", "splat"
CUTS = 8


@contextmanager
def mounted(where: Path, *arguments: str) -> Iterator[Path]:
    """Mount something for a while; skip, and say so, where that is not allowed."""
    where.mkdir(exist_ok=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("FAULTS OF DISKS ARE NOT TESTED: only root may mount")
    done = subprocess.run(["mount", *arguments, str(where)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"FAULTS OF DISKS ARE NOT TESTED: mount says {done.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


def publish(store: FileStore, content: bytes, *, files: int = 1) -> str:
    with store.scratch(JOB, ASSET) as folder:
        for i in range(files):
            (folder / f"{i}.bin").write_bytes(content)
        return store.publish(JOB, ASSET, folder, provenance={}).version


def read(store: FileStore) -> bytes:
    """Return the content of the current version, verified by the store."""
    return (store.fetch(JOB, ASSET).folder / "0.bin").read_bytes()


def test_a_full_disk_is_told_and_the_last_version_is_still_there_and_work_goes_on_with_space(tmp_path: Path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as disk:
        store = FileStore(disk / "store", disk / "delivered")
        publish(store, b"first")
        filling = disk / "filling"
        with pytest.raises(OSError, match="No space"):
            filling.write_bytes(bytes(4 << 20))
        with pytest.raises(DiskFull):
            publish(store, bytes(1 << 17))
        assert read(store) == b"first"
        filling.unlink()
        publish(store, b"second")
        assert read(store) == b"second"
        assert list((disk / "store" / "scratch").iterdir()) == []


def test_a_disk_without_inodes_is_a_full_disk(tmp_path: Path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m,nr_inodes=60", "tmpfs") as disk:
        store = FileStore(disk / "store", disk / "delivered")
        publish(store, b"first")
        with pytest.raises(DiskFull):
            publish(store, b"second", files=100)
        assert read(store) == b"first"


def test_a_disk_that_became_read_only_is_told_as_one_that_may_come_back(tmp_path: Path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as disk:
        store = FileStore(disk / "store", disk / "delivered")
        publish(store, b"first")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StoreUnavailable, match=r"[Rr]ead-only"):
            publish(store, b"second")
        assert read(store) == b"first"


def test_after_a_power_cut_each_version_that_was_published_is_there_whole(tmp_path: Path):
    """The image of a mounted disk, copied: what had reached the disk, without what the kernel still held back."""
    image, cut = tmp_path / "disk.img", tmp_path / "cut.img"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("POWER CUTS ARE NOT TESTED: there is no mkfs.ext4")
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with mounted(tmp_path / "disk", "-o", "loop,noauto_da_alloc", str(image)) as disk:
        store = FileStore(disk / "store", disk / "delivered")
        for number in range(CUTS):
            content = bytes([number]) * 5000
            publish(store, content)
            shutil.copyfile(image, cut)
            with mounted(tmp_path / "after", "-o", "loop", str(cut)) as after:
                assert read(FileStore(after / "store", after / "delivered")) == content
