"""What a storm of kills left behind, told by what a person would miss: nothing lost, twice, torn or wrong."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import dagster as dg
from cheap_stages import BAD, expected
from plant import LOOK_S, Plant, kill

PATIENT = {"run_retries": {"max_retries": 50}, "concurrency": {"runs": {"max_concurrent_runs": 3}}}
"""Of dagster.yaml: a budget for more kills than any machine sees."""
PATIENCE_S = 3600
SUCCESS = dg.DagsterRunStatus.SUCCESS
ROLES = ("daemon", "code", "worker", "step", "tool")


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


def uploads(count: int, rng: random.Random) -> dict[str, dict[str, bytes]]:
    """Return uploads by name; every sixth is no film."""
    return {
        f"upload {i}": {"a.mp4": (BAD if i % 6 == 5 else b"") + rng.randbytes(2000), "b.mp4": rng.randbytes(10)}
        for i in range(count)
    }


def storm(
    plant: Plant, contents: Mapping[str, Mapping[str, bytes]], *, kills: int, rng: random.Random, seconds: float = 1e9
) -> Harm:
    """Drop ``contents`` and kill processes by chance until all uploads ended; at most ``kills``, for ``seconds``."""
    harm, began_s = Harm(uploads=len(contents)), time.monotonic()
    for name, files in contents.items():
        plant.drop(name, files)
    next_s = began_s + 5
    while harm.kills < kills and time.monotonic() - began_s < seconds and not plant.ended():
        plant.tend()
        if time.monotonic() >= next_s and (struck := strike(plant, rng)):
            harm.kills += 1
            harm.roles[struck] += 1
            next_s = time.monotonic() + rng.uniform(0.5, 4)
        time.sleep(LOOK_S)
    plant.until(plant.ended, within_s=PATIENCE_S)
    harm.seconds = time.monotonic() - began_s
    return harm


def strike(plant: Plant, rng: random.Random) -> str | None:
    """Kill one process of a role drawn by chance; return the role, or None when there was none to kill."""
    alive = plant.processes()
    roles = [role for role in ROLES if role in alive.values()]
    chosen = rng.choice(roles) if roles else None
    return chosen if any(role == chosen and kill(pid) for pid, role in alive.items()) else None


def count(plant: Plant, contents: Mapping[str, Mapping[str, bytes]], harm: Harm) -> Harm:
    """Fill in what became of each upload."""
    packages = _packages(plant)
    reasons = {path.name.removesuffix(".reason.json"): json.loads(path.read_text()) for path in _reasons(plant)}
    for name, files in contents.items():
        made, reason, bad = packages.get(name, []), reasons.get(name), files["a.mp4"].startswith(BAD)
        harm.delivered += bool(made)
        harm.classified += reason is not None
        harm.lost += not made and reason is None
        harm.duplicated += len(made) + (reason is not None) > 1
        right = reason is not None and reason["class"] == "UnreadableMedia" if bad else made == [expected(files)]
        harm.wrong_reads += not right
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


def _packages(plant: Plant) -> dict[str, list[str]]:
    """Return what was delivered, by the name of the upload."""
    titles = {run.tags["dagster/partition"]: run.tags["splat/upload"] for run in plant.runs()}
    found: dict[str, list[str]] = {}
    for path in plant.place("delivered").glob("*/*/result.txt"):
        if path.parent.name != "latest" and not path.parent.name.startswith("."):
            found.setdefault(titles[path.parent.parent.name], []).append(path.read_text())
    return found


def _reasons(plant: Plant) -> list[Path]:
    return sorted(plant.place("errors").glob("*.reason.json"))
