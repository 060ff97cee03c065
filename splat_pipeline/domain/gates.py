"""The table of gates: one row each, with the number that holds for every type of scene.

WARN adapts: it lowers the detail where the row says so, and is told everywhere else. ERROR stops the job with the row's
class. ``quality.py`` judges; the settings and ``job.yaml`` may set other numbers or lift a gate (``gates:``).

Where the numbers come from: registered share: nerfstudio calls < 40 % bad and < 80 % weak; reprojection: good SIFT
reconstructions of real clips are at 0.3 to 0.8 px in the mean, and COLMAP itself drops observations above 4 px; the
least triangulation angle of COLMAP's mapper is 1.5 degrees; the others lie between what six real captures and their
damaged copies gave (``docs/gates.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from splat_pipeline.domain.errors import (
    Blurred,
    CorruptArtifact,
    Diverged,
    Drift,
    FewRegistered,
    LowOverlap,
    MovingObjects,
    NoParallax,
    PoseError,
    RotationOnly,
    SeveralParts,
    SplatError,
    ToolError,
    TooShort,
    Untrained,
    WeakFootage,
)
from splat_pipeline.domain.plans import Detail

Severity = Literal["WARN", "ERROR"]
SceneName = Literal["object", "indoor", "outdoor", "aerial", "dynamic"]
SCENES: tuple[str, ...] = get_args(SceneName)
"""Types of scene that may have numbers of their own; for "auto" the row's own number holds."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One row of the table of gates."""

    stage: str
    """The asset that measures, and shows the check."""
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    scenes: Mapping[str, float] = field(default_factory=dict)
    """Other numbers, by type of scene."""
    severity: Severity
    error: type[SplatError]
    """What the failure is called, and whose remedy is shown."""
    lowers_to: Detail | None = None
    """The detail that a failure allows at most; of the splat: the training is tried again, no lower than this."""
    scene: str = ""
    """The type of scene whose number this is, where it is another than the row's."""
    lifted: str = ""
    """By whom the gate was lifted: it is judged and told, and neither stops nor lowers."""

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"the gate on {self.metric} needs one of at_least and at_most")

    @property
    def relation(self) -> str:
        """How a good value stands to the number."""
        return "at most" if self.at_least is None else "at least"

    @property
    def bound(self) -> float:
        """The number itself."""
        return self.at_least if self.at_least is not None else float(self.at_most or 0.0)

    def with_bound(self, bound: float, *, scene: str = "") -> Limit:
        """Return the row with another number."""
        if self.at_least is None:
            return replace(self, at_most=bound, scene=scene)
        return replace(self, at_least=bound, scene=scene)

    def of(self, scene_type: str) -> Limit:
        """Return the row with the number of a type of scene."""
        return self.with_bound(self.scenes[scene_type], scene=scene_type) if scene_type in self.scenes else self


def _stop(stage: str, metric: str, *, error: type[SplatError], **limits: float) -> Limit:
    return _row(stage, metric, "ERROR", error, None, limits)


def _tell(stage: str, metric: str, *, error: type[SplatError], **limits: float) -> Limit:
    return _row(stage, metric, "WARN", error, None, limits)


def _lower(stage: str, metric: str, *, error: type[SplatError], **limits: float) -> Limit:
    return _row(stage, metric, "WARN", error, Detail.REDUCED, limits)


def _row(  # noqa: PLR0917  # the columns of the table
    stage: str, metric: str, severity: Severity, error: type[SplatError], to: Detail | None, limits: Mapping[str, float]
) -> Limit:
    scenes = {name: number for name, number in limits.items() if name in SCENES}
    least, most = limits.get("least"), limits.get("most")
    if unknown := set(limits) - set(SCENES) - {"least", "most"}:
        raise ValueError(f"the gate on {metric} has numbers for unknown scenes: {sorted(unknown)}")
    return Limit(
        stage=stage, metric=metric, at_least=least, at_most=most, scenes=scenes, severity=severity, error=error,
        lowers_to=to,
    )  # fmt: skip


