"""Where poses come from that are not found here: what came with the upload, and backends that others installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from splat_pipeline.domain.errors import BadPoses, ToolMissing
from splat_pipeline.domain.given import GivenPoses
from splat_pipeline.ports import PoseRequest, PoseSource, Say


@dataclass(frozen=True, kw_only=True)
class UploadedPoses:
    """Fulfils ``PoseSource`` by what ``source_videos`` read from the upload."""

    name: str

    def unavailable(self) -> str | None:
        """Return None: it needs nothing."""
        return None

    def poses(self, request: PoseRequest, *, say: Say) -> GivenPoses:
        """Return the poses of the upload. Raises ``BadPoses`` where there are none."""
        if request.uploaded is None:
            raise BadPoses(f"no poses of {self.name} came with the upload")
        say(f"{len(request.uploaded.frames)} of {len(request.images)} images have a pose from {self.name}")
        return request.uploaded


class InstalledSources:
    """Fulfils ``PoseSources``."""

    @cached_property
    def _known(self) -> Mapping[str, PoseSource]:
        return {name: UploadedPoses(name=name) for name in ("nerfstudio", "colmap")}

    def names(self) -> Sequence[str]:
        """Return all names, those of uploads first."""
        return tuple(self._known)

    def named(self, name: str) -> PoseSource:
        """Return one. Raises ``ToolMissing``."""
        if name not in self._known:
            raise ToolMissing(f"there is no source of poses called {name!r}, known are {', '.join(self._known)}")
        return self._known[name]
