"""What a job is asked to do: the part of the settings that an upload's ``job.yaml`` and the launchpad may override.

Resolved once in ``source_videos``, written to its manifest, and read from there by every later stage, so that a
replay uses the job's own settings. Unknown keys are errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator, model_validator

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.gates import SceneName
from splat_pipeline.domain.quality import unknown_gates


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrameRecipe(_Section):
    """Scoring and selecting frames."""

    analysis_px: int = Field(480, ge=160, le=1920, description="longer side at which frames are scored")
    analysis_fps: float = Field(10.0, gt=0, le=60, description="frames a second that are scored at most")
    max_keyframes: int | None = Field(
        None, ge=8, le=5000, description="frames kept at most; by itself: by detail, and more where overlap would break"
    )
    longer_side_px: int = Field(1280, ge=160, le=8192, description="longer side of kept images; never enlarged")
    jpeg_quality: int = Field(95, ge=60, le=100, description="of kept images")
    holdout_every: int = Field(8, ge=2, description="every n-th keyframe is kept away from training")


class PoseRecipe(_Section):
    """Structure from motion."""

    source: Literal["auto", "sfm", "precalibrated", "nerfstudio", "colmap", "external"] = Field(
        "auto",
        description="of the poses; auto: those beside the images, or else structure from motion, with the lenses and "
        "the rig of calibration.json where there is one; precalibrated insists on that, sfm finds all by itself",
    )
    backend: str | None = Field(None, max_length=80, description="which one, where source is external: splat backends")
    refine: bool = Field(default=False, description="bundle adjustment of poses that do not come from SfM")
    mapper: Literal["auto", "global", "incremental"] = Field("auto", description="auto: global, then incremental")
    longer_side_px: int = Field(1280, ge=160, le=4096, description="longer side at which features are found")
    max_features: int = Field(6144, ge=256, le=32768, description="SIFT features an image")
    overlap: int = Field(10, ge=2, le=200, description="neighbours matched in a sequence")
    exhaustive_up_to: int = Field(60, ge=0, description="every pair is matched up to this many images")
    window_over: int = Field(
        400, ge=20, description="up to this many keyframes are reconstructed together, more in windows"
    )
    window_size: int = Field(120, ge=20, description="keyframes of a window")
    window_overlap: int = Field(30, ge=5, description="keyframes that neighbouring windows share")
    time_limit_s: float = Field(3600, gt=0, description="wall time of one reconstruction attempt")
    rescue_limit_s: float = Field(7200, gt=0, description="wall time of all attempts on one window")

    @model_validator(mode="after")
    def _has_backend(self) -> Self:
        if (self.source == "external") != (self.backend is not None):
            raise ValueError("source: external and backend: NAME go together")
        return self


class TrainingOptions(_Section):
    """What a trainer can do differently, at any detail. None: as the trainer does by itself."""

    strategy: Literal["ranked", "mcmc"] | None = Field(None, description="how Gaussians come and go")
    exposure: Literal["none", "gain", "affine"] | None = Field(
        None, description="learned of each picture's exposure and white balance"
    )
    background: str | None = Field(
        None,
        pattern="^(black|white|random|learned|#[0-9a-fA-F]{6})$",
        description="behind the Gaussians: black, white, random, learned or #rrggbb",
    )
    antialias: bool | None = Field(None, description="train for renderers with Mip-Splatting's 2D filter")
    opacity_weight: float | None = Field(None, ge=0, le=10, description="penalty on the mean opacity")
    scale_weight: float | None = Field(None, ge=0, le=10, description="penalty on the mean size, in scene extents")
    depth_weight: float | None = Field(None, ge=0, le=10, description="pull of the depth towards the sparse points")
    time_limit_s: float | None = Field(None, gt=0, description="wall time of a trainer that is another program")
    refine_poses: bool | None = Field(None, description="move the cameras a little while training")


class TrainingRecipe(TrainingOptions):
    """Overrides of what the detail asks for. None: as the detail says."""

    trainer: str = Field(
        "auto",
        pattern="^[a-z0-9][a-z0-9_.-]{0,79}$",
        description="a name out of splat backends; auto: gsplat where CUDA is there, else cpu",
    )
    longer_side_px: int | None = Field(None, ge=64, le=4096, description="of training images")
    iterations: int | None = Field(None, ge=100, le=1_000_000, description="optimiser steps")
    max_gaussians: int | None = Field(None, ge=1000, le=20_000_000, description="cap")


class ExportRecipe(_Section):
    """What is delivered."""

    formats: tuple[Literal["ply", "splat", "spz", "spz4", "compressed_ply", "sog", "glb"], ...] = Field(
        ("ply", "splat", "spz", "compressed_ply"), min_length=1, description="of the splat"
    )
    max_bytes: int | None = Field(
        None,
        ge=4096,
        description="of each model; above it numbers get coarser, or harmonics or Gaussians of least contribution go",
    )
    cameras: tuple[Literal["colmap", "transforms"], ...] = Field(
        ("colmap", "transforms"), description="the cameras in the delivered world: a COLMAP model, transforms.json"
    )
    keep_all: bool = Field(default=False, description="deliver every Gaussian that was trained; nothing is cleaned")
    crop: float | None = Field(
        None, gt=0, le=100, description="keep what lies within so many captured radii of the middle; none: everything"
    )


class DeliveryRecipe(_Section):
    """What is delivered when, and how the package lies in its folder. ``delivery: draft+final`` is short for passes."""

    passes: Literal["final", "draft+final"] = Field(
        "final",
        description="draft+final: first one at preview detail, which the full one replaces as a new version",
    )
    layout: Literal["package", "splatter-server"] = Field(
        "package", description="of the package; splatter-server: refined/splatter/{splat.ply, splat_rot.splat, ...}"
    )


class PreviewRecipe(_Section):
    """The orbit video."""

    path: Literal["auto", "orbit", "arc", "flight"] = Field(
        "auto", description="of the camera; auto: a full turn, an arc or a flight, as was filmed"
    )
    width_px: int = Field(1280, ge=64, le=3840, multiple_of=2, description="of the video")
    height_px: int = Field(720, ge=64, le=2160, multiple_of=2, description="of the video")
    fps: int = Field(30, ge=1, le=60, description="frames a second")
    seconds: float = Field(6.0, gt=0, le=60, description="length of the loop")
    drawn_by: Literal["auto", "own", "gsplat", "nerfstudio"] = Field(
        "auto", description="auto: gsplat on a GPU, or else our renderer; or ns-render (SPLAT_NERFSTUDIO_ENV, a GPU)"
    )


class ViewerRecipe(_Section):
    """The page that shows the splat."""

    enabled: bool = Field(default=True, description="make viewer.html")
    max_mb: float = Field(
        25.0, gt=0, le=500, description="of the splat in it: harmonics, then Gaussians are left out above that"
    )


class ScaleRecipe(_Section):
    """How large the world is, and where on Earth."""

    gps: bool = Field(
        default=True, description="take scale, north and place from positions in photos or clips where they are good"
    )
    metres: float | None = Field(
        None, gt=0, le=1e6, description="a known length: of the way between two cameras, or of the whole camera path"
    )
    between: tuple[str, str] | None = Field(
        None, description="the two cameras: CLIP@SECONDS or the name of a photo; none: the whole camera path"
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.between is None:
            return self
        if self.metres is None:
            raise ValueError("between needs metres: how far the two cameras were apart")
        if self.between[0] == self.between[1]:
            raise ValueError("between needs two different cameras")
        return self


class Recipe(_Section):
    """All that decides how one job is computed."""

    detail: Literal["auto", "full", "reduced", "preview"] = Field("auto", description="auto: full, lowered by gates")
    scene_type: Literal["auto", "object", "indoor", "outdoor", "aerial", "dynamic"] = Field(
        "auto", description="for the gates; auto: estimated"
    )
    seed: int = Field(0, ge=0, description="of everything random")
    frames: FrameRecipe = FrameRecipe()
    poses: PoseRecipe = PoseRecipe()
    scale: ScaleRecipe = ScaleRecipe()
    training: TrainingRecipe = TrainingRecipe()
    exports: ExportRecipe = ExportRecipe()
    preview: PreviewRecipe = PreviewRecipe()
    viewer: ViewerRecipe = ViewerRecipe()
    delivery: DeliveryRecipe = DeliveryRecipe()
    gates: dict[str, FiniteFloat | Literal["lift"] | dict[SceneName, FiniteFloat]] = Field(
        {}, description="other limits, by gate: a number, one for each of some scene types, or lift: told, not acted on"
    )

    @field_validator("gates", mode="before")
    @classmethod
    def _known(cls, asked: object) -> object:
        if not isinstance(asked, Mapping):
            return asked
        if unknown := unknown_gates(map(str, asked)):
            raise ValueError(unknown)
        for gate, wish in asked.items():
            if isinstance(wish, bool):  # what YAML makes of on and off
                raise ValueError(f"{gate}: a number, numbers by scene type, or lift")  # noqa: TRY004  # pydantic's way
        return asked

    def overridden(self, changes: Mapping[str, Any], *, source: str) -> Recipe:
        """Return the recipe with ``changes`` (nested like the recipe itself) on top; None changes nothing.

        Raises ``BadJobFile`` that names ``source`` and the first key that is unknown or has a wrong value.
        """
        if isinstance(changes.get("delivery"), str):
            changes = {**changes, "delivery": {"passes": changes["delivery"]}}
        try:
            return Recipe.model_validate(_merged(self.model_dump(), changes))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise BadJobFile(f"{source}: {key}: {first['msg']} (got {first['input']!r})", file=source) from None


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = _merged(out[key], value)
        elif value is not None:
            out[key] = value
    return out
