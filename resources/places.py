"""Which place a setting names: a folder, or a prefix of an object store."""

from __future__ import annotations

from pathlib import Path

from resources.folders import FolderPlace
from resources.objects import ObjectPlace
from splat_pipeline.ports.stores import Place


def place_of(where: str | Path) -> Place:
    """Return the place at a path or URL (``file://`` is a path); nothing is opened."""
    text = str(where)
    if text.startswith("file://"):
        return FolderPlace(Path(text.removeprefix("file://")))
    return ObjectPlace(text) if "://" in text else FolderPlace(Path(text))
