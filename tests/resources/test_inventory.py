"""What lies in the places is found with its age, size and guard; what goes is gone whole, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from resources.inventory import RUNS, UNDELIVERED, UNKNOWN, Inventory
from resources.places import place_of
from resources.stores import FileStore
from resources.sweeping import spare, sweep
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import MissingArtifact
from splat_pipeline.domain.retention import DAY_S, Keep, KeepRules
from splat_pipeline.domain.uploads import Upload, UploadFile
from splat_pipeline.domain.wishes import Wishes

NOTHING = KeepRules(
    uploads=Keep(days=0), intermediates=Keep(days=0), checkpoints=Keep(days=0), packages=Keep(days=1000)
)
LATER_S = 2 * DAY_S


class Yard:
    """A store with jobs in every state, at one kind of place."""

    def __init__(self, where: str, tmp: Path) -> None:
        self.store = FileStore(f"{where}/store", f"{where}/delivered", local=tmp / "work")
        self.processed, self.busy = place_of(f"{where}/processed"), set()
        self.inventory = Inventory(
            store=self.store,
            artifacts=self.store.place,
            work=place_of(self.store.local),
            delivered=place_of(f"{where}/delivered"),
            processed=self.processed,
            now_s=lambda: self.now_s,
            running=lambda: self.busy,
        )
        import time

        self.now_s = time.time() + LATER_S

    def publish(self, job: str, asset: str, text: str):
        with self.store.scratch(job, asset) as folder:
            (folder / "a.txt").write_text(text)
            return self.store.publish(job, asset, folder, provenance={"run_id": "r"})

    def job(self, job: str, *, delivered: bool, product: str = "standard") -> None:
        files = (UploadFile(name="a.mp4", size_bytes=4),)
        upload = Upload(job=job, title=job, location="x", files=files, wishes=Wishes(product=product))
        self.store.register(upload)
        self.processed.write(f"{job}/a.mp4", b"film")
        told = {"job": job, "product": product, "result": "delivered"}
        self.processed.write(f"{job}.result.json", json.dumps(told).encode())
        for text in ("old", "new"):
            self.publish(job, "keyframes", text)
        package = self.publish(job, "package", job)
        if delivered:
            self.store.deliver(package)

    def guards(self) -> dict[tuple[str, str], set[str | None]]:
        found: dict[tuple[str, str], set[str | None]] = {}
        for each in self.inventory.things():
            found.setdefault((each.thing.job, each.thing.kind), set()).add(each.thing.guard)
        return found


@pytest.fixture
def yard(anywhere: str, tmp_path: Path) -> Yard:
    return Yard(anywhere, tmp_path)


def test_what_was_not_delivered_or_is_in_use_is_guarded_and_the_rest_goes_whole(yard: Yard):
    yard.job("done-00000000", delivered=True)
    yard.job("lost-00000000", delivered=False)
    yard.job("busy-00000000", delivered=True)
    yard.processed.write("stray.mp4", b"film")
    yard.busy = {"busy-00000000"}
    (yard.store.ongoing("done-00000000", "splat", "k" * 8) / "checkpoint.npz").write_bytes(b"1234")
    guards = yard.guards()
    assert guards["done-00000000", "intermediates"] == {None}
    assert guards["done-00000000", "checkpoints"] == {None}
    assert guards["lost-00000000", "intermediates"] == guards["lost-00000000", "uploads"] == {UNDELIVERED}
    assert guards["lost-00000000", "packages"] == {UNDELIVERED}
    assert guards["busy-00000000", "intermediates"] == guards["busy-00000000", "uploads"] == {RUNS}
    assert guards["", "uploads"] == {UNKNOWN}

    before = {name: yard.store.place.find(name) for name in ("jobs/lost-00000000", "jobs/busy-00000000")}
    dry = sweep(yard.inventory, {"standard": NOTHING}, utc="2026-11-20T00:00:00Z", dry_run=True)
    assert yard.guards() == guards, "a dry run removes nothing"
    decided = sweep(yard.inventory, {"standard": NOTHING}, utc="2026-11-20T00:00:00Z")
    gone = {each.thing.name for each in decided if each.goes}
    assert gone == {each.thing.name for each in dry if each.goes}
    assert {(each.thing.job, each.thing.kind) for each in decided if each.goes} == {
        ("done-00000000", kind) for kind in ("uploads", "intermediates", "checkpoints")
    }
    with pytest.raises(MissingArtifact, match="was never made"):
        yard.store.fetch("done-00000000", "keyframes")
    assert yard.store.fetch("done-00000000", "package").version, "packages stay"
    assert yard.store.delivery_of("done-00000000")
    assert {name: yard.store.place.find(name) for name in before} == before
    assert set(yard.processed.find()) == {
        "stray.mp4",
        *(f"{job}-00000000{name}" for job in ("lost", "busy") for name in ("/a.mp4", ".result.json")),
    }
    freed = yard.store.rows(tables.FREED)
    assert set(freed["name"]) == gone
    assert freed["size_bytes"].sum() == sum(each.thing.size_bytes for each in decided if each.goes) > 0
    assert sweep(yard.inventory, {"standard": NOTHING}, utc="2026-11-20T00:00:00Z") == sweep(
        yard.inventory, {"standard": NOTHING}, utc="2026-11-20T00:00:00Z"
    ), "there is nothing left to do"


def test_rules_of_a_product_class_and_delivered_packages_that_are_too_old(yard: Yard):
    yard.job("gold-00000000", delivered=True, product="gold")
    yard.job("free-00000000", delivered=True)
    short = NOTHING.model_copy(update={"packages": Keep(days=1)})
    long = KeepRules(uploads=Keep(days=9), intermediates=Keep(days=9), checkpoints=Keep(days=9), packages=Keep(days=9))
    sweep(yard.inventory, {"standard": short, "gold": long}, utc="2026-11-20T00:00:00Z")
    assert yard.store.delivery_of("free-00000000") is None
    assert not [n for n in yard.store.place.find("jobs/free-00000000/package") if n.endswith("a.txt")]
    assert yard.store.delivery_of("gold-00000000") is not None
    assert yard.store.fetch("gold-00000000", "keyframes").version


def test_a_run_that_begins_meanwhile_keeps_its_things(yard: Yard):
    yard.job("done-00000000", delivered=True)
    answers = iter([set()])
    inventory = replace(yard.inventory, running=lambda: next(answers, {"done-00000000"}))
    assert not any(each.goes for each in sweep(inventory, {"standard": NOTHING}, utc="2026-11-20T00:00:00Z"))
    assert yard.store.fetch("done-00000000", "keyframes").version


def test_room_is_made_of_delivered_uploads_first(yard: Yard):
    yard.job("done-00000000", delivered=True)
    yard.job("lost-00000000", delivered=False)
    gone = spare(yard.inventory, 1, least_age_s=DAY_S, utc="2026-11-20T00:00:00Z")
    assert [(each.thing.job, each.thing.kind) for each in gone] == [("done-00000000", "uploads")]
    assert not spare(yard.inventory, 1, least_age_s=10 * DAY_S, utc="2026-11-20T00:00:00Z"), "nothing is old enough"
