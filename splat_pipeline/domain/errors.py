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
        ├── OutOfMemory  DiskFull  StoreUnavailable
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
from typing import ClassVar, Literal

Retry = Literal["never", "same", "changed"]


class SplatError(Exception):
    """Root of the tree. ``str(error)`` is the cause in one sentence."""

    remedy: ClassVar[str] = "Look at the log of the failed step and report it as a bug."
    retry: ClassVar[Retry] = "never"

    def __init__(self, cause: str, *, file: str | None = None, remedy: str | None = None) -> None:
        """``cause``: what is wrong, with the offending value. ``file``: the upload's file it is about."""
        super().__init__(cause)
        self.cause = cause
        self.file = file
        if remedy is not None:
            self.remedy = remedy  # type: ignore[misc]  # an instance may know better than its class

    def to_json(self) -> dict[str, str | None]:
        """Return ``{class, file, cause, remedy}``, the form in which every door shows an error."""
        return {"class": type(self).__name__, "file": self.file, "cause": self.cause, "remedy": self.remedy}


class InputError(SplatError):
    remedy = "Replace the file and upload again."


class EmptyUpload(InputError):
    remedy = (
        "Put at least one video (.mp4, .mov, .mkv, .webm, .avi) or a folder of photos (JPEG, PNG, TIFF, HEIC) in it."
    )


class UnreadableMedia(InputError):
    remedy = "Copy the file again from the camera (the upload may have been cut off), or export it again as MP4."


class UnsupportedMedia(InputError):
    remedy = "Export the clip as MP4 (H.264 or HEVC) and upload that."


class NoVideoStream(InputError):
    remedy = "Upload the clip itself: this file holds no moving pictures."


class UnsafeUpload(InputError):
    remedy = "Upload plain files: links, pipes, devices and names that leave the folder are refused."


class BadJobFile(InputError):
    remedy = "Correct the named key; the README lists the known ones."


class BadBundle(InputError):
    remedy = "Copy the bundle again, or prepare the footage again: splat prepare."


class BadPoses(InputError):
    remedy = "Export the poses again, or take the named file out of the upload: the cameras are found without it."


class BadCalibration(InputError):
    remedy = "Film a flat board again: sharp, in good light, from many sides, 20 views or more."


class WeakFootage(InputError):
    remedy = "Film again: walk slowly around the subject in good light and keep it in view."


class TooShort(WeakFootage):
    remedy = "Film at least 5 seconds while moving around the subject, or upload at least 8 photos."


class TooLong(WeakFootage):
    remedy = "Cut the clip to the minutes that show the scene, and upload those."


class TooSmall(WeakFootage):
    remedy = "Film at 640x360 or more."


class TooDark(WeakFootage):
    remedy = "Film again with more light, and lock the exposure."


class Blurred(WeakFootage):
    remedy = "Film again: move slower, hold steadier, let the camera focus first."


class StaticCamera(WeakFootage):
    remedy = "Film again while walking around the subject: a fixed camera shows no depth, however much moves before it."


class NoTexture(WeakFootage):
    remedy = "Film a scene with visible detail; bare walls and black frames cannot be located."


class RotationOnly(WeakFootage):
    remedy = "Film again while walking: a camera that only turns on the spot, or only zooms, sees no depth."


class MovingObjects(WeakFootage):
    remedy = "Film what stands still: keep people, traffic, water and moving leaves to a small part of the picture."


class PoseError(SplatError):
    remedy = "Film again: slower, with more overlap between views, without fast turns on the spot."
    retry: ClassVar[Retry] = "changed"


class FewRegistered(PoseError):
    pass


class NoReconstruction(PoseError):
    pass


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


class BadWebhook(ResourceError):
    remedy = "Set the webhook's address to an http(s) URL and SPLAT_WEBHOOK_SECRET to 16 bytes or more of chance."
    retry: ClassVar[Retry] = "never"


class WebhookFailed(ResourceError):
    remedy = "Check the server that takes the webhook's messages: its log, its certificate, and that it is reached."


class ProcessKilled(ResourceError):
    remedy = "Look whether the machine ran out of memory or was restarted, then upload again."


def told(message: Mapping[str, str | None]) -> SplatError:
    """Return the error that ``to_json`` told of, as when a child process says why it gave up."""
    kinds = {kind.__name__: kind for kind in _all_of(SplatError)}
    kind = kinds.get(message["class"] or "", SplatError)
    return kind(message["cause"] or "no reason was given", file=message["file"], remedy=message["remedy"])


def _all_of(kind: type[SplatError]) -> Iterator[type[SplatError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _all_of(child)
