"""Without room new runs wait and say so, old delivered things go first, and work goes on once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.clocks import now
from resources.machine import LocalMachine
from resources.places import place_of
from resources.shelves import Shelves
from resources.space import Guard, free_room
from resources.stores import FileStore
from sensors.uploads import Door, uploads_sensor
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import DiskFull
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.room import DiskRules
from splat_pipeline.domain.uploads import Upload, UploadFile

MEGABYTE = 10**6
SMALL = Recipe().overridden(
    {
        "frames": {"max_keyframes": 8, "longer_side_px": 160},
        "poses": {"max_features": 256},
        "training": {"max_gaussians": 1000},
    },
    source="test",
)
UPLOAD = Upload(job="a-00000000", title="a", location="x", files=(UploadFile(name="a.mp4", size_bytes=4),))
Disk = Callable[..., Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Give a function that mounts a small disk."""
    mounted: list[Path] = []

    def mount(*, megabytes: int, inodes: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        how = f"size={megabytes}m,nr_inodes={inodes}"
        command = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(folder)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"FULL DISKS ARE NOT TESTED: mounting is not allowed here: {made.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def guard(folder: Path, *, spare: Callable[[int], object] = lambda _: None) -> Guard:
    rules = DiskRules(floor_gb=0.03, floor_inodes=100)
    return Guard(folders=[folder, Path("/")], rules=rules, recipe=SMALL, gpu=False, spare=spare)


def test_a_run_waits_for_bytes_and_goes_on_once_they_are_there(disk: Disk):
    folder = disk(megabytes=200, inodes=2000)
    watch = guard(folder)
    assert watch.hold(UPLOAD, running=0) is None
    assert "GB of disk" in str(watch.hold(UPLOAD, running=1)), "two of them do not fit"
    assert watch.low() is None
    filler = folder / "filler"
    filler.write_bytes(b"x" * 100 * MEGABYTE)
    assert str(watch.hold(UPLOAD, running=0)).startswith("new runs wait for 0.0")
    assert watch.low() is None, "the floor alone is still free"
    (folder / "more").write_bytes(b"x" * 90 * MEGABYTE)
    assert str(watch.low()).startswith("new runs wait for 0.0")
    filler.unlink()
    (folder / "more").unlink()
    assert watch.hold(UPLOAD, running=0) is None


def test_what_job_yaml_asks_for_counts_and_what_it_cannot_ask_for_does_not(disk: Disk):
    watch = guard(disk(megabytes=200, inodes=2000))
    many = replace(UPLOAD, asked={"training": {"max_gaussians": 10**6}})
    assert watch.hold(UPLOAD, running=0) is None
    assert "GB of disk" in str(watch.hold(many, running=0))
    assert watch.hold(replace(UPLOAD, asked={"training": {"max_gaussians": "many"}}), running=0) is None


def test_a_run_waits_for_inodes(disk: Disk):
    folder = disk(megabytes=200, inodes=700)
    watch = guard(folder)
    assert watch.hold(UPLOAD, running=0) is None
    for i in range(100):
        (folder / str(i)).touch()
    assert "inodes" in str(watch.hold(UPLOAD, running=0))
    assert free_room(folder).inodes < 600


def test_old_things_go_before_a_run_waits(disk: Disk):
    folder = disk(megabytes=200, inodes=2000)
    filler, asked = folder / "filler", []
    filler.write_bytes(b"x" * 100 * MEGABYTE)

    def spare(wanted_bytes: int) -> None:
        asked.append(wanted_bytes)
        filler.unlink()

    assert guard(folder, spare=spare).hold(UPLOAD, running=0) is None
    assert len(asked) == 1
    assert 0 < asked[0] < 100 * MEGABYTE


def test_a_disk_that_is_full_in_the_middle_of_a_write_loses_nothing(disk: Disk):
    folder = disk(megabytes=24, inodes=500)
    store = FileStore(folder / "store", folder / "delivered")
    store.register(UPLOAD)

    def publish(size: int, *, file: str = "a.bin") -> str:
        with store.scratch(UPLOAD.job, "splat") as scratch:
            (scratch / file).write_bytes(b"x" * size)
            return store.publish(UPLOAD.job, "splat", scratch, provenance={"run_id": "r"}).version

    whole = publish(8 * MEGABYTE)
    for _ in range(2):
        with pytest.raises(DiskFull):
            publish(20 * MEGABYTE)
        assert store.fetch(UPLOAD.job, "splat").version == whole, "every file was read against its checksum"
    with pytest.raises(DiskFull):
        store.deliver(_grown(store, folder))
    assert store.delivery_of(UPLOAD.job) is None
    assert not list((folder / "delivered" / UPLOAD.job).iterdir()), "nothing half delivered is left"
    (folder / "filler").unlink()
    assert not list((folder / "store" / "scratch").iterdir()), "nothing half made is left"
    assert publish(9 * MEGABYTE, file="b.bin") != whole
    store.append(tables.FREED, [])
    assert store.upload(UPLOAD.job) == UPLOAD


def _grown(store: FileStore, folder: Path):
    """Fill the disk up to less than what is delivered."""
    artifact = store.fetch(UPLOAD.job, "splat")
    free = free_room(folder).size_bytes
    (folder / "filler").write_bytes(b"x" * (free - 4 * MEGABYTE))
    return artifact


def test_the_sensor_says_why_uploads_wait_and_starts_them_at_the_first_tick_with_room(disk: Disk, tmp_path: Path):
    folder = disk(megabytes=200, inodes=2000)
    watch = guard(folder)
    places = {name: place_of(tmp_path / name) for name in ("inbox", "processed", "errors")}
    places["inbox"].write("garden/a.mp4", b"film")
    door = Door(
        shelves=Shelves(**places),
        store=FileStore(tmp_path / "store", tmp_path / "delivered"),
        job_name="j",
        stable_s=0,
        now=now,
        utc=LocalMachine().utc,
        hold=lambda _instance, upload, beside: watch.hold(upload, running=beside),
    )
    sensor = uploads_sensor(door, poll_s=5, inbox="inbox")
    (folder / "filler").write_bytes(b"x" * 100 * MEGABYTE)
    cursor, requests, said = None, [], []
    with dg.DagsterInstance.ephemeral() as instance:
        for tick in range(4):
            if tick == 3:
                (folder / "filler").unlink()
            result: Any = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
            cursor = result.cursor
            requests.append(len(result.run_requests))
            said.append(str(result.skip_reason and result.skip_reason.skip_message))
    assert requests == [0, 0, 0, 1]
    assert "1 of 1 uploads in the inbox are complete and wait: new runs wait for 0.0" in said[2]
