"""The rows of ``taxonomy``: what is measured of each class of failure, and what each of two people can do."""

from __future__ import annotations

from dataclasses import dataclass

from splat_pipeline.domain import errors as e
from splat_pipeline.domain.error_root import SplatError


@dataclass(frozen=True, kw_only=True)
class FailureClass:
    """One class of failure."""

    code: str
    """The stable identifier."""
    errors: tuple[type[SplatError], ...]
    """Which errors belong to it, with all below them that no other row names; empty: none of ours."""
    evidence: str
    """What is measured, and where it is kept."""
    operator: str
    """What who runs the pipeline can do."""
    filmed: str | None = None
    """What who filmed can do; None: the remedy of the first error."""

    @property
    def person(self) -> str:
        """What who filmed can do."""
        return self.filmed if self.filmed is not None else self.errors[0].remedy


NOT_YOURS = "Nothing is wrong with the footage: tell who runs the pipeline."
FRAMES = "over the analysed frames, and when in the clip it is so; frames.parquet has each frame's"
WEAK = "Nothing on the machine helps: reject_reason in frames.parquet and contact_sheet.jpg show it to who filmed."

FOOTAGE = (
    FailureClass(
        code="unreadable", errors=(e.UnreadableMedia, e.UnsupportedMedia, e.NoVideoStream),
        evidence="The file's first bytes, what the demuxer says, and how many frames decode; reject_reason in "
        "videos.parquet.",
        operator="Compare sha256 in videos.parquet with the sender's file: a difference is a transfer that was cut off.",
    ),
    FailureClass(
        code="empty-upload", errors=(e.EmptyUpload,), evidence="The names in the upload's folder or zip.",
        operator="Look at the folder: a sync program may still be writing under another name.",
    ),
    FailureClass(
        code="unsafe-upload", errors=(e.UnsafeUpload, e.BadBundle),
        evidence="The named entry: a link, a device, a name that leaves the folder, sizes or digests that do not agree.",
        operator="Keep the upload for a look and ask who sent it; nothing of it was unpacked or run.",
    ),
    FailureClass(
        code="bad-settings", errors=(e.BadJobFile,), evidence="The first wrong or unknown key, with its value.",
        operator="Correct the environment variable, the YAML file or the run config that the cause names.",
    ),
    FailureClass(
        code="bad-poses", errors=(e.BadPoses, e.WrongPoses, e.FewPoints),
        evidence="Median distance of verified matches from the epipolar lines of the given poses; the images that "
        "contradict theirs, worst first; how many points could be triangulated.",
        operator="Set poses.source to sfm: the cameras are then found without the given poses.",
    ),
    FailureClass(
        code="bad-calibration", errors=(e.BadCalibration,),
        evidence="Reprojection error on held-out views of the board, how many views, how much of the picture they cover.",
        operator="Take calibration.json out of the upload, or set poses.source to sfm.",
    ),
    FailureClass(
        code="too-short", errors=(e.TooShort,), evidence="Frames that were read, seconds between first and last, keyframes kept.",
        operator=WEAK,
    ),
    FailureClass(
        code="too-long", errors=(e.TooLong,), evidence="Seconds or frames of a clip, or images and bytes of a set.",
        operator="Split the upload into jobs; the limits stand in domain/media.py and domain/archives.py.",
    ),
    FailureClass(
        code="too-small", errors=(e.TooSmall,), evidence="Width and height as shown; videos.parquet.",
        operator="Ask for the camera's own file: messengers scale clips down.",
    ),
    FailureClass(
        code="too-dark", errors=(e.TooDark,), evidence=f"Median luma {FRAMES} luma_mean.", operator=WEAK,
    ),
    FailureClass(
        code="blurred", errors=(e.Blurred,),
        evidence=f"Variance of the Laplacian over variance of luma {FRAMES} sharpness; share of keyframes that are "
        "sharp beside their neighbours.",
        operator=WEAK,
    ),
    FailureClass(
        code="static-camera", errors=(e.StaticCamera,), evidence=f"Share of corners that stand still {FRAMES} static_share.",
        operator=WEAK,
    ),
    FailureClass(
        code="rotation-only", errors=(e.RotationOnly,),
        evidence=f"Share of the moving frames that a turn on the spot explains {FRAMES} rotation_only.",
        operator=WEAK,
    ),
    FailureClass(
        code="low-texture", errors=(e.NoTexture,),
        evidence=f"Corners found of those looked for {FRAMES} texture; features an image in attempts.parquet.",
        operator=WEAK,
    ),
    FailureClass(
        code="dynamic", errors=(e.MovingObjects,),
        evidence=f"Share of tracks that one motion of the camera explains {FRAMES} dynamic_share.",
        operator="Set scene_type to dynamic where moving things are meant to be in the picture.",
    ),
    FailureClass(
        code="weak-footage", errors=(e.WeakFootage, e.InputError), evidence="The cause names the file and the figure.",
        operator="Look at reject_reason in videos.parquet and frames.parquet.",
    ),
)  # fmt: skip
"""What the upload itself is to blame for."""

