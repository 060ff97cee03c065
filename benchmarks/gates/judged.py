"""One capture through the pipeline: what the gates said of it, and what it was worth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.gates import broken, warps
from benchmarks.gates.cases import CAMERA, FPS, Capture, Scene
from benchmarks.gates.line import STAGES, Line, OnlyTrainer
from benchmarks.gates.truth import NOTHING, Worth, worth_of
from resources.movies import FfmpegWriter
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.domain.formats.colmap import ColmapModel, read_model, write_model
from splat_pipeline.domain.plans import Detail

POSED, TRAINED = STAGES[STAGES.index("camera_poses") :], STAGES[STAGES.index("splat") :]
BEFORE_POSES, BEFORE_SPLAT = STAGES[: STAGES.index("camera_poses")], STAGES[: STAGES.index("splat")]
DELIVERED = "cleaned" if "cleaned" in STAGES else "splat"
DRIFT = frozenset({"drift", "bad-poses-found", "few-registered"})


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One capture, judged."""

    name: str
    kind: str
    stage: str
    """Where the damage lives: footage, poses or splat."""
    classes: tuple[str, ...]
    """What its failure may rightly be called."""
    shipped: bool
    failure: str | None
    """The class under which it was stopped."""
    raised: bool
    """A stage raised the error; or else a gate stopped it."""
    stopped_by: str
    """The cause that a person was told; "" where nothing stopped it."""
    detail: str | None
    """At which it was shipped."""
    reasons: tuple[str, ...]
    """Why not at full detail."""
    warned: tuple[str, ...]
    """Gates that only warn and did not pass."""
    gates: Mapping[str, float | None]
    """Value of each gate that was judged."""
    worth: Worth
    full_db: float | None = None
    """Novel views at full detail all the same, where the ladder chose less; None: it did not."""

    @property
    def good(self) -> bool:
        """Whether it could be shipped, by the truth."""
        return self.worth.good

    def to_json(self) -> dict[str, Any]:
        """Return plain values; NaN becomes null."""
        plain = {**vars(self), "worth": vars(self.worth), "good": self.good, "gates": dict(self.gates)}
        done: dict[str, Any] = json.loads(json.dumps(plain, default=list), parse_constant=lambda _: None)
        return done


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What is done to a good capture's poses, or to what is trained on them."""

    kind: str
    strength: str
    classes: frozenset[str]
    warp: Callable[[ColmapModel], ColmapModel] | None = None
    trainer: Callable[[dict[Detail, Any]], Any] | None = None
    """From the trainings that were done before to the trainer."""

    @property
    def name(self) -> str:
        """Unique among all."""
        return f"{self.kind}-{self.strength}"


def pose_damages() -> list[Damage]:
    """Return what is done to a reconstruction."""
    kinds: list[tuple[str, Callable[..., ColmapModel], tuple[float, ...]]] = [
        ("bent", warps.bent, (0.3, 25.0)),
        ("drifting", warps.drifting, (1.15, 2.0)),
        ("false-loop", warps.falsely_closed, (0.1, 1.0)),
        ("jitter", warps.jittered, (0.1, 4.0)),
    ]
    return [
        Damage(
            kind=kind, strength=f"{size:g}", classes=DRIFT, warp=lambda model, warp=warp, size=size: warp(model, size)
        )
        for kind, warp, sizes in kinds
        for size in sizes
    ]


def splat_damages() -> list[Damage]:
    """Return what is done to a training."""
    bad, nan = frozenset({"untrained"}), frozenset({"diverged"})
    spoils: list[tuple[str, str, frozenset[str], broken.Spoil]] = [
        *(("nan", f"{s:g}", nan, broken.without_numbers(s)) for s in (0.002, 0.3)),
        *(("huge", f"{s:g}", bad, broken.huge(s)) for s in (0.0005, 0.05)),
        *(("floaters", f"{n}", bad, broken.floating(n)) for n in (3, 1000)),
        *(("scattered", f"{s:g}", bad, broken.scattered(s)) for s in (0.002, 0.2)),
    ]
    found = [
        Damage(
            kind=kind, strength=strength, classes=classes,
            trainer=lambda cache, spoil=spoil: broken.SpoilingTrainer(spoil=spoil, cache=cache),
        )
        for kind, strength, classes, spoil in spoils
    ]  # fmt: skip
    found += [
        Damage(
            kind="truncated", strength=f"{share:g}", classes=bad,
            trainer=lambda _, share=share: broken.SpoilingTrainer(spoil=lambda g: g, iterations_share=share),
        )
        for share in (0.5, 0.01)
    ]  # fmt: skip
    found += [
        *(
            Damage(
                kind=kind, strength=strength, classes=classes, trainer=lambda _, fail=fail, at=at: fail(*at),
            )
            for kind, fail, classes in (
                ("memory", broken.out_of_memory, frozenset({"out-of-memory"})),
                ("diverging", broken.diverging, nan),
            )
            for strength, at in (("full", (Detail.FULL,)), ("all", tuple(Detail)))
        ),
        Damage(
            kind="floaters", strength="full-only", classes=bad,
            trainer=lambda cache: broken.SpoilingTrainer(spoil=broken.floating(1000), cache=cache, only=(Detail.FULL,)),
        ),
    ]  # fmt: skip
    return found


