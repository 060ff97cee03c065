"""Who finds features, matches and camera poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.rig import RigFrames
from splat_pipeline.ports.progress import Say


@dataclass(frozen=True, kw_only=True)
class FeatureRequest:
    """Where features are looked for. ``images[i]`` is relative to ``folder``."""

    folder: Path
    images: Sequence[str]
    camera_ids: Sequence[int]
    recipe: PoseRecipe
    seed: int


@dataclass(frozen=True, kw_only=True)
class ReconstructionRequest:
    """One window. Images are given in order of clip and time; an image's name is its path in ``folder``."""

    folder: Path
    images: Sequence[str]
    camera_ids: Sequence[int]
    features: Path
    """What ``extract_features`` wrote."""
    strategy: str
    """A name out of ``SfmBackend.strategies``."""
    recipe: PoseRecipe
    seed: int
    graph: Path | None = None
    """What ``match`` wrote, of these images and others. None: the attempt matches by itself."""
    cameras: Mapping[int, ColmapCamera] = field(default_factory=dict)
    """Lenses that are known, by camera id, for images of the stored size: they stay as they are."""
    rig: RigFrames | None = None
    """How cameras sit in a rig: that stays, and gives the world its unit."""
    start: Path | None = None
    """The best model so far of these images, for a strategy that goes on from it."""
    parts: Path | None = None
    """Where models beside the largest one are written, each to a folder of its own; None: nowhere."""


@dataclass(frozen=True, kw_only=True)
class MatchRequest:
    """All images of a job, in order of clip and time; an image's name is its path in the images folder."""

    images: Sequence[str]
    camera_ids: Sequence[int]
    features: Path
    """What ``extract_features`` wrote."""
    recipe: PoseRecipe
    seed: int
    cameras: Mapping[int, ColmapCamera] = field(default_factory=dict)
    """Lenses that are known, by camera id, for images of the stored size."""
    rig: RigFrames | None = None
    """How cameras sit in a rig: their images of one instant are matched, and held against it."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one reconstruction attempt gave. The largest submodel lies in the folder that was asked for."""

    registered: int
    models: int
    rms_px: float
    outcome: str
    """model, failed, crashed, timeout or memory."""
    seconds: float
    peak_rss_bytes: int
    features: float | None = None
    """Median an image."""
    linked: float | None = None
    """Share of images next to each other, of one clip, that match."""
    flat: float | None = None
    """Share of verified pairs that one plane or one turn explains."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AdjustmentRequest:
    """Images whose N poses are roughly known: the windows of a job in one frame."""

    folder: Path
    images: Sequence[str]
    camera_ids: Sequence[int]
    cameras: Mapping[int, ColmapCamera]
    """By camera id, lens distortion included, for images of the stored size."""
    cams_from_world: NDArray[np.float64]
    """(N, 4, 4) rigid, OpenCV's axes, world units."""
    features: Path
    """What ``extract_features`` wrote."""
    graph: Path
    """What ``match`` wrote."""
    left_out: Sequence[tuple[str, str]]
    """Pairs of images of the graph whose matches are not believed."""
    refine_intrinsics: bool
    recipe: PoseRecipe
    seed: int
    fixed: Sequence[int] = ()
    """Camera ids whose lenses are known: they stay as they are all the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TriangulationRequest:
    """Images whose N poses are known. An image's name is its path in ``folder``; pictures are as they were taken."""

    folder: Path
    images: Sequence[str]
    camera_ids: Sequence[int]
    cameras: Mapping[int, ColmapCamera]
    """By camera id, lens distortion included, for images of the stored size."""
    cams_from_world: NDArray[np.float64]
    """(N, 4, 4) rigid, OpenCV's axes, world units."""
    features: Path
    """What ``extract_features`` wrote."""
    recipe: PoseRecipe
    seed: int


@dataclass(frozen=True, kw_only=True)
class Triangulation:
    """What became of known poses. The model lies in the folder that was asked for."""

    registered: int
    """Images that see a point; those that see none are in the model too."""
    points: int
    rms_px: float
    """Over all observations, after bad ones were dropped."""
    matches: int
    """Verified between two images, whatever the poses say."""
    epipolar_px: float
    """Median distance of those matches from the epipolar lines of the given poses: how good poses and lenses are."""
    contradicted: Sequence[str]
    """Images whose own median distance says that their pose is wrong, worst first."""
    seconds: float
    peak_rss_bytes: int


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """What came of the attempt to widen the lens models of a reconstruction."""

    cameras: Sequence[int]
    """Ids of the lenses that were widened; with none, nothing was written."""
    why: str | None
    """Why none was."""
    narrow_px: float | None = None
    """Median error on tracks set aside, before."""
    wide_px: float | None = None
    """The same, after."""

    @property
    def words(self) -> str:
        """Say what became of the lenses."""
        if not self.cameras:
            return f"as the mapper left it: {self.why}"
        return f"RADIAL, principal point free: {self.narrow_px:.3f} px before, {self.wide_px:.3f} px after"


class SfmBackend(Protocol):
    """Features and structure from motion. Native code runs in a child process with limits."""

    @property
    def strategies(self) -> Sequence[str]:
        """What may be tried, best first."""
        ...

    def extract_features(self, request: FeatureRequest, folder: Path, *, say: Say) -> None:
        """Write ``folder/<segment>.parquet`` for every image folder <segment>. Raises ``ToolError``."""
        ...

    def match(self, request: MatchRequest, path: Path, *, say: Say) -> None:
        """Match neighbours and look-alikes and write them to ``path``: see ``domain.matches``.

        Raises ``ToolError``, ``BadCalibration`` where the matches contradict a rig.
        """
        ...

    def reconstruct(self, request: ReconstructionRequest, folder: Path, *, say: Say) -> Attempt:
        """Write the largest submodel (COLMAP binary) to ``folder``; outcome says when there is none."""
        ...

    def adjust(self, request: AdjustmentRequest, folder: Path, *, say: Say) -> None:
        """Triangulate and refine all poses together, and write the model (COLMAP binary). Raises ``ToolError``."""
        ...

    def triangulate(self, request: TriangulationRequest, folder: Path, *, say: Say) -> Triangulation:
        """Write a model (COLMAP binary) of the given cameras and poses, unchanged, and points to ``folder``.

        Raises ``WrongPoses``, ``FewPoints``, ``MissingArtifact``, ``ToolError``.
        """
        ...

    def refine(self, model: Path, folder: Path, *, time_limit_s: float, say: Say) -> Refinement:
        """Widen the lenses of a model (COLMAP binary) where that holds, and write the result to ``folder``."""
        ...

    def focals(self, request: TriangulationRequest, *, folder: Path, say: Say) -> dict[int, ColmapCamera]:
        """Return a lens for each camera id of ``request`` that is not in its ``cameras``, by which poses fit images.

        ``folder``: where it may work. Raises ``ToolError``.
        """
        ...

    def readjust(self, folder: Path, *, say: Say, time_limit_s: float, free: Sequence[int] = ()) -> None:
        """Adjust the poses and points of the model in ``folder`` to what its images show, in place.

        Lenses stay, but for the focal lengths of the cameras ``free``.

        The world stays where it was: the cameras are aligned with those that came. Raises ``ToolError``.
        """
        ...
