"""An object store that fails in every way known of them: nothing is lost or doubled, nothing that was read is wrong."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
from flaky import HARMS, Proxy, flaky
from object_stores import surroundings
from s3fs import S3FileSystem

from resources import clients
from resources.clocks import now
from resources.inbox import list_upload
from resources.places import place_of
from resources.shelves import Shelves
from resources.stores import FileStore
from sensors import uploads as sensor
from splat_pipeline.domain.errors import StoreUnavailable
from splat_pipeline.domain.intake import PRIORITY_TAG, UPLOAD_TAG

EACH = {
    "internal_error": 0.03, "unavailable": 0.03, "slow_down": 0.03, "reset": 0.03, "lost": 0.03,
    "cut": 0.05, "short": 0.1, "flipped": 0.1,
}  # fmt: skip
AGAIN = 20
"""So often something that says it failed for now is done again; Dagster does it for longer."""
PATIENCE_S = 60
"""After so long Dagster ends a look at the inbox."""


@pytest.fixture
def through(s3_server: str) -> Iterator[Proxy]:
    """A way to the S3 server that does harm once it is told to."""
    del s3_server
    with flaky(os.environ["AWS_ENDPOINT_URL"]) as proxy, surroundings({"AWS_ENDPOINT_URL": proxy.url}):
        S3FileSystem.clear_instance_cache()  # a client keeps the address that it was made with
        yield proxy
    S3FileSystem.clear_instance_cache()


def until_done(work: Callable[[], object]) -> object:
    """Do something until it does not say that the store failed for now; anything else it says is an error."""
    assert StoreUnavailable.retry == "same"
    for _ in range(AGAIN):
        with suppress(StoreUnavailable):
            return work()
    raise AssertionError(f"it failed {AGAIN} times")


def test_what_is_published_through_faults_is_read_through_faults_as_it_was(
    through: Proxy, s3_server: str, tmp_path: Path
):
    rng, through.faults = random.Random(1), EACH
    made: dict[str, bytes] = {}

    def publish(asset: str, content: bytes) -> None:
        store = FileStore(f"{s3_server}/flaky", f"{s3_server}/given", local=tmp_path / "here")
        with store.scratch("job", asset) as folder:
            (folder / "a.bin").write_bytes(content)
            store.deliver(store.publish("job", asset, folder, provenance={}))

    def read(asset: str, machine: int) -> bytes:
        store = FileStore(f"{s3_server}/flaky", f"{s3_server}/given", local=tmp_path / f"machine-{machine}")
        return (store.fetch("job", asset).folder / "a.bin").read_bytes()

    for number in range(3):
        made[f"asset{number}"] = rng.randbytes(5000)
        until_done(lambda n=f"asset{number}": publish(n, made[n]))
    for machine in range(2):
        assert {asset: until_done(lambda a=asset, m=machine: read(a, m)) for asset in made} == made
    assert set(HARMS) <= through.done.keys()


def shelves_of(root: str) -> Shelves:
    return Shelves(inbox=place_of(f"{root}/in"), processed=place_of(f"{root}/done"), errors=place_of(f"{root}/bad"))


def door(root: str, shelves: Shelves, local: Path) -> sensor.Door:
    store = FileStore(f"{root}/store", f"{root}/given", local=local)
    return sensor.Door(shelves=shelves, store=store, job_name="j", stable_s=0, now=now, utc=lambda: "20261120T000000Z")


def dropped(root: str, folder: Path, count: int) -> dict[str, str]:
    """Put complete uploads into an inbox; return the job of each, as a listing of this machine has it."""
    inbox, jobs, rng = place_of(f"{root}/in"), {}, random.Random(2)
    for number in range(count):
        files = {"a.mp4": rng.randbytes(3000), "job.yaml": b"priority: %d\ndetail: preview\n" % number, ".done": b""}
        (folder / f"u{number}").mkdir(parents=True)
        for name, data in files.items():
            (folder / f"u{number}" / name).write_bytes(data)
            inbox.write(f"u{number}/{name}", data)
        jobs[f"u{number}"] = list_upload(folder / f"u{number}").job
    return jobs


def test_uploads_come_in_through_faults_once_each_with_what_they_ask_for_and_go_out_whole(
    through: Proxy, s3_server: str, tmp_path: Path, instance: dg.DagsterInstance
):
    root, cursor, asked = f"{s3_server}/intake", None, []
    jobs = dropped(root, tmp_path / "u", 4)
    shelves = shelves_of(root)
    look = sensor.uploads_sensor(door(root, shelves, tmp_path / "local"), poll_s=5, inbox="x")
    through.faults = EACH
    further = 2  # looks, when all have come in: none comes in again
    for _ in range(AGAIN):
        with suppress(StoreUnavailable):  # a look that failed: Dagster keeps the cursor
            result = look(dg.build_sensor_context(instance=instance, cursor=cursor))
            cursor, asked = result.cursor, [*asked, *(result.run_requests or [])]
            further -= len(asked) >= len(jobs)
        if further < 0:
            break
    found = {request.tags[UPLOAD_TAG]: (request.partition_key, request.tags[PRIORITY_TAG]) for request in asked}
    assert len(asked) == len(found)
    assert found == {name: (job, name[1:]) for name, job in jobs.items()}
    for name in jobs:
        until_done(lambda n=name: shelves.shelve(n, {"key": n, "utc": "2026-11-20T00:00:00Z"}))
    through.faults = {}
    assert shelves.inbox.find() == {}
    assert shelves.processed.children() == sorted([*jobs, *(f"{name}.result.json" for name in jobs)])
    for name in jobs:
        assert shelves.processed.read(f"{name}/a.mp4") == (tmp_path / "u" / name / "a.mp4").read_bytes()


def test_a_look_at_a_slow_store_ends_in_time_and_the_next_ones_take_the_rest(
    through: Proxy, s3_server: str, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    root, cursor, asked, slowest_s = f"{s3_server}/slow", None, [], 0.0
    jobs = dropped(root, tmp_path / "u", 6)
    look = sensor.uploads_sensor(door(root, shelves_of(root), tmp_path / "local"), poll_s=5, inbox="x")
    through.faults, through.slow_s = {"slow": 1.0}, 0.2
    monkeypatch.setattr(sensor, "BUDGET_S", 2)
    looks = 0
    while len(asked) < len(jobs):
        began_s, looks = time.monotonic(), looks + 1
        result = look(dg.build_sensor_context(instance=instance, cursor=cursor))
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        cursor, asked = result.cursor, [*asked, *(result.run_requests or [])]
        assert result.run_requests
    assert looks > 1
    assert {request.partition_key for request in asked} == set(jobs.values())
    assert slowest_s < PATIENCE_S - 18  # as much as the budget was cut by


def test_a_store_that_takes_requests_and_never_answers_is_given_up_and_used_again_when_it_answers(
    through: Proxy, s3_server: str, monkeypatch: pytest.MonkeyPatch
):
    assert clients.CONNECT_S <= 10  # below: shorter ones, of the same settings
    assert clients.ANSWER_S <= 30
    monkeypatch.setattr(clients, "ANSWER_S", 0.5)
    monkeypatch.setattr(clients, "ATTEMPTS", 1)
    place = place_of(f"{s3_server}/mute")
    place.write("a", b"before")
    through.faults = {"mute": 1.0}
    for ask in (lambda: place.write("b", b"lost"), place.children):
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable):
            ask()
        assert time.monotonic() - began_s < PATIENCE_S
    assert through.done["mute"] > 3
    through.faults = {}
    assert place.read("a") == b"before"
    assert place.children() == ["a"]
