"""Where camera poses come from when they do not come from the images alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from splat_pipeline.domain.given import GivenPoses
from splat_pipeline.ports.progress import Say


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseRequest:
    """N images in order of clip and time, whose poses are asked for. A name is a path in ``folder``."""

    folder: Path
    images: Sequence[str]
    camera_ids: Sequence[int]
    """Images of one id share a lens."""
    sizes: Sequence[tuple[int, int]]
    """Width and height in px."""
    times_s: Sequence[float]
    """Since the start of the clip; of photos, their position."""
    uploaded: GivenPoses | None
    """What came with the upload, by the same names and camera ids."""
    time_limit_s: float
    seed: int


class PoseSource(Protocol):
    """Where poses come from that are not found by ``SfmBackend``."""

    @property
    def name(self) -> str:
        """As in the attempts of a job: given-<name>."""
        ...

    def unavailable(self) -> str | None:
        """Return why it cannot be used here, in words; None when it can."""
        ...

    def poses(self, request: PoseRequest, *, say: Say) -> GivenPoses:
        """Return poses of some or all of the images, by their names and camera ids.

        A camera id without an entry in ``cameras`` has a lens that the source does not know. Raises ``BadPoses``,
        ``ToolError``.
        """
        ...


class PoseSources(Protocol):
    """The sources of this installation."""

    def names(self) -> Sequence[str]:
        """Return all that may be asked for."""
        ...

    def named(self, name: str) -> PoseSource:
        """Return one. Raises ``ToolMissing`` that lists those that are known."""
        ...
