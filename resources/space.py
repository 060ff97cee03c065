"""Room on the disks that jobs write to: what is free, what one more job needs, what may go for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from splat_pipeline.domain.contents import JOB_FILE
from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.room import DiskRules, Room, in_words, missing, needed
from splat_pipeline.domain.uploads import Upload

ARCHIVE_SUFFIX = ".zip"


def free_room(folder: Path) -> Room:
    """Return what is free on the file system of ``folder``, or of its nearest parent that exists.

    Inodes are None on file systems that make them as needed (btrfs, some network mounts).
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    seen = os.statvfs(there)
    return Room(size_bytes=seen.f_bavail * seen.f_frsize, inodes=seen.f_favail if seen.f_files else None)


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Says whether there is room for a job on every disk that it writes to."""

    folders: Sequence[Path]
    """Of this machine; what lies in an object store has no floor."""
    rules: DiskRules
    recipe: Recipe
    gpu: bool
    """Whether trainings that may choose take a GPU here."""
    spare: Callable[[int], object]
    """Removes old delivered things until so many bytes are free, or nothing is left that may go."""

    def lack(self, upload: Upload | None = None, *, running: int = 0) -> tuple[Room, Room]:
        """Return what is free and what is missing for the job of ``upload`` (None: for the floor alone), at the worst.

        Runs that are not over are taken for jobs like this one.
        """
        need = Room(size_bytes=0, inodes=0) if upload is None else self._need(upload)
        found = [(free, missing(free, need, self.rules, running=running)) for free in map(free_room, self.folders)]
        return max(found, key=lambda each: (each[1].size_bytes, each[1].inodes or 0))

    def hold(self, upload: Upload, *, running: int) -> str | None:
        """Return why the run of ``upload`` has to wait; None when it may start. For want of bytes old things go first.

        ``running``: runs that have begun or are about to; each may still take as much.
        """
        free, lack = self.lack(upload, running=running)
        if lack.size_bytes:
            self.spare(lack.size_bytes)
            free, lack = self.lack(upload, running=running)
        return in_words(free, lack)

    def low(self) -> str | None:
        """Return a warning while not even the floor is free."""
        free, lack = self.lack()
        return in_words(free, lack)

    def _need(self, upload: Upload) -> Room:
        zipped = any(file.name.lower().endswith(ARCHIVE_SUFFIX) for file in upload.files)
        size_bytes = sum(file.size_bytes for file in upload.files)
        return needed(self._recipe(upload), upload_bytes=size_bytes, zipped=zipped, gpu=self.gpu)

    def _recipe(self, upload: Upload) -> Recipe:
        """Return the job's settings, as far as ``job.yaml`` tells; its run says what is wrong there."""
        try:
            return self.recipe.overridden(upload.asked, source=JOB_FILE)
        except BadJobFile:
            return self.recipe
