"""The cheap part of a job, done where the footage is: clips in, a bundle out that is dropped in their place."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resources.disk import disk_errors
from resources.inbox import list_upload
from splat_pipeline.domain.bundles import STAGES, WITH_DESCRIPTORS, Bundle, BundledFile
from splat_pipeline.domain.contents import BUNDLE_FILE
from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.launch import Listener, Reason, run_upload
from splat_pipeline.overview import store_of
from splat_pipeline.ports.stores import Store
from splat_pipeline.settings import Settings


def prepare(
    settings: Settings,
    paths: Sequence[Path],
    out: Path,
    *,
    title: str | None,
    descriptors: bool,
    listener: Listener,
) -> tuple[dict[str, Any] | None, Reason | None]:
    """Run the stages up to ``keyframes``, or ``features``, and write their artifacts to ``out`` as a bundle.

    Returns what was written, or why the clips cannot be used. Raises ``InputError``, ``DiskFull``.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty", file=str(out), remedy="Name a folder that does not exist yet.")
    stages = WITH_DESCRIPTORS if descriptors else STAGES
    with disk_errors(), tempfile.TemporaryDirectory(prefix="splat-prepare-") as home:
        upload = list_upload(gathered(paths, Path(home) / "footage"), title=title or paths[0].stem)
        places = dict.fromkeys(("inbox", "processed", "errors", "delivered", "store", "local"))
        local = settings.model_copy(update={"home": str(Path(home) / "home"), **places})
        success, reason = run_upload(local, upload, config={}, listener=listener, assets=stages)
        if not success:
            return None, reason
        return written(store_of(local), upload, out, stages), None


def gathered(paths: Sequence[Path], folder: Path) -> Path:
    """Return a folder with all ``paths``: the only one itself, or one made of links to the same bytes, or copies."""
    for path in paths:
        if not path.exists():
            raise InputError(f"there is nothing at {path}", file=str(path), remedy="Check the path.")
    if len(paths) == 1:
        return paths[0]
    if len({path.name for path in paths}) < len(paths):
        raise InputError("two of the clips have the same name", remedy="Rename one of them.")
    folder.mkdir()
    for path in paths:
        if not path.is_file() or path.is_symlink():
            raise InputError(f"{path} is no plain file", file=str(path), remedy="Name clips, or one folder of them.")
        try:
            os.link(path, folder / path.name)
        except OSError:  # another file system
            shutil.copyfile(path, folder / path.name)
    return folder


def written(store: Store, upload: Upload, out: Path, stages: Sequence[str]) -> dict[str, Any]:
    """Write the artifacts to ``out``, ``bundle.json`` last; return what was written."""
    files = {}
    out.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        artifact = store.fetch(upload.job, stage)
        files[stage] = tuple(
            BundledFile(name=str(row["name"]), size_bytes=int(row["size_bytes"]), sha256=str(row["sha256"]))
            for row in artifact.manifest["files"]
        )
        for file in files[stage]:
            (out / stage / file.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artifact.folder / file.name, out / stage / file.name)
    source_bytes = sum(file.size_bytes for file in upload.files)
    bundle = Bundle(title=upload.title, code_version=version("splat_pipeline"), source_bytes=source_bytes, stages=files)
    (out / BUNDLE_FILE).write_text(json.dumps(bundle.to_json(), ensure_ascii=False), encoding="utf-8")
    moved = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    figures = {"source_bytes": source_bytes, "bundle_bytes": moved, "ratio": round(moved / max(1, source_bytes), 4)}
    return {"bundle": str(out), **figures, "files": sum(len(each) for each in files.values())}
