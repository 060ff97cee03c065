"""Structure from motion by COLMAP, in a child process with limits."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resources import joined, posed
from resources.colmap_attempts import attempt_message, fault_of
from resources.features import read_features
from resources.lenses import lenses, rig
from resources.machine import usable_cores
from resources.progress import Progress
from resources.sandbox import Limits, run_child, watch_child
from resources.strategies import STRATEGIES
from resources.workers import run_python_worker, worker_answer, worker_argv
from splat_pipeline.domain.errors import BadCalibration
from splat_pipeline.domain.formats.colmap import ColmapCamera, read_model, write_model
from splat_pipeline.domain.poses import rms_px
from splat_pipeline.domain.renumbering import numbered_as
from splat_pipeline.ports.progress import Say
from splat_pipeline.ports.sfm import (
    AdjustmentRequest,
    Attempt,
    FeatureRequest,
    MatchRequest,
    ReconstructionRequest,
    Refinement,
    Triangulation,
    TriangulationRequest,
)

WORKER = "resources.colmap_worker"


RIG_REMEDY = (
    "Check cam_from_rig (camera from rig; +x right, +y down, +z forward) and offset_s of each camera, and that lenses "
    "are of these clips; or leave cam_from_rig out: the cameras are found without it."
)


@dataclass(frozen=True, kw_only=True)
class ColmapBackend:
    """Fulfils ``SfmBackend``."""

    threads: int = field(default_factory=usable_cores)
    """More than cores slow each other down."""
    memory_limit_bytes: int | None = None
    """Of address space, a child's; None: no limit."""

    @property
    def strategies(self) -> Sequence[str]:
        """Names of what may be tried, best first; a name begins with its mapper."""
        return tuple(STRATEGIES)

    def extract_features(self, request: FeatureRequest, folder: Path, *, say: Say) -> None:
        """Write ``folder/<segment>.parquet``: see ``resources.features``. Raises ``ToolError``."""
        folder.mkdir(parents=True, exist_ok=True)
        message = {
            "command": "extract",
            "folder": str(request.folder),
            "images": list(request.images),
            "out": str(folder),
            "longer_side_px": request.recipe.longer_side_px,
            "max_features": request.recipe.max_features,
            "rich": False,
        }
        self._work(message, beside=folder, time_limit_s=request.recipe.time_limit_s, say=say)

    def match(self, request: MatchRequest, path: Path, *, say: Say) -> None:
        """Write the match graph of all images to ``path``. Raises ``ToolError``, ``BadCalibration``."""
        recipe = request.recipe
        message = {
            "command": "match",
            "images": list(request.images),
            "camera_ids": [int(camera_id) for camera_id in request.camera_ids],
            "features": str(request.features),
            "every_pair": len(request.images) <= recipe.exhaustive_up_to,
            "overlap": recipe.overlap,
            "seed": request.seed,
            "cameras": lenses(request.cameras),
            "rig": rig(request.rig),
            "out": str(path),
        }
        contradiction = self._work(message, beside=path, time_limit_s=recipe.time_limit_s, say=say)["rig"]
        if contradiction is not None:
            raise BadCalibration(f"images of one instant: {contradiction}", remedy=RIG_REMEDY)

    def _work(self, message: dict[str, Any], *, beside: Path, time_limit_s: float, say: Say) -> dict[str, Any]:
        """Have a child process do what ``message`` says, with room to work beside what it writes."""
        with tempfile.TemporaryDirectory(dir=beside.parent, prefix=".sfm-") as scratch:
            return run_python_worker(
                WORKER,
                message | {"scratch": scratch, "threads": self.threads},
                folder=Path(scratch),
                time_limit_s=time_limit_s,
                limits=Limits(memory_bytes=self.memory_limit_bytes),
                say=Progress(say),
            )

    def reconstruct(self, request: ReconstructionRequest, folder: Path, *, say: Say) -> Attempt:
        """Write the largest submodel with sane intrinsics to ``folder``.

        ``outcome`` is "model", "failed" (the mapper found none), "crashed", "timeout" or "memory": none raises,
        for another strategy may succeed. Attempts whose folders lie side by side share their matches.
        """
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sfm-") as scratch:
            message = attempt_message(request, folder=folder, scratch=scratch, threads=self.threads)
            finished = watch_child(
                worker_argv(WORKER, message, folder=Path(scratch)),
                time_limit_s=request.recipe.time_limit_s,
                limits=Limits(memory_bytes=self.memory_limit_bytes),
                cwd=Path(scratch),
                say=Progress(say),
            )
            if finished.problem is not None:
                say(f"{request.strategy}: {finished.problem}")
                shutil.rmtree(folder, ignore_errors=True)  # it may have died while it wrote
                return Attempt(
                    registered=0,
                    models=0,
                    rms_px=float("nan"),
                    outcome=fault_of(finished),
                    seconds=finished.seconds,
                    peak_rss_bytes=finished.peak_rss_bytes,
                )
            answer = worker_answer(Path(scratch))
        if answer["registered"] and STRATEGIES[request.strategy].rich:
            _number_anew(folder, request)
        return Attempt(
            registered=answer["registered"],
            models=len(answer["models"]),
            rms_px=rms_px(read_model(folder)) if answer["registered"] else float("nan"),
            outcome="model" if answer["registered"] else "failed",
            seconds=finished.seconds,
            peak_rss_bytes=finished.peak_rss_bytes,
            features=answer["features"],
            linked=answer["linked"],
            flat=answer["flat"],
        )

    def adjust(self, request: AdjustmentRequest, folder: Path, *, say: Say) -> None:
        """Write the refined model to ``folder``. Raises ``ToolError``."""
        message = joined.message(request) | {"out": str(folder)}
        self._work(message, beside=folder, time_limit_s=request.recipe.time_limit_s, say=say)

    def triangulate(self, request: TriangulationRequest, folder: Path, *, say: Say) -> Triangulation:
        """Write a model of the given cameras and poses with points of what the images show to ``folder``.

        Poses and intrinsics stay as they are. Raises ``WrongPoses`` and ``FewPoints`` (see ``resources.posed``),
        ``ToolError``.
        """
        posed.check(request)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sfm-") as scratch:
            message = posed.message(request) | {"out": str(folder), "scratch": scratch, "threads": self.threads}
            finished = run_child(
                worker_argv(WORKER, message, folder=Path(scratch)),
                time_limit_s=request.recipe.time_limit_s,
                limits=Limits(memory_bytes=self.memory_limit_bytes),
                cwd=Path(scratch),
                say=Progress(say),
            )
            answer = worker_answer(Path(scratch))
        posed.judge(answer, request)
        return Triangulation(
            registered=answer["registered"],
            points=answer["points"],
            rms_px=rms_px(read_model(folder)),
            matches=answer["matches"],
            epipolar_px=answer["epipolar_px"],
            contradicted=answer["contradicted"],
            seconds=finished.seconds,
            peak_rss_bytes=finished.peak_rss_bytes,
        )

    def focals(self, request: TriangulationRequest, *, folder: Path, say: Say) -> dict[int, ColmapCamera]:
        """See ``SfmBackend``: ``resources.colmap_focal``."""
        message = posed.message(request) | {"command": "focals"}
        answer = self._work(message, beside=folder / "focals", time_limit_s=request.recipe.time_limit_s, say=say)
        return {
            int(i): ColmapCamera(model="SIMPLE_PINHOLE", width_px=w, height_px=h, params=(focal, w / 2, h / 2))
            for i, (focal, w, h) in answer["focals"].items()
        }

    def refine(self, model: Path, folder: Path, *, time_limit_s: float, say: Say) -> Refinement:
        """Write the model with wider lenses to ``folder`` where that holds: see ``resources.colmap_refine``.

        A child that crashes or takes too long leaves the model as it is: that does not raise.
        """
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sfm-") as scratch:
            message = {"command": "refine", "model": str(model), "out": str(folder), "threads": self.threads}
            finished = watch_child(
                worker_argv(WORKER, message, folder=Path(scratch)),
                time_limit_s=time_limit_s,
                limits=Limits(memory_bytes=self.memory_limit_bytes),
                cwd=Path(scratch),
                say=Progress(say),
            )
            if finished.problem is not None:
                say(f"refining the lens: {finished.problem}")
                shutil.rmtree(folder, ignore_errors=True)
                return Refinement(cameras=(), why=type(finished.problem).__name__)
            answer = worker_answer(Path(scratch))
        return Refinement(
            cameras=tuple(answer["widened"]),
            why=answer["why"],
            narrow_px=answer["narrow_px"],
            wide_px=answer["wide_px"],
        )

    def readjust(self, folder: Path, *, say: Say, time_limit_s: float, free: Sequence[int] = ()) -> None:
        """See ``SfmBackend``: ``resources.colmap_readjust``."""
        message = {"command": "readjust", "model": str(folder), "free": [int(camera_id) for camera_id in free]}
        self._work(message, beside=folder, time_limit_s=time_limit_s, say=say)


def _number_anew(folder: Path, request: ReconstructionRequest) -> None:
    """Have the keypoints of a model with features of its own numbered as the job's are: other windows go by these."""
    model = read_model(folder)
    names = [image.name for image in model.images.values()]
    features = {row.image: row.keypoints[:, :2].astype(np.float64) for row in read_features(request.features, names)}
    write_model(folder, numbered_as(model, features))
