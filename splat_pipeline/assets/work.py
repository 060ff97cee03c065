"""One stage of one job while it is computed: what it reads, what it writes, what is told of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg

from splat_pipeline.assets.checks import results_of, table_of
from splat_pipeline.assets.discretion import hidden
from splat_pipeline.assets.records import lineage_of
from splat_pipeline.assets.traces import KEY, Present, recipe_of
from splat_pipeline.domain.quality import Limit, Metrics, Verdict, judge_stage, write_verdicts
from splat_pipeline.domain.retention import STANDARD
from splat_pipeline.domain.scenes import SCENE_FILE
from splat_pipeline.domain.watched import WatchedRecipe
from splat_pipeline.ports.machine import Usage
from splat_pipeline.ports.stores import Artifact, Store

GATES_FILE = "gates.json"
"""The verdicts of a stage that has gates, in its artifact: ``training_plan`` and the report read them from there."""
SCENE_TOLD_BY = ("point_cloud", "keyframes", "frame_quality")
"""Assets that tell the type of scene, the one that knows best first."""
Result = dg.MaterializeResult[Any]


@dataclass(kw_only=True)
class Work:
    """One stage of one job while it is computed."""

    job: str
    asset: str
    run_id: str
    folder: Path
    """Scratch: what is written here becomes the artifact."""
    store: Store
    log: Callable[[str], None]
    """One line of progress, seen in the UI and on the terminal."""
    product: str = STANDARD
    """Class of the job: what it may cost and how long its things are kept hang on it."""
    present: Present | None = None
    """What the result rests on beside inputs and settings."""
    lasting: bool = True
    """False where what came out is owed to circumstances that pass: a later run never takes it over."""
    reused_from: str | None = None
    """Version of the earlier result that this one was taken from, where it was."""
    lift: Sequence[str] = ()
    """Gates that a person lifted in the launchpad."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """All that a person said in the launchpad of this stage: its config, as it was given."""
    told_scene: str | None = None
    """The type of scene by which an earlier result was judged, where it is taken over."""
    inputs: dict[str, Artifact] = field(default_factory=dict)
    uploaded_bytes: int = 0
    """Read from the upload itself, by the stages that do."""
    published: Artifact | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    began_s: float = field(default_factory=time.monotonic)

    def input(self, asset: str) -> Path:
        """Return the verified folder of another stage's current artifact and record that it was read."""
        if asset not in self.inputs:
            self.inputs[asset] = self.store.fetch(self.job, asset)
        return self.inputs[asset].folder

    def ongoing(self) -> Path:
        """Return a folder where unfinished work outlives a killed run, found again while code and inputs are the same.

        To be called when all inputs were read.
        """
        rests_on = {"code": version("splat_pipeline"), **{name: a.digest for name, a in sorted(self.inputs.items())}}
        key = hashlib.sha256(json.dumps(rests_on).encode()).hexdigest()[:16]
        return self.store.ongoing(self.job, self.asset, key)

    @property
    def bytes_in(self) -> int:
        """What was read: artifacts and, where a stage looks at it, the upload."""
        return self.uploaded_bytes + sum(artifact.size_bytes for artifact in self.inputs.values())

    @cached_property
    def recipe(self) -> WatchedRecipe:
        """The job's own settings, as ``source_videos`` resolved them."""
        self.input("source_videos")
        return WatchedRecipe.of(recipe_of(self.inputs["source_videos"]))

    @property
    def scene_type(self) -> str:
        """The type of scene by which gates judge: the latest estimate among the inputs that were read so far."""
        if self.told_scene is not None:
            return self.told_scene
        for asset in SCENE_TOLD_BY:
            path = self.inputs[asset].folder / SCENE_FILE if asset in self.inputs else None
            if path is not None and path.is_file():  # footage prepared by an older version has none
                return str(json.loads(path.read_text())["scene_type"])
        return self.recipe.scene_type

    @property
    def gates(self) -> dict[str, Limit]:
        """The table of gates that holds for this job now. Raises ``BadJobFile`` for an unknown gate."""
        return table_of(self.recipe, self.scene_type, self.lift)

    def judge(self, metrics: Metrics, notes: Mapping[str, str] | None = None) -> list[Verdict]:
        """Return the verdicts of the stage's gates; none of a stage without metrics."""
        return judge_stage(self.asset, metrics, notes, table=self.gates) if metrics else []

    def publish(
        self,
        *,
        metadata: Mapping[str, Any],
        metrics: Metrics | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Publish the scratch folder, judge ``metrics`` by the stage's gates and keep ``metadata`` for the UI.

        ``notes``: what to add to the gates' reasons, by metric.
        """
        self.verdicts = self.judge(metrics or {}, notes)
        if self.verdicts:
            write_verdicts(self.folder / GATES_FILE, self.verdicts, scene_type=self.scene_type)
        provenance = {
            "inputs": {name: artifact.digest for name, artifact in sorted(self.inputs.items())},
            "run_id": self.run_id,
            "code_version": version("splat_pipeline"),
            "seconds": round(time.monotonic() - self.began_s, 3),
            "peak_rss_bytes": self.usage.peak_so_far(),
            "lineage": lineage_of(self.inputs),
            **({"asked": dict(self.asked)} if self.asked else {}),
        }
        if self.present is not None and self.lasting:
            provenance[KEY] = self.present.trace(self.inputs, self.__dict__.get("recipe"))
        self.published = self.store.publish(self.job, self.asset, self.folder, provenance=provenance)
        self.metadata = dict(metadata)

    def links(self, *names: str) -> None:
        """Add to the metadata where files of the published artifact can be looked at, if anything serves them."""
        assert self.published is not None
        there = {str(entry["name"]) for entry in self.published.manifest["files"]}
        for name in names:
            address = self.store.link(self.published, name) if name in there else None
            if address is not None:
                self.metadata[f"open_{name.replace('.', '_')}"] = dg.MetadataValue.url(address)

    def result(self) -> Result:
        """Return what Dagster records: data version, metadata and check results."""
        assert self.published is not None
        return dg.MaterializeResult(
            data_version=dg.DataVersion(self.published.digest),
            metadata=self.shown(),
            check_results=results_of(self.asset, self.verdicts),
        )

    def shown(self) -> dict[str, Any]:
        """Return the stage's metadata with seconds, memory and bytes."""
        assert self.published is not None
        return {
            **{name: hidden(value) if isinstance(value, str) else value for name, value in self.metadata.items()},
            **({"reused_from": self.reused_from} if self.reused_from else {}),
            "seconds": round(self.usage.seconds, 3),
            "peak_rss_bytes": self.usage.peak_rss_bytes,
            "bytes_in": self.bytes_in,
            "bytes_out": self.published.size_bytes,
            "artifact": dg.MetadataValue.path(str(self.published.folder)),
        }