@dataclass(frozen=True, kw_only=True)
class Base:
    """A good capture up to its poses, that others are damaged copies of."""

    job: str
    scene: Scene
    trainings: dict[Detail, Any] = field(default_factory=dict)


def footage(line: Line, capture: Capture, *, compare_full: bool = True) -> Judged:
    """Run a capture from its clip on."""
    folder = Path(line.settings.place("inbox")) / capture.name
    folder.mkdir(parents=True)
    FfmpegWriter(crf=16).write(folder / "clip.mp4", iter(capture.film(capture.scene)), fps=FPS)
    for name, text in capture.beside.items():
        (folder / name).write_text(text)
    job = line.register(folder, capture.name)
    facts = {"name": capture.name, "kind": capture.kind, "stage": "footage", "classes": tuple(sorted(capture.classes))}
    return _judged(line, job, STAGES, capture.scene, facts, compare_full=compare_full)


def base_of(line: Line, scene: Scene) -> Base:
    """Run an undamaged capture up to its poses."""
    folder = Path(line.settings.place("inbox")) / "base"
    folder.mkdir(parents=True)
    FfmpegWriter(crf=16).write(folder / "clip.mp4", iter(scene.clip()), fps=FPS)
    job = line.register(folder, "base")
    outcome = line.run(job, BEFORE_SPLAT)
    if outcome.reason is not None:
        raise SystemExit(f"the undamaged capture was stopped: {outcome.reason}")
    return Base(job=job, scene=scene)


def damaged(line: Line, base: Base, damage: Damage, *, compare_full: bool = True) -> Judged:
    """Run a damaged copy of ``base`` from where the damage lives on."""
    job = line.key_of(damage.name)
    kept = BEFORE_POSES if damage.warp is not None else BEFORE_SPLAT
    for asset in kept:
        with line.replace(job, asset, base.job) as folder:
            if asset == "local_reconstructions" and damage.warp is not None:
                _rewrite(folder / "windows" / "window_0000", damage.warp)
    stage = "poses" if damage.warp is not None else "splat"
    resources = {} if damage.trainer is None else {"trainers": OnlyTrainer(damage.trainer(base.trainings))}
    facts = {"name": damage.name, "kind": damage.kind, "stage": stage, "classes": tuple(sorted(damage.classes))}
    stages = POSED if damage.warp is not None else TRAINED
    return _judged(line, job, stages, base.scene, facts, compare_full=compare_full and stage == "poses", **resources)


def _rewrite(folder: Path, warp: Callable[[ColmapModel], ColmapModel]) -> None:
    model = warp(read_model(folder))
    for path in folder.iterdir():
        path.unlink()
    write_model(folder, model)


def _judged(
    line: Line,
    job: str,
    stages: Sequence[str],
    scene: Scene,
    facts: Mapping[str, Any],
    *,
    compare_full: bool,
    **resources: Any,
) -> Judged:
    outcome = line.run(job, stages, **resources)
    rows = line.store.rows(tables.GATES)
    mine = rows[rows["job"] == job].drop_duplicates("gate", keep="last")
    warned = tuple(mine.loc[~mine["passed"].astype(bool) & (mine["severity"] == "WARN"), "gate"])
    values = {row["gate"]: number(row["value"]) for row in mine.to_dict("records")}
    plan = _plan(line, job) if outcome.reason is None else {"detail": None, "reasons": []}
    detail, cause = plan["detail"], str((outcome.reason or {}).get("cause") or "")
    left = [] if outcome.reason is None else [stage for stage in stages if stage not in outcome.done]
    worth = _worth(line, job, scene, left, resources)
    full_db = None
    if compare_full and detail not in (None, str(Detail.FULL)):
        line.finish(job, ("training_plan", *TRAINED), detail="full", **resources)
        full_db = worth_of_job(line, job, scene).novel_db
    line.forget(job)
    return Judged(
        shipped=outcome.reason is None, failure=outcome.reason and outcome.reason["failure"], detail=detail,
        raised=outcome.reason is not None and not cause.startswith("gate "), stopped_by=cause[:200],
        reasons=tuple(plan["reasons"]), warned=warned, gates=values, worth=worth, full_db=full_db, **facts,
    )  # fmt: skip


def number(value: Any) -> float | None:
    """Return a value of a gate; None where it is no number."""
    return None if value is None or not math.isfinite(value) else float(value)


def _plan(line: Line, job: str) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((line.folder(job, "splat") / "plan.json").read_text())
    return plan


def _worth(line: Line, job: str, scene: Scene, left: Sequence[str], resources: Mapping[str, Any]) -> Worth:
    """Return what it is worth, or would have been had no gate stopped it."""
    if left and line.finish(job, left, **resources).reason is not None:
        return NOTHING
    return worth_of_job(line, job, scene)


def worth_of_job(line: Line, job: str, scene: Scene) -> Worth:
    """Return what a job's result is worth."""
    try:
        found = worth_of(line, job, world=scene.world(), camera=CAMERA, poses=scene.way.poses, fps=FPS, asset=DELIVERED)
    except SplatError:
        return NOTHING
    return replace(found, ship_db=scene.ship_db)
