"""What people receive: a folder a version, and ``latest``.

<delivered>/<job>/<version>/...       the artifact, its manifest last
<delivered>/<job>/latest              a link to that version, on a file system
<delivered>/<job>/latest.json         its name, where there are no links
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

from resources.artifacts import MANIFEST, copied, manifest_in
from resources.copies import Copies
from resources.disk import disk_errors
from splat_pipeline.ports import Artifact, Place

LATEST = "latest"


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
            self._place.put_tree(artifact.folder, name, MANIFEST)
            self._place.write(f"{artifact.job}/{LATEST}.json", json.dumps({"version": artifact.version}).encode())
            return f"{self._place.url}/{name}"
        with disk_errors():
            home.mkdir(parents=True, exist_ok=True)
            if not (home / artifact.version).exists():
                half = home / f".{uuid.uuid4().hex}"
                shutil.copytree(artifact.folder, half)
                self._place.put_tree(half, name, MANIFEST)
            link = home / f".{uuid.uuid4().hex}"
            link.symlink_to(artifact.version)
            link.replace(home / LATEST)
        return str(home / artifact.version)

    def latest(self, job: str) -> Path | None:
        """Return the folder that was delivered last, checked where it was fetched; None: nothing was delivered."""
        home = self._place.here(job)
        if home is not None:
            return (home / LATEST).resolve() if (home / LATEST).exists() else None
        try:
            version = str(json.loads(self._place.read(f"{job}/{LATEST}.json"))["version"])
        except FileNotFoundError:
            return None
        name = f"{job}/{version}"
        manifest = manifest_in(self._place, name, "package", version)
        folder = self._copies.hold(f"{self._place.url}/{name}")
        copied(self._place, name, folder, manifest)
        return folder
