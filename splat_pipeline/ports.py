"""What the middle asks of the outside, as Protocols. ``resources/`` holds what fulfils them.

Assets see these names only; ``definitions.py`` decides which object stands behind each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.frames import FrameMeasure, FrameRef
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.given import GivenPoses
from splat_pipeline.domain.inbox import Seen
from splat_pipeline.domain.memory import Footprint, Pictures
from splat_pipeline.domain.metrics.exports import Film
from splat_pipeline.domain.plans import TrainingPlan
from splat_pipeline.domain.positions import Track
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.rig import RigFrames
from splat_pipeline.domain.tables import TableSpec
from splat_pipeline.domain.uploads import Upload, VideoFacts

Say = Callable[[str], None]
"""Takes one line of progress for a person."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A published artifact, here on disk, with checksums verified."""

    job: str
    asset: str
    version: str
    digest: str
    """sha256 over the files' names and contents: Dagster's data version."""
    folder: Path
    size_bytes: int
    manifest: Mapping[str, Any]
    """``artifact.json``."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What a listing says of a file or an object."""

    size_bytes: int
    stamp: str
    """Differs when the content was written anew: times and inode of a file, tag and time of an object."""
    modified_ns: int
    """Since the epoch, by the clock of where it lies."""
    md5: str | None = None
    """Hex, where a store tells it. Of S3 it may be another digest, when the object was encrypted with a key."""


class Place(Protocol):
    """A folder, or the objects below a prefix. Names are relative to it, with / between levels.

    One file is written whole or not at all, and stays. Raises ``DiskFull``, ``StoreUnavailable``.
    """

    @property
    def url(self) -> str:
        """Path or address."""
        ...

    def here(self, name: str = "") -> Path | None:
        """Return where ``name`` lies on this machine; None where it does not."""
        ...

    def check(self) -> None:
        """Make the place, or ask whether it answers."""
        ...

    def find(self, name: str = "") -> dict[str, FileFacts]:
        """Return every file below ``name``, or that file itself, by name."""
        ...

    def children(self, name: str = "") -> list[str]:
        """Return the names right below ``name``, sorted; none where there is nothing."""
        ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes of a file, or some of them. Raises ``FileNotFoundError``."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put ``data`` in the place of what ``name`` held."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists already; tell whether this call did: of many at once, one does."""
        ...

    def put(self, path: Path, name: str) -> None:
        """Bring a file of this machine to ``name``; it may be moved or copied."""
        ...

    def put_tree(self, folder: Path, name: str, last: str) -> None:
        """Bring a folder of this machine to ``name``: whoever sees the file ``last`` sees all, whole."""
        ...

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to this machine. Raises ``FileNotFoundError``."""
        ...

    def link(self, name: str, *, seconds: int) -> str | None:
        """Return a signed link to a file, good for so many seconds; None where the place signs nothing."""
        ...

    def send(self, name: str, other: Place, target: str) -> None:
        """Copy a file to another place, or within this one; it becomes visible there whole."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or all below ``name``, when it is there."""
        ...


