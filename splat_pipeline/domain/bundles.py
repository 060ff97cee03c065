"""Prepared footage: what the stages up to ``keyframes`` made of clips elsewhere, in place of the clips themselves.

    <upload>/bundle.json                 what it is, and every file with size and sha256
    <upload>/source_videos/...           the artifacts of the stages, file by file
    <upload>/frame_quality/...
    <upload>/keyframes/...
    <upload>/features/...                where descriptors were wanted

An artifact's version is its content, so that a stage that takes its files from a bundle publishes what it would have
published for the clips.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splat_pipeline.domain.contents import BUNDLE_FILE
from splat_pipeline.domain.errors import BadBundle
from splat_pipeline.domain.uploads import safe_name

STAGES = ("source_videos", "frame_quality", "keyframes")
WITH_DESCRIPTORS = (*STAGES, "features")
FORM = 1
MAX_BYTES = 32 << 20
_MOST_FILES = 50_000
_OWN_MANIFEST = "artifact.json"
"""It would be overwritten after it was hashed, and the artifact look damaged for ever."""


@dataclass(frozen=True, kw_only=True)
class BundledFile:
    """A file of an artifact."""

    name: str
    """In the artifact."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What ``bundle.json`` says."""

    title: str
    """Of the upload that the clips were."""
    code_version: str
    source_bytes: int
    """Size of the clips."""
    stages: Mapping[str, tuple[BundledFile, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        files = {
            stage: [[file.name, file.size_bytes, file.sha256] for file in files] for stage, files in self.stages.items()
        }
        told = {"title": self.title, "code_version": self.code_version, "source_bytes": self.source_bytes}
        return {"form": FORM, **told, "stages": files}


def read_bundle(text: str) -> Bundle:
    """Return what a ``bundle.json`` says. Raises ``BadBundle`` naming what is wrong with it, ``UnsafeUpload``."""
    try:
        told = json.loads(text)
        if told["form"] != FORM:
            raise _bad(f"it is of form {told['form']!r}, {FORM} can be read")
        stages = {str(stage): tuple(_file(row) for row in rows) for stage, rows in told["stages"].items()}
        found = Bundle(
            title=str(told["title"]),
            code_version=str(told["code_version"]),
            source_bytes=int(told["source_bytes"]),
            stages=stages,
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _bad(f"{type(error).__name__}: {error}") from None
    if tuple(stages) not in (STAGES, WITH_DESCRIPTORS):
        raise _bad(f"it holds {', '.join(stages) or 'nothing'}, must hold {', '.join(STAGES)}")
    if sum(len(files) for files in stages.values()) > _MOST_FILES:
        raise _bad(f"it names more than {_MOST_FILES} files")
    return found


def _file(row: Sequence[Any]) -> BundledFile:
    name, size_bytes, sha256 = row
    if not isinstance(name, str) or not isinstance(size_bytes, int) or not isinstance(sha256, str):
        raise TypeError(f"{row!r} is no name, size and sha256")
    if name == _OWN_MANIFEST:
        raise ValueError(f"{name} is written by whoever publishes an artifact")
    return BundledFile(name=safe_name(name), size_bytes=size_bytes, sha256=sha256)


def _bad(cause: str) -> BadBundle:
    return BadBundle(f"{BUNDLE_FILE} cannot be used: {cause}", file=BUNDLE_FILE)
