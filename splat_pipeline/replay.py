"""A job again, out of the snapshot in its package, in a partition of its own: what repeats, and what does not."""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from splat_pipeline.assets.splats import final_config
from splat_pipeline.domain.errors import InputError, MissingArtifact
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.replays import compare, environment_changes, overall
from splat_pipeline.launch import run_job, stages_of, with_downstream
from splat_pipeline.overview import store_of
from splat_pipeline.ports.stores import Artifact, Store
from splat_pipeline.settings import Settings

FIRST, FAN_OUT = "source_videos", ("window_", "local_reconstructions")
OWN = frozenset({"asset", "job", "digest", "files"})
"""What a manifest says of an artifact itself; the rest is where it comes from."""
SAID_AS = {
    ("training_plan", "detail"): "detail", ("training_plan", "trainer"): "training.trainer",
    ("cleaned", "keep_all"): "exports.keep_all", ("cleaned", "crop"): "exports.crop",
}  # fmt: skip
"""The setting of the job that a key of the launchpad stands for: of the two, the one said last counts."""
COMPARED_FILES = ("delivery.json", "snapshot.json")


def replay(
    settings: Settings, job: str, *, start: str = FIRST, changes: Mapping[str, Any], listener: Any
) -> tuple[dict[str, Any], dict[str, str | None] | None]:
    """Run ``job`` again from ``start`` on with the settings of its snapshot, ``changes`` on top.

    Returns what came of it, and why it failed if it did. What comes before ``start`` is taken over as it was. Nothing
    is sent to anyone. Raises ``InputError``, ``MissingArtifact``, ``BadJobFile`` for changes that no setting knows.
    """
    store = store_of(settings)
    if start not in stages_of(settings):
        raise InputError(f"{start} is no stage", remedy=f"Choose one of {', '.join(stages_of(settings))}.")
    package = store.fetch(job, "package")
    snapshot = _json(package, "snapshot.json")
    if "artifact_versions" not in snapshot:
        raise MissingArtifact(f"the package of {job} is of a version that froze no artifacts", remedy="Run it anew.")
    recipe = Recipe.model_validate(snapshot["recipe"]).overridden(changes, source="--set")
    stages = with_downstream(settings, start)
    upload = store.upload(job)
    again = f"{job.rpartition('-')[0][:24].strip('-')}-replay-{uuid.uuid4().hex[:8]}"
    store.register(replace(upload, job=again, managed=False))
    _take_over(store, snapshot, job=job, again=again, stages=stages, recipe=recipe if changes else None)
    config = asked_again(snapshot, stages, changes)
    if FIRST in stages and changes:
        config[FIRST] = {"config": {"recipe": dict(changes)}}
    if "training_plan" in stages and not snapshot["plan"].get("draft"):
        config = final_config(config)
    quiet = settings.model_copy(update={"recipe": recipe, "webhook": None})
    success, reason = run_job(quiet, again, assets=stages, config=config, listener=listener)
    told: dict[str, Any] = {"job": again, "replayed": job, "from": start, "set": dict(changes)}
    return (told | _compared(store, package, store.fetch(again, "package")), None) if success else (told, reason)


def nested(pairs: list[str]) -> dict[str, Any]:
    """Return ``training.iterations=200`` and the like as nested values. Raises ``InputError``."""
    out: dict[str, Any] = {}
    for pair in pairs:
        path, found, text = pair.partition("=")
        if not found or not all(path.split(".")):
            raise InputError(f"{pair!r} is no setting", remedy="Write it as training.iterations=200.")
        here = out
        *above, last = path.split(".")
        for name in above:
            here = here.setdefault(name, {})
        here[last] = _value(text)
    return out


def asked_again(snapshot: Mapping[str, Any], stages: Sequence[str], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the launchpad said of each stage that is computed again, without what ``changes`` say otherwise.

    What it said of the first stage is in the recipe. Snapshots of older versions froze nothing of it.
    """
    config: dict[str, Any] = {}
    for name, told in snapshot.get("asked", {}).items():
        kept = {key: value for key, value in told.items() if not _changed(changes, SAID_AS.get((name, key)))}
        if name in stages and name != FIRST and kept:
            config[name] = {"config": kept}
    return config


def _changed(changes: Mapping[str, Any], path: str | None) -> bool:
    here: Any = changes
    for part in path.split(".") if path else ():
        if not isinstance(here, Mapping) or part not in here:
            return False
        here = here[part]
    return path is not None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _take_over(
    store: Store, snapshot: Mapping[str, Any], *, job: str, again: str, stages: list[str], recipe: Recipe | None
) -> None:
    """Give the new partition what the job had before the stages that are computed again."""
    for name, version in snapshot["artifact_versions"].items():
        made_by = FAN_OUT[1] if name.startswith(FAN_OUT[0]) else name
        if made_by not in stages:
            _copy(store, store.fetch(job, name, version), again, recipe if name == FIRST else None)


def _copy(store: Store, artifact: Artifact, again: str, recipe: Recipe | None) -> None:
    with store.scratch(again, artifact.asset) as folder:
        shutil.copytree(artifact.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artifact.json"))
        if recipe is not None:
            manifest = folder / "manifest.json"
            told = {**json.loads(manifest.read_text()), "recipe": recipe.model_dump(mode="json")}
            manifest.write_text(json.dumps(told, indent=1, sort_keys=True))
        provenance = {key: value for key, value in artifact.manifest.items() if key not in OWN}
        store.publish(again, artifact.asset, folder, provenance=provenance)


def _compared(store: Store, before: Artifact, after: Artifact) -> dict[str, Any]:
    """Return the likeness of every stage, both values of every metric, and what differs in the environment."""
    (old, was), (new, now) = ([_json(package, name) for name in COMPARED_FILES] for package in (before, after))
    stages: dict[str, dict[str, Any]] = {}
    for name, digest in was["artifacts"].items():
        if now["artifacts"].get(name) == digest:
            stages[name] = {"verdict": "equal", "worst": 0.0, "where": ""}
        elif name in now["artifacts"]:
            folders = [
                store.fetch(package.job, name, snapshot["artifact_versions"][name]).folder
                for package, snapshot in ((before, was), (after, now))
            ]
            found = compare(name, *folders)
            worst = found.worst if math.isfinite(found.worst) else None
            stages[name] = {"verdict": found.verdict, "worst": worst, "where": found.where}
        else:
            stages[name] = {"verdict": "differs", "worst": None, "where": "it was not made"}
    metrics = {key: {"before": value, "after": new["metrics"].get(key)} for key, value in old["metrics"].items()}
    return {
        "verdict": overall([about["verdict"] for about in stages.values()]),
        "stages": stages,
        "metrics": metrics,
        "environment": environment_changes(was, now),
    }


def _json(artifact: Artifact, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((Path(artifact.folder) / name).read_text())
    return told
