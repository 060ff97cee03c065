"""What a stage's result rests on, written into its artifact, and whether that still holds.

A trace names all that was read while the result was made: digests of inputs, parts of the job's settings, what the
launchpad said, the tools, the code. A later run may take the result for its own where every one of them is what it
was ("verifying traces": Mokhov, Mitchell, Peyton Jones, Build Systems a la Carte, ICFP 2018, 4.2.2).

``source_videos`` counts by what it says of the footage: the settings that it carries are compared part by part, so
that a change of the training leaves everything before ``training_plan`` as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg

from splat_pipeline.domain.errors import ArtifactError, MissingArtifact
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.watched import PARTS, WatchedRecipe, values_of
from splat_pipeline.ports.stores import Artifact, Store

REUSE_TAG = "splat/reuse"
"""A run that carries it with the value "true" takes over what still holds."""
KEY = "rests_on"
"""In an artifact's provenance."""
SOURCE, MANIFEST = "source_videos", "manifest.json"
_SETTINGS_KEYS = ("recipe", "recipe_keys_from")
_NOT_TOOLS = frozenset({"store", "machine", "recipe", "json_io", "io_manager"})
_COMPUTING = (
    "av", "gsplat", "numba", "numpy", "opencv-python-headless", "pandas", "pillow", "pyarrow", "pycolmap", "scipy",
    "torch",
)  # fmt: skip
_TEXT = ("py", "html", "js")
_OURS = {"splat_pipeline": ("assets", "domain", "splatting", "ports"), "resources": (".",)}

Context = dg.AssetExecutionContext | dg.OpExecutionContext
Trace = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Present:
    """What holds now, for one step of one job."""

    job: str
    store: Store
    config: Mapping[str, Any]
    """What the launchpad said of this step."""
    tools: Mapping[str, str]
    """Resource key to what stands behind it."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """sha256 of files of the upload, for the stage that looks at it first."""

    @classmethod
    def of(cls, context: Context, store: Store) -> Present:
        """Return what holds for the step that ``context`` is of."""
        held = context.resources._asdict()
        tools = {key: _told(tool) for key, tool in held.items() if key not in _NOT_TOOLS}
        step = context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context
        return cls(job=context.partition_key, store=store, config=step.op_config or {}, tools=tools)

    def trace(self, inputs: Mapping[str, Artifact], recipe: WatchedRecipe | None) -> Trace:
        """Return the trace of a result that ``inputs`` and ``recipe`` were read for."""
        return {
            "code": code_digest(),
            "inputs": {name: digest_of(artifact) for name, artifact in sorted(inputs.items())},
            "settings": {} if recipe is None else values_of(recipe, recipe.read),
            "config": dict(self.config),
            "tools": dict(self.tools),
            "upload": self._upload(),
            "contents": dict(self.contents),
        }

    def changed(self, trace: Trace, recipe: Recipe | None = None) -> str | None:
        """Return, in words, the first thing that is not what it was; None where the result still holds.

        ``recipe``: the job's settings now, where they are not those of ``source_videos``.
        """
        simple = {"code": code_digest(), "config": self.config, "tools": self.tools}
        simple |= {"upload": self._upload(), "contents": self.contents}
        for name, value in simple.items():
            if trace.get(name) != value:
                return name
        try:
            for name, digest in trace["inputs"].items():
                if digest_of(self.store.fetch(self.job, name)) != digest:
                    return f"input {name}"
            if trace["settings"]:
                recipe = recipe or recipe_of(self.store.fetch(self.job, SOURCE))
                now = values_of(recipe, PARTS & trace["settings"].keys())
                return next((f"setting {k}" for k, v in trace["settings"].items() if now.get(k) != v), None)
        except ArtifactError as error:
            return str(error)
        return None

    def _upload(self) -> str:
        try:
            upload = self.store.upload(self.job)
        except MissingArtifact:
            return ""
        told = [upload.title, sorted((file.name, file.size_bytes) for file in upload.files)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def digest_of(artifact: Artifact) -> str:
    """Return the digest that counts: of ``source_videos`` that of the footage, without the settings beside it."""
    if artifact.asset != SOURCE:
        return artifact.digest
    manifest = json.loads((artifact.folder / MANIFEST).read_text())
    told = {key: value for key, value in manifest.items() if key not in _SETTINGS_KEYS}
    held = [[file["name"], file["sha256"]] for file in artifact.manifest["files"] if file["name"] != MANIFEST]
    return hashlib.sha256(json.dumps([told, held], sort_keys=True).encode()).hexdigest()


def recipe_of(source_videos: Artifact) -> Recipe:
    """Return the settings that a job was resolved with."""
    manifest = json.loads((source_videos.folder / MANIFEST).read_text())
    return Recipe.model_validate(manifest["recipe"])


@cache
def code_digest() -> str:
    """Return a digest of all code that results depend on: ours by its text, that of others by its version."""
    digest = hashlib.sha256()
    for package, parts in _OURS.items():
        root = Path(str(files(package)))
        for path in sorted(found for part in parts for found in _sources(root / part)):
            digest.update(f"{package}/{path.relative_to(root)}\0".encode() + path.read_bytes())
    for name in _COMPUTING:
        digest.update(f"{name}={_version(name)}".encode())
    return digest.hexdigest()[:16]


def _sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else [found for ending in _TEXT for found in path.rglob(f"*.{ending}")]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _told(tool: object) -> str:
    return f"{type(tool).__qualname__} {getattr(tool, 'name', '')}".strip()
