"""Who draws the preview: gsplat where there is a GPU, nerfstudio where that is asked for, or else our own renderer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resources.gsplat_trainer import GsplatTrainer
from resources.nerfstudio_film import NerfstudioFilm
from splat_pipeline.domain.camera_paths import CameraPath
from splat_pipeline.domain.errors import ToolMissing
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.ports.media import PathDrawer
from splat_pipeline.ports.progress import Say

OWN, AUTO = "own", "auto"


class Other(PathDrawer, Protocol):
    """A renderer that an installation may have or not."""

    def unavailable(self) -> str | None:
        """Return why it cannot be used here, in words; None when it can."""
        ...


class GsplatFilm:
    """Fulfils ``PathDrawer`` on the GPU that trains."""

    name = "gsplat"
    device = "cuda"

    def unavailable(self) -> str | None:
        """Return what is missing, as the trainer tells it."""
        return GsplatTrainer().unavailable()

    def frames(
        self, gaussians: Gaussians, path: CameraPath, *, fps: int, folder: Path, say: Say
    ) -> Iterator[NDArray[np.uint8]]:
        """See ``PathDrawer``. It writes nothing."""
        del folder
        from resources.gpu.film import frames

        say(f"gsplat draws {len(path.views)} frames for {fps} a second")
        return frames(gaussians, path.views, self.device)


@dataclass(frozen=True)
class InstalledDrawers:
    """Fulfils ``PathDrawers``."""

    automatic: Sequence[Other] = field(default_factory=lambda: (GsplatFilm(),))
    """Taken by themselves, the first that can be used."""
    asked: Sequence[Other] = field(default_factory=lambda: (NerfstudioFilm(),))
    """Taken only by name."""

    def chosen(self, asked: str) -> PathDrawer | None:
        """See ``PathDrawers``."""
        if asked == AUTO:
            return next((drawer for drawer in self.automatic if drawer.unavailable() is None), None)
        if asked == OWN:
            return None
        drawer = next(each for each in (*self.automatic, *self.asked) if each.name == asked)
        if (reason := drawer.unavailable()) is not None:
            raise ToolMissing(f"the preview cannot be drawn by {asked}: {reason}")
        return drawer

    def listed(self) -> list[dict[str, str | bool | None]]:
        """Return name, kind, available and reason of everything that ``preview.drawn_by`` may name."""
        kind = "draws the preview"
        rows: list[dict[str, str | bool | None]] = [{"name": OWN, "kind": kind, "available": True, "reason": None}]
        for drawer in (*self.automatic, *self.asked):
            reason = drawer.unavailable()
            rows.append({"name": drawer.name, "kind": kind, "available": reason is None, "reason": reason})
        return rows
