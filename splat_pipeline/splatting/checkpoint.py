"""What a training needs to go on after it was killed, in one file that is whole or not there.

    <folder>/<training>.<scene>.<digest>.npz

training   fingerprint of all that decides the result: images, views, points, plan, recipe
scene      fingerprint of the points and of where the cameras stand: the same at another resolution or cap
digest     of the file's content, by which damage is noticed

The file is NumPy's, without pickled objects: the arrays of a state by name, and its other values as JSON in ``facts``.
It is written beside its place, flushed, and renamed; the one before it goes when it is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.splatting.recipe import TrainRecipe

FORMAT = 1
"""Counts changes of what a state holds and of what a training does with it."""
DIGITS = 16
"""Hexadecimal digits of a fingerprint or digest in a name."""
WRITTEN = 2e8
"""Bytes a second: how fast a file is written, as long as none has been."""
FACTS = "facts"
HALF = ".half-"
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where and how often a training leaves what it needs to go on. A training that finds its own there goes on."""

    folder: Path
    """Made when first written to. Whoever gives it removes it when nobody needs it any more."""
    every_iterations: int = 500
    every_s: float = 30.0
    """Whichever comes first."""
    most_share: float = 0.01
    """Of the training's time: where writing takes more, it is done less often."""
    say: Callable[[str], None] = lambda _: None
    """Takes a line for a person: what was found, what could not be used, what could not be written."""
    take_over: bool = False
    """Where the folder holds no checkpoint of this training but one of another of the same scene: begin with its
    Gaussians, thinned to the cap, after the same share of the course."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Says whose a checkpoint is."""

    training: str
    scene: str

    @staticmethod
    def of(
        images: Sequence[NDArray[np.uint8]],
        views: Sequence[View],
        points: NDArray[np.floating],
        colors: NDArray[np.uint8],
        plan: TrainingPlan,
        *,
        recipe: TrainRecipe,
        seconds: float | None,
    ) -> Fingerprint:
        """Return the fingerprint of a training. Why a plan is what it is does not count."""
        scene = hashlib.sha256(json.dumps([FORMAT, [view.name for view in views]]).encode())
        _feed(scene, points, colors, *(view.cam_from_world for view in views))
        asked = {**asdict(plan), "reasons": ()}
        sizes = [asdict(view.camera) for view in views]
        training = hashlib.sha256(json.dumps([asked, asdict(recipe), seconds, sizes]).encode())
        training.update(scene.digest())
        _feed(training, *images)
        return Fingerprint(training=training.hexdigest()[:DIGITS], scene=scene.hexdigest()[:DIGITS])


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Where a training stands."""

    facts: Mapping[str, Any]
    """Values that JSON has."""
    arrays: Arrays


@dataclass(kw_only=True, eq=False)
class Keeper:
    """Writes and finds the checkpoints of one training."""

    asked: Checkpoints
    whose: Fingerprint
    written_at: int = 0
    """Iterations done when the last one was written, or when this process began."""
    written_s: float = 0.0
    """Seconds of the training at that time."""
    cost_s: float | None = field(default=None)
    """Seconds that writing the last one took."""

    def offer(self, iterations: int, clock: Callable[[], float], state: Callable[[], State]) -> None:
        """Write ``state`` in the place of the one before when it is time. ``clock``: seconds of the training.

        A disk that does not take it is said, and the training goes on without.
        """
        start = clock()
        since_s = start - self.written_s
        if iterations - self.written_at < self.asked.every_iterations and since_s < self.asked.every_s:
            return
        taken = state()
        size_bytes = sum(values.nbytes for values in taken.arrays.values())
        if (size_bytes / WRITTEN if self.cost_s is None else self.cost_s) > self.asked.most_share * since_s:
            return
        try:
            self._save(taken)
        except OSError as error:
            self.asked.say(f"no checkpoint could be written: {error}")
        self.written_at, self.written_s = iterations, clock()
        self.cost_s = self.written_s - start

    def _save(self, state: State) -> None:
        folder = self.asked.folder
        folder.mkdir(parents=True, exist_ok=True)
        half = folder / f"{HALF}{uuid.uuid4().hex}"
        try:
            name = f"{self.whose.training}.{self.whose.scene}.{_write(half, state)}.npz"
            half.rename(folder / name)
        finally:
            half.unlink(missing_ok=True)
        _sync(folder)
        for old in folder.glob(f"{self.whose.training}.*"):
            if old.name != name:
                old.unlink()

    def own(self) -> State | None:
        """Return the state of this training when the folder has a whole one."""
        for half in self.asked.folder.glob(f"{HALF}*"):
            half.unlink()
        return self._newest(f"{self.whose.training}.{self.whose.scene}.*.npz")

    def another(self) -> State | None:
        """Return the newest state of another training of the scene, when it is asked for and the folder has one."""
        return self._newest(f"*.{self.whose.scene}.*.npz") if self.asked.take_over else None

    def _newest(self, pattern: str) -> State | None:
        found = sorted(self.asked.folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in found:
            state = _read(path)
            if state is not None:
                return state
            self.asked.say(f"the checkpoint {path.name} is damaged and of no use")
            path.unlink()
        return None


def _write(path: Path, state: State) -> str:
    """Write ``state`` and return the digest of the file."""
    facts = np.frombuffer(json.dumps(state.facts).encode(), np.uint8)
    with path.open("w+b") as file:
        np.savez(file, **{FACTS: facts}, **state.arrays)  # type: ignore[arg-type]  # names are no options of savez
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]


def _read(path: Path) -> State | None:
    """Return what ``_write`` wrote, or None when the file is not that any more."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS] != path.name.split(".")[2]:
            return None
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
    return State(facts=json.loads(held.pop(FACTS).tobytes()), arrays=held)


def _feed(digest: Any, *arrays: NDArray[Any]) -> None:
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