LIMITS: dict[str, Limit] = {
    # what was filmed: domain/metrics/frames.py
    "enough_keyframes": _stop("keyframes", "keyframes", least=8, error=TooShort),
    "usable": _tell("keyframes", "usable_share", least=0.5, error=WeakFootage),
    "sharp_enough": _lower("keyframes", "sharp_share", least=0.5, error=Blurred),
    "moves_enough": _tell("keyframes", "median_disparity", least=0.01, error=WeakFootage),
    "turns_little": _lower("keyframes", "rotation_only_share", most=0.5, error=RotationOnly),
    "stands_still": _lower("keyframes", "dynamic_share", most=0.25, dynamic=0.4, error=MovingObjects),
    "overlaps": _tell("keyframes", "overlap_share", least=0.8, object=0.6, aerial=0.4, error=LowOverlap),
    "overlaps_at_all": _stop("keyframes", "overlap_share", least=0.2, error=LowOverlap),
    "exposed_evenly": _tell("keyframes", "exposure_step_stops", most=0.5, error=WeakFootage),
    "clean": _stop("keyframes", "noise_luma", most=12.0, error=WeakFootage),
    "clean_well": _tell("keyframes", "noise_luma", most=6.0, error=WeakFootage),
    # where the cameras were: domain/metrics/poses.py
    "registered": _stop("camera_poses", "registered_share", least=0.4, error=FewRegistered),
    "registered_well": _lower("camera_poses", "registered_share", least=0.8, error=FewRegistered),
    "every_clip": _lower("camera_poses", "clip_registered_share", least=0.5, error=FewRegistered),
    "no_long_gap": _lower("camera_poses", "longest_gap_share", most=0.15, error=FewRegistered),
    "reprojection": _stop("camera_poses", "rms_px", most=4.0, error=PoseError),
    "reprojection_well": _lower("camera_poses", "rms_px", most=1.5, error=PoseError),
    "reprojection_tail": _tell("camera_poses", "p95_error_px", most=4.0, error=PoseError),
    "tracked": _lower("camera_poses", "track_length", least=3.0, error=PoseError),
    "triangulated": _stop("camera_poses", "tri_angle_deg", least=0.5, error=RotationOnly),
    "triangulated_well": _lower("camera_poses", "tri_angle_deg", least=2.0, error=RotationOnly),
    "confident": _lower("camera_poses", "low_confidence_share", most=0.3, error=PoseError),
    "believed": _stop("camera_poses", "low_confidence_share", most=0.6, error=PoseError),
    "hangs_together": _lower("camera_poses", "components", most=1, error=SeveralParts),
    # whether they can be true, which reprojection does not tell: domain/metrics/consistency.py
    "loops_closed": _lower("camera_poses", "loop_contradicted_share", most=0.25, error=Drift),
    "loop_gap": _lower("camera_poses", "loop_shift_after", most=0.02, error=Drift),
    "loop_turn": _lower("camera_poses", "loop_rotation_after_deg", most=2.0, error=Drift),
    "windows_agree": _lower("camera_poses", "window_shift", most=0.02, error=Drift),
    "windows_turn_alike": _lower("camera_poses", "window_rotation_deg", most=2.0, error=Drift),
    "scale_holds": _lower("camera_poses", "scale_drift", most=0.1, error=Drift),
    "neighbours_agree": _lower("camera_poses", "neighbour_epipolar", most=0.002, error=Drift),
    "neighbours_agree_at_all": _stop("camera_poses", "neighbour_epipolar", most=0.0045, error=Drift),
    "unseen_matches": _stop("camera_poses", "heldout_epipolar", most=0.02, error=Drift),
    "unseen_matches_well": _lower("camera_poses", "heldout_epipolar", most=0.003, error=Drift),
    "not_planar": _lower("camera_poses", "planar_share", most=0.95, aerial=0.99, error=NoParallax),
    # the splat: domain/metrics/splats.py
    "finite": _stop("splat", "nan_share", most=0.0, error=Diverged),
    "loss_fell": _stop("splat", "loss_ratio", most=0.8, error=Untrained),
    "learned": _stop("splat", "psnr_heldout_db", least=12.0, error=Untrained),
    "learned_well": _tell("splat", "psnr_heldout_db", least=20.0, outdoor=18.0, aerial=16.0, error=Untrained),
    "learned_but_exposure": _tell("splat", "psnr_corrected_heldout_db", least=20.0, aerial=17.0, error=Untrained),
    "looks_at_all_alike": _stop("splat", "ssim_heldout", least=0.4, aerial=0.2, error=Untrained),
    "looks_alike": _tell("splat", "ssim_heldout", least=0.6, aerial=0.35, error=Untrained),
    "not_overfitted": _lower("splat", "train_gap_db", most=6.0, error=Untrained),
    "sizes_sane": _tell("splat", "huge_share", most=0.01, error=Diverged),
    "few_transparent": _tell("splat", "transparent_share", most=0.5, error=Untrained),
    "few_needles": _tell("splat", "needle_share", most=0.1, error=Diverged),
    "few_floaters": _tell("splat", "floater_share", most=0.01, error=Untrained),
    "nothing_hides": _stop("splat", "hidden_share", most=0.075, error=Untrained),
    "little_hides": _lower("splat", "hidden_share", most=0.06, error=Untrained),
    "steady": _tell("splat", "flicker", most=0.6, dynamic=0.9, error=Untrained),
    # what is handed over: domain/metrics/exports.py
    "all_written": _stop("exports", "count_ratio", least=1.0, error=CorruptArtifact),
    "all_finite": _stop("exports", "unread_share", most=0.0, error=CorruptArtifact),
    "reads_back": _stop("exports", "roundtrip_error", most=0.01, error=CorruptArtifact),
    "same_box": _stop("exports", "box_error", most=0.01, error=CorruptArtifact),
    "film_made": _tell("preview", "films", least=1, error=ToolError),
    "film_lasts": _tell("preview", "duration_error_s", most=0.5, error=ToolError),
    "film_plays": _tell("preview", "is_h264", least=1.0, error=ToolError),
    "film_in_time": _tell("preview", "fps_error", most=0.5, error=ToolError),
    "film_not_black": _tell("preview", "film_luma", least=8.0, error=ToolError),
    "film_not_constant": _tell("preview", "film_change", least=0.2, error=ToolError),
}  # fmt: skip
"""By the name of the asset check. ``least`` and ``most`` hold for every scene that has no number of its own."""