class Store(Protocol):
    """Artifacts, uploads and cross-job tables. A reader sees a whole artifact or none."""

    def scratch(self, job: str, asset: str) -> AbstractContextManager[Path]:
        """Give a fresh folder that is removed afterwards; earlier attempts at the asset are fenced off from now on."""
        ...

    def publish(self, job: str, asset: str, folder: Path, *, provenance: Mapping[str, Any]) -> Artifact:
        """Make the files of ``folder`` the current version of an artifact, atomically.

        Raises ``Superseded`` when another attempt took a scratch folder later, ``DiskFull``, ``StoreUnavailable``.
        """
        ...

    def ongoing(self, job: str, asset: str, key: str) -> Path:
        """Return a folder that outlives a killed run: the same for the same ``key``, gone once the asset is published.

        ``key`` names all that the unfinished work rests on; what was left for another one of this asset is removed.
        """
        ...

    def fetch(self, job: str, asset: str, version: str | None = None) -> Artifact:
        """Return an artifact, the current version when none is named.

        Raises ``MissingArtifact``, ``CorruptArtifact``.
        """
        ...

    def link(self, artifact: Artifact, name: str) -> str | None:
        """Return an address where a person can look at a file of an artifact; None where nothing serves them."""
        ...

    def register(self, upload: Upload) -> None:
        """Remember where a job's upload lies; a later call with the same job moves it."""
        ...

    def upload(self, job: str) -> Upload:
        """Return a job's upload. Raises ``MissingArtifact``."""
        ...

    def here(self, upload: Upload) -> Upload:
        """Return an upload whose location is a folder of this machine, fetched and checked where it lies elsewhere.

        Raises ``InputError`` where it is not what it was.
        """
        ...

    def first_job(self, content: str, job: str) -> str:
        """Return the job that an upload's content (sha256) came as first: ``job`` when it is new."""
        ...

    def append(self, spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a cross-job table. Safe from several processes at once."""
        ...

    def rows(self, spec: TableSpec) -> pd.DataFrame:
        """Return a cross-job table whole, oldest first; an empty one when nothing was written yet."""
        ...

    def deliver(self, artifact: Artifact) -> str:
        """Copy an artifact's files to the delivery folder of its job, atomically, and return its path or URL."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """Where an upload lies after its run."""

    place: str
    """Path or URL of the folder, or of the single file."""
    location: str
    """Path or URL of the folder that its files are relative to."""


class UploadShelves(Protocol):
    """The inbox, and where uploads lie afterwards."""

    def seen(self) -> Mapping[str, Seen]:
        """Return every upload in the inbox, by name, from one listing. Raises ``StoreUnavailable``."""
        ...

    def upload(self, name: str) -> Upload:
        """Return what an entry of the inbox is. Raises ``InputError``, ``StoreUnavailable``."""
        ...

    def shelve(self, name: str, told: Mapping[str, Any], *, stamp: str | None = None) -> Shelved | None:
        """Move an entry to processed/, or error/ where ``told`` has a ``class``, with ``told`` beside it.

        ``told["key"]`` names the move: made twice, or broken off and made again, it ends the same. ``told["utc"]`` is
        added to a name that is taken. None: it is not there, or not as ``stamp`` says, and stays.
        """
        ...


class MediaReader(Protocol):
    """Clips and folders of images."""

    @property
    def clips_at_once(self) -> int:
        """How many clips may be measured at the same time, from threads of the caller."""
        ...

    def probe(self, path: Path) -> VideoFacts:
        """Read what the container says of a clip (file) or image set (folder).

        Raises ``InputError`` naming the file.
        """
        ...

    def positions(self, path: Path, facts: VideoFacts, *, subtitles: Path | None) -> Track | None:
        """Return where the camera was, as photos or a clip's own tracks say, or the ``subtitles`` beside a clip.

        None where nothing is said. Raises ``InputError``.
        """
        ...

    def unpack(self, path: Path, folder: Path) -> int:
        """Unpack what a zip holds of a job into ``folder``, an empty one; return how many files.

        Raises ``UnsafeUpload``, ``UnsupportedMedia``, ``UnreadableMedia``, ``EmptyUpload``, ``DiskFull``.
        """
        ...

    def digest(self, path: Path) -> tuple[str, int]:
        """Return sha256 and size in bytes of a clip, or of the listing and all images of a set."""
        ...

    def check_tables(self, folder: Path) -> None:
        """Read every Parquet file below ``folder``. Raises ``BadTable`` naming one that is no table of the pipeline."""
        ...

    def measure(
        self, path: Path, facts: VideoFacts, *, fps: float, longer_side_px: int, say: Say
    ) -> Iterator[FrameMeasure]:
        """Decode once and measure up to ``fps`` frames a second (every image of a set), in order of time."""
        ...

    def extract(
        self,
        path: Path,
        facts: VideoFacts,
        frames: Sequence[FrameRef],
        folder: Path,
        *,
        longer_side_px: int,
        quality: int,
    ) -> list[tuple[str, int, int]]:
        """Write each frame as ``folder/<FrameRef.name>.jpg``, upright.

        Returns (file name, width_px, height_px) of each.
        """
        ...


class SheetMaker(Protocol):
    """Pictures for people."""

    def contact_sheet(
        self,
        images: Sequence[NDArray[np.uint8]],
        captions: Sequence[str],
        path: Path,
        *,
        marked: Sequence[bool] | None = None,
    ) -> None:
        """Write small ``images`` (H, W, 3) RGB in a grid with their captions as a JPEG, ``marked`` ones framed."""
        ...


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


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingViews:
    """Undistorted images and their cameras, in one order."""

    images: Sequence[NDArray[np.uint8]]
    """(H, W, 3) RGB each, of its view's size."""
    views: Sequence[View]
    keyframe_ids: Sequence[int]

    def take(self, chosen: Sequence[int]) -> TrainingViews:
        """Return those at some positions."""
        return TrainingViews(
            images=[self.images[i] for i in chosen],
            views=[self.views[i] for i in chosen],
            keyframe_ids=[self.keyframe_ids[i] for i in chosen],
        )

    def without(self, keyframe_ids: Collection[int]) -> TrainingViews:
        """Return all others."""
        if not keyframe_ids:
            return self
        return self.take([i for i, keyframe_id in enumerate(self.keyframe_ids) if keyframe_id not in keyframe_ids])


class ImageLoader(Protocol):
    """From keyframes and poses to what a trainer reads."""

    def sizes(self, keyframes: Path, poses: Path) -> Pictures:
        """Return how many images there are to train on, and how large the largest is, without reading them."""
        ...

    def load(self, keyframes: Path, poses: Path, points: Path, *, longer_side_px: int, holdout: bool) -> TrainingViews:
        """Load the registered keyframes of one split, undistorted and resampled, posed in the upright world.

        ``keyframes``, ``poses`` and ``points`` are the folders of the artifacts keyframes, camera_poses, point_cloud.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingResult:
    """What a trainer hands back."""

    gaussians: Gaussians
    history: Sequence[Mapping[str, float | None]] = field(default_factory=list)
    """Rows of ``tables.TRAINING`` without ``rung``; what is not known is NaN or None."""


class SplatTrainer(Protocol):
    """Anything that turns posed images into Gaussians."""

    @property
    def name(self) -> str:
        """As in settings and metadata."""
        ...

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        """Where it trains: decides the ladder of ``domain.plans.LADDERS``."""
        ...

    @property
    def licence(self) -> str:
        """Under which terms it may be used, for a person who must decide that."""
        ...

    @property
    def options(self) -> Collection[str]:
        """Those of ``recipe.TrainingOptions`` that it heeds; a job that asks for another one is refused."""
        ...

    def unavailable(self) -> str | None:
        """Return why it cannot be used here, in words; None when it can."""
        ...

    def train(
        self,
        views: TrainingViews,
        points: NDArray[np.float32],
        colors: NDArray[np.uint8],
        plan: TrainingPlan,
        *,
        say: Say,
        ongoing: Path | None = None,
        take_over: bool = False,
    ) -> TrainingResult:
        """Train. points (P, 3) world units, colors (P, 3) sRGB. Raises ``TrainingError``, ``OutOfMemory``.

        ``ongoing``: folder where a training that was killed finds what it had done. ``take_over``: it may
        begin with what another training of the scene, at a higher plan, left there. ``say`` gets ``Progress.line``.
        """
        ...

    def footprint(self, sh_degree: int) -> Footprint | None:
        """Return what a training takes of the memory of ``device``, with harmonics up to a degree; None: not known."""
        ...

    def free_bytes(self) -> int | None:
        """Return how much memory of an accelerator may still be taken; None: the memory is the machine's."""
        ...

    def evaluate(self, gaussians: Gaussians, views: TrainingViews) -> list[tuple[float, float]]:
        """Return (PSNR in dB, SSIM) of each view."""
        ...

    def evaluate_corrected(self, gaussians: Gaussians, views: TrainingViews) -> list[float]:
        """Return the PSNR in dB of each view after the affine change of its colours that brings it nearest the image.

        The camera's own exposure and white balance of a view that was not trained on do not count in it.
        """
        ...


class SplatTrainers(Protocol):
    """The trainers of this installation."""

    def names(self) -> Sequence[str]:
        """Return all that may be asked for."""
        ...

    def named(self, name: str) -> SplatTrainer:
        """Return one that can be used. Raises ``ToolMissing`` that says what is missing, or lists those known."""
        ...

    def chosen(self, asked: str) -> tuple[SplatTrainer, str]:
        """Return the one that ``asked``, a name or ``auto``, stands for here, and why. Raises ``ToolMissing``."""
        ...


class MovieWriter(Protocol):
    """Encodes pictures."""

    def write(self, path: Path, frames: Iterator[NDArray[np.uint8]], *, fps: int, title: str = "") -> None:
        """Write (H, W, 3) RGB frames as H.264 yuv420p MP4 that plays while it loads. Raises ``ToolError``.

        ``title``: what players show.
        """
        ...

    def read_back(self, path: Path) -> Film:
        """Return what a film that was written holds, every frame decoded. Raises ``ToolError``."""
        ...


@dataclass(kw_only=True)
class Usage:
    """What a stage took; filled when the measuring ends."""

    seconds: float = 0.0
    peak_rss_bytes: int = 0
    peak_vram_bytes: int | None = None
    """None, as those below: no GPU, or nobody who tells."""
    gpu_share: float | None = None
    """Of the time in which the busiest GPU ran a kernel."""
    gpu_power_w: float | None = None


class Machine(Protocol):
    """Clock and meters."""

    def utc(self) -> str:
        """Return now as ISO 8601 with seconds, e.g. 2026-11-20T10:00:00Z."""
        ...

    def kind(self) -> Mapping[str, str]:
        """Return what a result may rest on: system, machine, processor, cores. Equal where machines are alike."""
        ...

    def free_bytes(self) -> int | None:
        """Return how much memory may still be taken; None where the machine does not tell."""
        ...

    def metered(self) -> AbstractContextManager[Usage]:
        """Measure wall time and peak memory of what runs inside, children included."""
        ...


class Messenger(Protocol):
    """Tells the outside that something happened."""

    def post(self, event: str, message: Mapping[str, Any]) -> int:
        """Send ``message``, plain JSON values, and return how many attempts it took. Raises ``WebhookFailed``."""
        ...


class Outlet(Protocol):
    """Who is told of packages."""

    def tell(self, event: str, message: Mapping[str, Any], *, job: str, version: str) -> str | None:
        """Send ``message`` and return what became of it; None where nobody is to be told. Raises ``WebhookFailed``.

        ``version``: of the package that it is about, for links to its files; empty for none.
        """
        ...
