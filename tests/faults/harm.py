"""What a storm of kills left behind, told by what a person would miss: nothing lost, twice, torn or wrong."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import dagster as dg
from cheap_stages import BAD, expected
from plant import LOOK_S, Plant, kill

PATIENT = {"run_retries": {"max_retries": 50}, "concurrency": {"runs": {"max_concurrent_runs": 3}}}
"""Of dagster.yaml: a budget for more kills than any machine sees."""
PATIENCE_S = 900
SUCCESS = dg.DagsterRunStatus.SUCCESS
ROLES = {"daemon": 0.5, "code": 0.25, "worker": 2, "step": 8, "tool": 8}
"""What is killed, and how often beside the others: after a code server, nothing is at work for a while."""
BAD_EVERY = 6
MOST_RESTARTS = 20
"""More than kills explain."""
Contents = Mapping[str, bytes]
"""Of an upload: bytes by file name."""


@dataclass(kw_only=True)
class Harm:
    """What was done to a plant, and what became of its uploads."""

    kills: int = 0
    uploads: int = 0
    delivered: int = 0
    """Uploads with a package."""
    classified: int = 0
    """Uploads in error/ with a class."""
    lost: int = 0
    """Uploads with neither."""
    duplicated: int = 0
    """Uploads with both, with several packages, or with several runs that succeeded."""
    torn: int = 0
    """Files that are not what the manifest beside them says."""
    wrong_reads: int = 0
    """Packages that do not say what follows from the upload, and good uploads that were refused."""
    spent: int = 0
    """Good uploads in error/ for a step of theirs was killed as often as it is tried."""
    seconds: float = 0.0
    roles: Counter[str] = field(default_factory=Counter)
    """Kills by what was killed."""

    @property
    def broken(self) -> bool:
        """Whether any upload did not end as it should."""
        ended = self.delivered + self.classified == self.uploads
        return not ended or any((self.lost, self.duplicated, self.torn, self.wrong_reads))

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return {**asdict(self), "seconds": round(self.seconds, 1), "roles": dict(self.roles)}


def upload(number: int, rng: random.Random) -> dict[str, bytes]:
    """Return the files of an upload; every sixth is no film."""
    bad = BAD if number % BAD_EVERY == BAD_EVERY - 1 else b""
    return {"a.mp4": bad + rng.randbytes(2000), "b.mp4": rng.randbytes(10)}


def is_expected(folder: Path, files: Contents) -> bool:
    """Tell whether a package of the cheap stages says what follows from the upload."""
    return (folder / "result.txt").read_text() == expected(files)


@dataclass(kw_only=True)
class Storm:
    """Kills by chance, while uploads come in as others end."""

    kills: int
    rng: random.Random
    pause_s: tuple[float, float]
    """Between two attempts to kill, at least and at most."""
    at_once: int = 5
    """Uploads in the inbox as long as there are kills to come."""
    seconds: float = 4 * 3600.0
    """No more kills after so long."""
    patience_s: float = PATIENCE_S
    """Until all uploads ended, once there are no more kills."""
    make: Callable[[int, random.Random], Contents] = upload
    contents: dict[str, Contents] = field(default_factory=dict)
    """What was dropped, by name."""
    say: Callable[[str], object] = lambda _: None
    """Told of every kill."""

    def rage(self, plant: Plant) -> Harm:
        """Kill processes until it was done ``kills`` times, then wait for the uploads; raises ``TimeoutError``."""
        harm, began_s, next_s = Harm(), time.monotonic(), 0.0
        while harm.kills < self.kills and time.monotonic() - began_s < self.seconds:
            plant.tend()
            if plant.restarts > harm.kills + MOST_RESTARTS:
                raise RuntimeError(f"processes die that nobody killed:\n{plant.told()}")
            self.feed(plant)
            if time.monotonic() >= next_s:
                if struck := strike(plant, self.rng):
                    harm.kills += 1
                    harm.roles[struck] += 1
                    self.say(f"{time.monotonic() - began_s:.0f} s: kill {harm.kills} of {self.kills}, a {struck}")
                next_s = time.monotonic() + self.rng.uniform(*self.pause_s)
            time.sleep(LOOK_S / 5)
        plant.until(plant.ended, within_s=self.patience_s)
        harm.seconds = time.monotonic() - began_s
        return harm

    def feed(self, plant: Plant) -> None:
        """Drop uploads where others have left the inbox."""
        for _ in range(self.at_once - len(plant.waiting())):
            name = f"upload {len(self.contents)}"
            self.contents[name] = self.make(len(self.contents), self.rng)
            plant.drop(name, self.contents[name])


def strike(plant: Plant, rng: random.Random) -> str | None:
    """Kill one process of a role drawn by chance, while a run is at work; return the role, None where none was hit."""
    alive = plant.processes()
    (chosen,) = rng.choices([*ROLES], [*ROLES.values()])
    hit = "worker" in alive.values() and any(role == chosen and kill(pid) for pid, role in alive.items())
    return chosen if hit else None


def count(
    plant: Plant, contents: Mapping[str, Contents], harm: Harm, right: Callable[[Path, Contents], bool] = is_expected
) -> Harm:
    """Fill in what became of each upload. ``right``: of a package's folder and the upload's files."""
    packages = _packages(plant)
    reasons = {path.name.removesuffix(".reason.json"): json.loads(path.read_text()) for path in _reasons(plant)}
    harm.uploads = len(contents)
    for name, files in contents.items():
        made, reason = packages.get(name, []), reasons.get(name)
        harm.delivered += bool(made)
        harm.classified += reason is not None
        harm.lost += not made and reason is None
        harm.duplicated += len(made) + (reason is not None) > 1
        told = reason["class"] if reason is not None else None
        if files["a.mp4"].startswith(BAD):
            harm.wrong_reads += told != "UnreadableMedia"
        elif told == "ProcessKilled":
            harm.spent += 1
        else:
            harm.wrong_reads += not (len(made) == 1 and right(made[0], files))
    successes = Counter(run.tags["dagster/partition"] for run in plant.runs() if run.status is SUCCESS)
    harm.duplicated += sum(times > 1 for times in successes.values())
    harm.torn = len(torn(plant.place("store"))) + len(torn(plant.place("delivered")))
    return harm


def torn(root: Path) -> list[str]:
    """Return the files below ``root`` that are not what the manifest beside them says."""
    found = []
    for path in root.rglob("artifact.json"):
        if "scratch" in path.relative_to(root).parts or any(p.startswith(".") for p in path.relative_to(root).parts):
            continue  # half-made; nobody reads it
        for entry in json.loads(path.read_text())["files"]:
            file = path.parent / entry["name"]
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != entry["sha256"]:
                found.append(str(file))
    return found


def _packages(plant: Plant) -> dict[str, list[Path]]:
    """Return the versions that were delivered, by the name of the upload."""
    titles = {run.tags["dagster/partition"]: run.tags["splat/upload"] for run in plant.runs()}
    found: dict[str, list[Path]] = {}
    for path in plant.place("delivered").glob("*/*"):
        if not path.is_symlink() and not path.name.startswith("."):
            found.setdefault(titles[path.parent.name], []).append(path)
    return found


def _reasons(plant: Plant) -> list[Path]:
    return sorted(plant.place("errors").glob("*.reason.json"))
