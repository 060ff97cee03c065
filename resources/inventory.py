"""What lies in the store, the deliveries and processed/, as things that may go, and how they go.

Whatever dies while a thing is removed, no reader sees half of one: the pointer to a current version goes before its
files, the marker of an upload after it. What is left is found, and removed, the next time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from resources.deliveries import LATEST
from resources.fences import ATTEMPTS, CURRENT, current
from resources.shelves import RESULT
from splat_pipeline.assets.overview import ALL_JOBS
from splat_pipeline.domain.errors import MissingArtifact
from splat_pipeline.domain.retention import STANDARD, Decision, Kind, Thing
from splat_pipeline.ports.stores import FileFacts, Place, Store

PACKAGE = "package"
LATEST_OVERVIEW = "it is the latest overview"
RUNS, UNDELIVERED = "its run is not over", "it was not delivered: this may be the only copy"
UNKNOWN = "nothing says what came of it"
_NS = 1e-9


@dataclass(frozen=True, kw_only=True)
class Held:
    """A thing, and where it is removed: names in this order."""

    thing: Thing
    place: Place
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything that takes room, of all jobs."""

    store: Store
    artifacts: Place
    """Root of the store."""
    work: Place
    """This machine's own folder: checkpoints and what is half made."""
    delivered: Place
    processed: Place
    now_s: Callable[[], float]
    """Unix time."""
    running: Callable[[], Collection[str]]
    """Jobs with a run that is not over."""
    _products: dict[str, str] = field(default_factory=dict, repr=False)

    def things(self) -> list[Held]:
        """Return all that may be decided on."""
        running, delivered = set(self.running()), self._delivered_jobs()
        found = [*self._uploads(running, delivered), *self._artifacts(running, delivered)]
        return [*found, *self._packages(running), *self._unfinished(running)]

    def remove(self, held: Iterable[Held], decisions: Iterable[Decision]) -> list[Decision]:
        """Remove what goes and is still not in use; return what went."""
        by_name = {each.thing.name: each for each in held}
        gone = []
        for decision in decisions:
            if not decision.goes or decision.thing.job in self.running():
                continue
            each = by_name[decision.thing.name]
            for name in each.names:
                each.place.remove(name)
            gone.append(decision)
        return gone

    def _uploads(self, running: set[str], delivered: set[str]) -> Iterator[Held]:
        groups = _grouped(self.processed.find(), 1)
        for name, files in groups.items():
            marker = groups.get(name + RESULT)
            if name.endswith(RESULT) or name.startswith("."):
                continue
            told = {} if marker is None else json.loads(self.processed.read(name + RESULT))
            job, product = str(told.get("job", "")), str(told.get("product") or STANDARD)
            guard = UNKNOWN if marker is None else _guard(job, running, delivered)
            size, written_s = _sum(files)
            moved_s = _sum(marker)[1] if marker else written_s  # its files keep the times that they came with
            thing = self._thing("uploads", job, f"{self.processed.url}/{name}", size, moved_s, product=product)
            yield Held(thing=_guarded(thing, guard), place=self.processed, names=(name, name + RESULT))

    def _artifacts(self, running: set[str], delivered: set[str]) -> Iterator[Held]:
        by_asset: dict[tuple[str, str], dict[str, dict[str, FileFacts]]] = defaultdict(dict)
        for home, files in _grouped(self.artifacts.find("jobs"), 4).items():
            parts = home.split("/")
            if len(parts) == 4 and parts[3] not in (CURRENT, ATTEMPTS) and any(f.startswith(f"{home}/") for f in files):
                by_asset[parts[1], parts[2]][parts[3]] = files
        for (job, asset), versions in by_asset.items():
            home = f"jobs/{job}/{asset}"
            latest, _ = current(self.artifacts, home) or (None, {})
            kind: Kind = "packages" if asset == PACKAGE else "intermediates"
            for version, files in versions.items():
                size, written_s = _sum(files)
                thing = self._thing(kind, job, f"{self.artifacts.url}/{home}/{version}", size, written_s)
                guard = _guard(job, running, delivered)
                if job == ALL_JOBS:  # it is of none, and made again every day: only the latest counts
                    guard = LATEST_OVERVIEW if version == latest else None
                pointer = (f"{home}/{CURRENT}",) if version == latest else ()
                yield Held(thing=_guarded(thing, guard), place=self.artifacts, names=(*pointer, f"{home}/{version}"))

    def _packages(self, running: set[str]) -> Iterator[Held]:
        groups = _grouped(self.delivered.find(), 2)
        for home, files in groups.items():
            job, _, version = home.partition("/")
            if not version or PurePosixPath(version).stem == LATEST:
                continue
            size, written_s = _sum(files)
            guard = RUNS if job in running else None
            thing = self._thing("packages", job, f"{self.delivered.url}/{home}", size, written_s)
            names: tuple[str, ...] = (home,)
            if version == self._latest(job):
                names = (f"{job}/{LATEST}", f"{job}/{LATEST}.json", home)
            yield Held(thing=_guarded(thing, guard), place=self.delivered, names=names)

    def _unfinished(self, running: set[str]) -> Iterator[Held]:
        """Checkpoints, and what killed steps left half made; of the latter nobody knows whose it was."""
        for folder, depth in (("ongoing", 2), ("scratch", 2)):
            for home, files in _grouped(self.work.find(folder), depth).items():
                job = home.split("/")[1] if folder == "ongoing" else ""
                busy = job in running if job else bool(running)
                size, written_s = _sum(files)
                thing = self._thing("checkpoints", job, f"{self.work.url}/{home}", size, written_s)
                yield Held(thing=_guarded(thing, RUNS if busy else None), place=self.work, names=(home,))

    def _delivered_jobs(self) -> set[str]:
        return {job for job in self.delivered.children() if self._latest(job) is not None}

    def _latest(self, job: str) -> str | None:
        here = self.delivered.here(f"{job}/{LATEST}")
        if here is not None:
            return here.readlink().name if here.is_symlink() and here.exists() else None
        try:
            return str(json.loads(self.delivered.read(f"{job}/{LATEST}.json"))["version"])
        except FileNotFoundError:
            return None

    def _thing(
        self, kind: Kind, job: str, name: str, size_bytes: int, written_s: float, *, product: str | None = None
    ) -> Thing:
        return Thing(
            kind=kind,
            product=product or self._product(job),
            job=job,
            name=name,
            size_bytes=size_bytes,
            age_s=max(0.0, self.now_s() - written_s),
        )

    def _product(self, job: str) -> str:
        if job not in self._products:
            try:
                self._products[job] = self.store.upload(job).wishes.product if job else STANDARD
            except MissingArtifact:
                self._products[job] = STANDARD
        return self._products[job]


def _grouped(files: Mapping[str, FileFacts], depth: int) -> dict[str, dict[str, FileFacts]]:
    """Return files by the first ``depth`` parts of their names."""
    groups: dict[str, dict[str, FileFacts]] = defaultdict(dict)
    for name, facts in files.items():
        groups["/".join(name.split("/")[:depth])][name] = facts
    return groups


def _sum(files: Mapping[str, FileFacts]) -> tuple[int, float]:
    """Return the bytes of all files, and when the last one was written (Unix time)."""
    return sum(f.size_bytes for f in files.values()), max((f.modified_ns for f in files.values()), default=0) * _NS


def _guard(job: str, running: set[str], delivered: set[str]) -> str | None:
    if job in running:
        return RUNS
    return None if job in delivered else UNDELIVERED


def _guarded(thing: Thing, guard: str | None) -> Thing:
    return Thing(**{**vars(thing), "guard": guard})