POSES = (
    FailureClass(
        code="low-overlap", errors=(e.LowOverlap,),
        evidence="Share of neighbouring keyframes that match (linked in attempts.parquet), after linking frames were tried.",
        operator="Raise frames.analysis_fps or frames.max_keyframes, so that keyframes lie closer, and run it again.",
    ),
    FailureClass(
        code="planar", errors=(e.NoParallax,),
        evidence="Share of verified pairs that one plane or one turn explains (flat in attempts.parquet).",
        operator="Give poses with the images, or set poses.mapper to incremental.",
    ),
    FailureClass(
        code="few-registered", errors=(e.FewRegistered,),
        evidence="Share of keyframes with a pose, and which seconds of which clip have none; poses.parquet.",
        operator="Read attempts.parquet; try poses.mapper: incremental, or more poses.max_features.",
    ),
    FailureClass(
        code="several-parts", errors=(e.SeveralParts,),
        evidence="Parts of the reconstruction that share no points with one another: components in gates.parquet.",
        operator="Raise frames.analysis_fps or frames.max_keyframes; the largest part is trained on until then.",
    ),
    FailureClass(
        code="drift", errors=(e.Drift,),
        evidence="Matches against the poses: of loops, of neighbours, of those no adjustment saw; windows; gates.parquet.",
        operator="Look at loops.parquet and the path of camera_poses; try another poses.mapper, or larger windows.",
    ),
    FailureClass(
        code="no-model", errors=(e.NoReconstruction,), evidence="Outcome and signature of every attempt; attempts.parquet.",
        operator="Read attempts.parquet: what each rung was tried for, and what it showed.",
    ),
    FailureClass(
        code="bad-poses-found", errors=(e.PoseError,),
        evidence="Reprojection error and the other metrics of camera_poses in gates.parquet.",
        operator="Look at the path drawn in the metadata of camera_poses; try another poses.mapper.",
    ),
)  # fmt: skip
"""What comes to light when cameras are found."""

WORK = (
    FailureClass(
        code="diverged", errors=(e.Diverged,), evidence="Loss over the iterations; training.parquet, attempts in plan.json.",
        filmed=NOT_YOURS, operator="Materialize the splat again at a lower detail; report the job if it fails there too.",
    ),
    FailureClass(
        code="untrained", errors=(e.Untrained, e.TrainingError),
        evidence="PSNR on views that were held out, and whether the loss fell; heldout.parquet, training.parquet.",
        filmed="Film again: slower, in even light, keep what moves out of the picture.",
        operator="Look at training.parquet: a loss that still falls wants more iterations, one that never fell has bad poses.",
    ),
    FailureClass(
        code="out-of-memory", errors=(e.OutOfMemory,), evidence="peak_rss_bytes in stages.parquet, against the machine's limit.",
        filmed=NOT_YOURS, operator=e.OutOfMemory.remedy,
    ),
    FailureClass(
        code="disk-full", errors=(e.DiskFull,), evidence="The operating system's answer, and the folder that was written to.",
        filmed=NOT_YOURS, operator=e.DiskFull.remedy,
    ),
    FailureClass(
        code="store-unavailable", errors=(e.StoreUnavailable, e.ResourceError), evidence="The address and the answer.",
        filmed=NOT_YOURS, operator=e.StoreUnavailable.remedy,
    ),
    FailureClass(
        code="process-killed", errors=(e.ProcessKilled,), evidence="The step or run, and how often it was tried.",
        filmed=NOT_YOURS, operator=e.ProcessKilled.remedy,
    ),
    FailureClass(
        code="gpu-lost", errors=(e.DriverLost,), evidence="What the driver said, and what was trained at the time.",
        filmed=NOT_YOURS, operator=e.DriverLost.remedy,
    ),
    FailureClass(
        code="webhook", errors=(e.WebhookFailed, e.BadWebhook),
        evidence="The host, how many attempts were made, and the last answer.",
        filmed=NOT_YOURS, operator=e.WebhookFailed.remedy,
    ),
    FailureClass(
        code="time-out", errors=(e.ToolTimeout,), evidence="The limit, and how far the tool's last lines say it was.",
        filmed="Upload fewer or shorter clips.", operator="Raise the time limit of the stage: see the recipe table.",
    ),
    FailureClass(
        code="tool-missing", errors=(e.ToolMissing,), evidence="The name of the program or package that was looked for.",
        filmed=NOT_YOURS, operator=e.ToolMissing.remedy,
    ),
    FailureClass(
        code="tool-crashed", errors=(e.ToolCrashed, e.ToolError), evidence="Exit status or signal, and the tool's last lines.",
        filmed=NOT_YOURS, operator="Run the step again alone with the tool's lines in view, and report them with its version.",
    ),
    FailureClass(
        code="bad-answer", errors=(e.BadAnswer,), evidence="What the program answered, and what is expected of it.",
        filmed=NOT_YOURS, operator=e.BadAnswer.remedy,
    ),
    FailureClass(
        code="damaged-artifact", errors=(e.ArtifactError, e.MissingWindow),
        evidence="The artifact, the file in it, and how it differs from its checksum or its table's specification.",
        filmed=NOT_YOURS, operator="Materialize the named stage again; where it recurs, look at the disk of the store.",
    ),
    FailureClass(
        code="cancelled", errors=(e.Cancelled,), evidence="Who ended the run, in its event log.",
        filmed="Upload it again when it shall run after all.", operator="Run it again from the failed step, if it was not meant.",
    ),
    FailureClass(
        code="internal", errors=(SplatError,), evidence="The traceback in the event log of the run.",
        filmed=NOT_YOURS, operator=SplatError.remedy,
    ),
)  # fmt: skip
"""What training, programs and the machine are to blame for."""
