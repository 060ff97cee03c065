"""Every way in which a job can end without a splat, as one tree.

    SplatError
    ├── InputError            what was uploaded cannot be used        (never retried unchanged)
    │   ├── EmptyUpload           nothing in the folder that is a clip or an image
    │   ├── UnreadableMedia       not a video, truncated, or zero bytes
    │   ├── UnsupportedMedia      a container or codec outside the allow-list
    │   ├── NoVideoStream         audio only
    │   ├── UnsafeUpload          a link, a device, a name that leaves the folder, a zip bomb
    │   ├── BadJobFile            job.yaml or a settings file with an unknown key or a wrong value
    │   ├── BadBundle             footage that was prepared elsewhere is not what it was
    │   ├── BadPoses              poses that came with the images, or from a backend, cannot be read or cannot be right
    │   ├── BadCalibration        a lens could not be measured from the board that was filmed
    │   └── WeakFootage           it decodes, but no splat can come of it
    │       ├── TooShort  TooLong  TooSmall  TooDark  Blurred  StaticCamera  NoTexture  RotationOnly  MovingObjects
    ├── PoseError             cameras could not be found well enough
    │   ├── FewRegistered         most frames did not join the reconstruction
    │   ├── NoReconstruction      the mapper found no model at all
    │   │   ├── LowOverlap            neighbouring frames do not match
    │   │   └── NoParallax            one plane, or one turn, explains all that is seen
    │   ├── SeveralParts          what was found falls into parts that nothing ties together
    │   ├── Drift                 parts contradict one another: a bent stretch, a loop that does not close
    │   ├── MissingWindow         a planned window has no artifact
    │   ├── WrongPoses            poses that came with the images contradict them
    │   └── FewPoints             hardly a point could be triangulated from known poses
    ├── TrainingError         the optimiser failed
    │   ├── Diverged              NaN or growing loss
    │   └── Untrained             the loss did not fall
    ├── ArtifactError         what a stage reads is absent or not what was written
    │   ├── MissingArtifact  CorruptArtifact  BadTable
    │   └── Superseded            a later attempt at the same stage is under way, or done
    ├── ToolError             a program that we call failed
    │   ├── ToolCrashed  ToolTimeout  ToolMissing
    │   └── BadAnswer             it ended well and its answer breaks the contract
    ├── Cancelled             somebody ended the run
    └── ResourceError         the machine is at fault: the same job may succeed later
        ├── OutOfMemory  DiskFull
        ├── StoreUnavailable      the network, or the object store, does not answer
        │   └── DatabaseUnavailable   nor does Dagster's database
        ├── ProcessKilled         from outside, as often as it was tried
        ├── DriverLost            the GPU or its driver gave up
        ├── BadWebhook            its address or its secret cannot be used
        └── WebhookFailed         nobody took a message in time

Each class carries a ``remedy`` for the person who can do something about it, and ``retry``:
``never`` (the content is at fault), ``same`` (transient: the identical step may succeed) or
``changed`` (only another attempt with other parameters makes sense).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from splat_pipeline.domain.error_root import Retry, SplatError
from splat_pipeline.domain.input_errors import (
    BadBundle,
    BadCalibration,
    BadJobFile,
    BadPoses,
    Blurred,
    EmptyUpload,
    InputError,
    MovingObjects,
    NoTexture,
    NoVideoStream,
    RotationOnly,
    StaticCamera,
    TooDark,
    TooLong,
    TooShort,
    TooSmall,
    UnreadableMedia,
    UnsafeUpload,
    UnsupportedMedia,
    WeakFootage,
)

__all__ = [
    "BadBundle", "BadCalibration", "BadJobFile", "BadPoses", "Blurred", "EmptyUpload", "InputError",
    "MovingObjects", "NoTexture", "NoVideoStream", "Retry", "RotationOnly", "SplatError", "StaticCamera", "TooDark",
    "TooLong", "TooShort", "TooSmall", "UnreadableMedia", "UnsafeUpload", "UnsupportedMedia", "WeakFootage",
]  # fmt: skip


class PoseError(SplatError):
    remedy = "Film again: slower, with more overlap between views, without fast turns on the spot."
    retry: ClassVar[Retry] = "changed"


class FewRegistered(PoseError):
    pass


class NoReconstruction(PoseError):
    pass


class LowOverlap(NoReconstruction):
    remedy = "Film again: slower, turn less at a time, so that every view shows most of the one before."


class NoParallax(NoReconstruction):
    remedy = "Film again from places that lie apart, and things at several distances: one flat wall shows no depth."


class SeveralParts(PoseError):
    remedy = "Film what lies between the parts too, without cuts and fast turns, or upload each part by itself."


class Drift(PoseError):
    remedy = "Film again: end where you began, so that the way closes, and keep texture at several depths in view."


class MissingWindow(PoseError):
    remedy = "Materialize local_reconstructions again for this job: a window's result was lost."
    retry: ClassVar[Retry] = "never"


class WrongPoses(PoseError):
    remedy = (
        "Check the axes of the poses (camera from world; +x right, +y down, +z forward, where OpenGL's are flipped), "
        "that each belongs to its image, and that the intrinsics are of images of this size."
    )
    retry: ClassVar[Retry] = "never"


class FewPoints(PoseError):
    remedy = "Add images that show more texture and overlap more, from places that lie apart."
    retry: ClassVar[Retry] = "never"


class TrainingError(SplatError):
    remedy = "Materialize the splat again at a lower detail."
    retry: ClassVar[Retry] = "changed"


class Diverged(TrainingError):
    pass


class Untrained(TrainingError):
    pass


class ArtifactError(SplatError):
    remedy = "Materialize the named stage again for this job."


class MissingArtifact(ArtifactError):
    pass


class CorruptArtifact(ArtifactError):
    pass


class BadTable(ArtifactError):
    pass


class Superseded(ArtifactError):
    remedy = "Nothing is lost: the result of the later attempt counts. Look at its run."


class ToolError(SplatError):
    remedy = "Look at the tool's last lines in the step's log."
    retry: ClassVar[Retry] = "changed"


class ToolCrashed(ToolError):
    pass


class ToolTimeout(ToolError):
    remedy = "Raise the time limit of this stage, or upload fewer or shorter clips."


class ToolMissing(ToolError):
    remedy = "Install the named program or Python package."
    retry: ClassVar[Retry] = "never"


class BadAnswer(ToolError):
    remedy = "Correct the program: docs/pose-backends.md says what is expected of it."
    retry: ClassVar[Retry] = "never"


class Cancelled(SplatError):
    remedy = "Upload it again, or run the job again, when it shall be computed after all."


class ResourceError(SplatError):
    remedy = "Free some of the named resource and run the job again."
    retry: ClassVar[Retry] = "same"


class OutOfMemory(ResourceError):
    remedy = "Run the job at a lower detail, or on a machine with more memory."
    retry: ClassVar[Retry] = "changed"


class DiskFull(ResourceError):
    remedy = "Free disk space (old packages and artifacts first) and run the job again."


class DriverLost(ResourceError):
    remedy = "Look at nvidia-smi and the kernel's log (Xid); when the GPU answers again, run the job again."


class StoreUnavailable(ResourceError):
    remedy = "Check the store's address, credentials and network, then run the job again."


class DatabaseUnavailable(StoreUnavailable):
    remedy = (
        "Check Dagster's database (storage in dagster.yaml): that it runs, is reached and has room; run the job again."
    )


class BadWebhook(ResourceError):
    remedy = "Set the webhook's address to an http(s) URL and SPLAT_WEBHOOK_SECRET to 16 bytes or more of chance."
    retry: ClassVar[Retry] = "never"


class WebhookFailed(ResourceError):
    remedy = "Check the server that takes the webhook's messages: its log, its certificate, and that it is reached."


class ProcessKilled(ResourceError):
    remedy = "Look whether the machine ran out of memory or was restarted, then upload again."


def by_name(name: str) -> type[SplatError] | None:
    """Return the class that is called ``name``, as in ``to_json`` and in tables; None: there is none."""
    return {kind.__name__: kind for kind in _all_of(SplatError)}.get(name)


def told(message: Mapping[str, str | None]) -> SplatError:
    """Return the error that ``to_json`` told of, as when a child process says why it gave up."""
    kind = by_name(message["class"] or "") or SplatError
    return kind(message["cause"] or "no reason was given", file=message["file"], remedy=message["remedy"])


def _all_of(kind: type[SplatError]) -> Iterator[type[SplatError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _all_of(child)
