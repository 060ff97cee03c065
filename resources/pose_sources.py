"""Where poses come from that are not found here: what came with the upload, and backends that others installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from splat_pipeline.domain.errors import BadPoses, ToolMissing
from splat_pipeline.domain.given import GivenPoses
from splat_pipeline.ports.progress import Say
from splat_pipeline.ports.sources import PoseRequest, PoseSource

GROUPS = ("splat_pipeline.pose_backends", "splat_pipeline.sfm")
"""Entry points of these groups, two names of one thing, name a ``PoseSource``: ``external_poses.CommandPoses``, say."""
UPLOADED = ("nerfstudio", "colmap")
OURS = {
    "sfm": "our own structure from motion, by COLMAP",
    "precalibrated": "the same, with the lenses and the rig of calibration.json",
}


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


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Stands for an entry point that cannot be loaded, so that the others can."""

    name: str
    reason: str

    def unavailable(self) -> str | None:
        """Return why it cannot be used."""
        return self.reason

    def poses(self, request: PoseRequest, *, say: Say) -> GivenPoses:
        """Raise ``ToolMissing``."""
        del request, say
        raise ToolMissing(f"the pose backend {self.name} cannot be used: {self.reason}")


def _loaded(point: EntryPoint) -> PoseSource:
    try:
        source: PoseSource = point.load()
        named, reason = source.name, source.unavailable()
    except Exception as error:  # noqa: BLE001  # a plugin may fail in any way; it is shown with its reason
        return Broken(name=point.name, reason=f"{point.value}: {type(error).__name__}: {error}")
    if named != point.name:
        return Broken(name=point.name, reason=f"{point.value} calls itself {named!r}")
    return source if reason is None else Broken(name=point.name, reason=reason)


class InstalledSources:
    """Fulfils ``PoseSources``."""

    @cached_property
    def _known(self) -> Mapping[str, PoseSource]:
        ours: dict[str, PoseSource] = {name: UploadedPoses(name=name) for name in UPLOADED}
        points = [point for group in GROUPS for point in entry_points(group=group)]
        return ours | {point.name: _loaded(point) for point in points if point.name not in ours}

    def names(self) -> Sequence[str]:
        """Return all names, those of uploads first."""
        return tuple(self._known)

    def named(self, name: str) -> PoseSource:
        """Return one. Raises ``ToolMissing``."""
        if name not in self._known:
            raise ToolMissing(f"there is no source of poses called {name!r}, known are {', '.join(self._known)}")
        return self._known[name]


def listed() -> list[dict[str, str | bool | None]]:
    """Return name, kind, available and reason of everything that ``poses.source`` or ``poses.backend`` may name."""
    known = InstalledSources()
    rows: list[tuple[str, str, str | None]] = [(name, kind, None) for name, kind in OURS.items()]
    for name in known.names():
        kind = "beside the upload's images" if name in UPLOADED else "external"
        rows.append((name, kind, known.named(name).unavailable()))
    return [{"name": name, "kind": kind, "available": reason is None, "reason": reason} for name, kind, reason in rows]
