"""What people receive: a folder a version, and ``latest``.

<delivered>/<job>/<version>/...       the artifact; delivery.json last: who finds it finds everything
<delivered>/<job>/latest              a link to that version, on a file system
<delivered>/<job>/latest.json         its name, where there are no links
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from functools import partial
from pathlib import Path

from resources.artifacts import MANIFEST, copied, is_entry, manifest_in
from resources.copies import Copies, brought
from resources.disk import disk_errors
from resources.sealed import read_sealed, sealed
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.ports.stores import Artifact, Place

DELIVERY, LATEST = "delivery.json", "latest"


class Deliveries:
    """Of all jobs, at one place."""

    def __init__(self, place: Place, copies: Copies) -> None:
        """Remember the place, and ``copies``, where what was delivered elsewhere is read."""
        self._place, self._copies = place, copies

    def add(self, artifact: Artifact) -> str:
        """Bring an artifact there whole or not at all, point ``latest`` at it, and return where it lies."""
        name = f"{artifact.job}/{artifact.version}"
        home = self._place.here(artifact.job)
        if home is None:
            self._fill(artifact, name)
            self._place.write(f"{artifact.job}/{LATEST}.json", sealed({"version": artifact.version}))
            return f"{self._place.url}/{name}"
        with disk_errors():
            home.mkdir(parents=True, exist_ok=True)
            if not (home / artifact.version).exists():
                half = home / f".{uuid.uuid4().hex}"
                try:
                    shutil.copytree(artifact.folder, half)
                    self._place.put_tree(half, name, MANIFEST)
                finally:
                    shutil.rmtree(half, ignore_errors=True)  # a rename took it away, unless the disk is full
            link = home / f".{uuid.uuid4().hex}"
            link.symlink_to(artifact.version)
            link.replace(home / LATEST)
        return str(home / artifact.version)

    def _fill(self, artifact: Artifact, name: str) -> None:
        """Copy all files, read each back, and only then copy ``delivery.json``; a failed attempt leaves nothing.

        A version that is there is whole, and is left alone: its name is its content.
        """
        last = DELIVERY if (artifact.folder / DELIVERY).exists() else MANIFEST
        if self._place.find(f"{name}/{last}"):
            return
        entries = {entry["name"]: entry for entry in artifact.manifest["files"]}
        try:
            for file in sorted({*entries, MANIFEST} - {last}):
                self._place.put(artifact.folder / file, f"{name}/{file}")
            with tempfile.TemporaryDirectory(prefix="splat-") as folder:
                for file in sorted(entries.keys() - {last}):
                    check = partial(is_entry, entry=entries[file])
                    brought(self._place, f"{name}/{file}", Path(folder) / "back", check)
            self._place.put(artifact.folder / last, f"{name}/{last}")
        except SplatError:
            with contextlib.suppress(SplatError):  # the first one is told; what is left has no delivery.json
                self._place.remove(name)
            raise

    def latest(self, job: str) -> Path | None:
        """Return the folder that was delivered last, checked where it was fetched; None: nothing was delivered."""
        home = self._place.here(job)
        if home is not None:
            return (home / LATEST).resolve() if (home / LATEST).exists() else None
        try:
            version = str(read_sealed(self._place, f"{job}/{LATEST}.json")["version"])
        except FileNotFoundError:
            return None
        name = f"{job}/{version}"
        manifest = manifest_in(self._place, name, "package", version)
        folder = self._copies.hold(f"{self._place.url}/{name}")
        copied(self._place, name, folder, manifest)
        return folder
