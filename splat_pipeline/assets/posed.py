"""Poses that do not come from structure from motion: asked for, held against the images, and given points."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from splat_pipeline.assets.givens import read_given
from splat_pipeline.assets.known import known_cameras, read_known
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.clip_poses import at_frames
from splat_pipeline.domain.errors import FewPoints, NoReconstruction, WrongPoses
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapModel, read_model, write_model
from splat_pipeline.domain.given import GivenPoses, frames_of, of_keyframes, resized, without
from splat_pipeline.domain.poses import rms_px
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.windows import Window, plan_windows
from splat_pipeline.ports.sfm import SfmBackend, Triangulation, TriangulationRequest
from splat_pipeline.ports.sources import PoseRequest, PoseSource, PoseSources

IMAGES = "images"
CONFIDENCE = "confidence.json"
"""Beside a model whose poses were given: what the source said, by image."""
LEAST_POSES = 3
LEAST_SEEN = 30
"""Points that an image must see whose pose was refined: COLMAP's own bound for a pose."""
CONTRADICTED, FEW_POINTS = "contradicted", "few points"
GIVEN = "given-"


def is_given(strategy: str) -> bool:
    """Say whether the strategy of an attempt is that poses were given."""
    return strategy.startswith(GIVEN)


def source_of(source_videos: Path, recipe: PoseRecipe) -> str | None:
    """Return the name of the source whose poses the job takes; None where they are found by structure from motion.

    ``source_videos``: folder of the artifact. ``recipe``: the job's.
    """
    manifest = json.loads((source_videos / "manifest.json").read_text())
    if recipe.source == "external":
        return recipe.backend
    given = manifest.get("given")
    return given["source"] if given and recipe.source != "sfm" else None


def windows_of(keyframes: pd.DataFrame, source_videos: Path, recipe: PoseRecipe) -> list[Window]:
    """Return what is reconstructed together: with given poses, or a rig whose clips belong together, everything."""
    windows = plan_windows(keyframes, recipe)
    known = read_known(source_videos)
    together = source_of(source_videos, recipe) is not None or (known is not None and known.rig)
    if not together or not windows:
        return windows
    return [Window(window_id=0, first=windows[0].first, stop=windows[-1].stop)]


def given_attempt(
    work: Work, keyframes: pd.DataFrame, sfm: SfmBackend, sources: PoseSources, folder: Path
) -> dict[str, Any] | None:
    """Return the row of ``tables.ATTEMPTS`` of what given poses led to; None where there are none.

    The model lies in ``folder``. Poses that contradict the images are a failed attempt while ``poses.source``
    is auto, so that structure from motion may follow; else they raise ``WrongPoses`` or ``FewPoints``.
    """
    name = source_of(work.input("source_videos"), work.recipe.poses)
    if name is None:
        return None
    strategy = f"{GIVEN}{name}"
    try:
        model, found = _triangulated(work, keyframes, sfm, sources.named(name), folder)
    except (WrongPoses, FewPoints) as error:
        if work.recipe.poses.source != "auto":
            raise
        work.log(f"{strategy}: {type(error).__name__}: {error.cause}; the cameras are looked for without these poses")
        outcome = CONTRADICTED if isinstance(error, WrongPoses) else FEW_POINTS
        return _row(strategy, outcome, registered=0, rms=float("nan"), found=None)
    work.log(f"{strategy}: {len(model.images)} of {len(keyframes)} images agree with their poses")
    return _row(strategy, "model", registered=len(model.images), rms=rms_px(model), found=found)


def _row(strategy: str, outcome: str, *, registered: int, rms: float, found: Triangulation | None) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "registered": registered,
        "models": 1 if registered else 0,
        "rms_px": rms,
        "outcome": outcome,
        "seconds": found.seconds if found else 0.0,
        "peak_rss_bytes": found.peak_rss_bytes if found else 0,
    }


def _triangulated(
    work: Work, keyframes: pd.DataFrame, sfm: SfmBackend, source: PoseSource, folder: Path
) -> tuple[ColmapModel, Triangulation]:
    given = source.poses(request_of(work, keyframes), say=work.log)
    for line in given.warnings:
        work.log(line)
    request = triangulation_of(work, keyframes, given)
    if unknown := set(request.camera_ids) - set(request.cameras):
        work.log(f"{given.source} knows no lens of {len(unknown)} cameras")
        lenses = known_cameras(work, keyframes)["cameras"]
        request = replace(request, cameras={**{i: lenses[i] for i in unknown if i in lenses}, **request.cameras})
    guessed = sorted(set(request.camera_ids) - set(request.cameras))
    if guessed:
        request = replace(
            request, cameras={**request.cameras, **sfm.focals(request, folder=folder.parent, say=work.log)}
        )
    found = sfm.triangulate(request, folder, say=work.log)
    if work.recipe.poses.refine:
        sfm.readjust(folder, say=work.log, time_limit_s=work.recipe.poses.time_limit_s, free=guessed)
    model = read_model(folder)
    refined = work.recipe.poses.refine
    wrong = set() if refined else set(found.contradicted)  # what was wrong may be right by now, and sees points then
    least = LEAST_SEEN if refined else 1
    blind = {image.name for image in model.images.values() if (image.point3d_ids >= 0).sum() < least}
    kept = without(model, wrong | blind)
    if len(kept.images) < len(model.images):
        work.log(f"{len(wrong)} images contradict their poses, {len(blind - wrong)} others see no points: left out")
        write_model(folder, kept)
    told = {frame.name: frame.confidence for frame in given.frames if frame.confidence is not None}
    (folder / CONFIDENCE).write_text(json.dumps(told))
    return kept, found


def told_confidence(local_reconstructions: Path, keyframes: pd.DataFrame) -> list[float]:
    """Return how sure the source of given poses was of each of ``keyframes``; 1 where it did not say, or none was."""
    told: dict[str, float] = {}
    for path in (local_reconstructions / "windows").glob(f"*/{CONFIDENCE}"):
        told.update(json.loads(path.read_text()))
    return [float(told.get(file.removeprefix(f"{IMAGES}/"), 1.0)) for file in keyframes["file"]]


def request_of(work: Work, keyframes: pd.DataFrame) -> PoseRequest:
    """Return what a source is asked: the keyframes, and what came with the upload."""
    uploaded = read_given(work.input("source_videos"))
    return PoseRequest(
        folder=work.input("keyframes") / IMAGES,
        images=[file.removeprefix(f"{IMAGES}/") for file in keyframes["file"]],
        camera_ids=keyframes["camera_id"].tolist(),
        sizes=list(zip(keyframes["width_px"].tolist(), keyframes["height_px"].tolist(), strict=True)),
        times_s=keyframes["pts_s"].tolist(),
        uploaded=None if uploaded is None else _uploaded(work, keyframes, *uploaded),
        time_limit_s=work.recipe.poses.time_limit_s,
        seed=work.recipe.seed,
    )


def _uploaded(work: Work, keyframes: pd.DataFrame, rows: pd.DataFrame, lenses: dict[int, ColmapCamera]) -> GivenPoses:
    """Return the uploaded poses of ``keyframes``, named as these, with their cameras and the size of their images."""
    mine = of_keyframes(at_frames(rows, keyframes), keyframes)
    by_id = keyframes.set_index("keyframe_id")
    cameras: dict[int, ColmapCamera] = {}
    frames = []
    for keyframe_id, frame in zip(mine["keyframe_id"], frames_of(mine), strict=True):
        row = by_id.loc[keyframe_id]
        camera_id, lens = int(row["camera_id"]), lenses[frame.camera_id]
        if camera_id not in cameras:
            try:
                cameras[camera_id] = resized(lens, int(row["width_px"]), int(row["height_px"]))
            except ValueError as error:
                raise WrongPoses(f"{frame.name}: its intrinsics do not fit it: {error}", file=frame.name) from None
        name = str(row["file"]).removeprefix(f"{IMAGES}/")
        frames.append(replace(frame, name=name, camera_id=camera_id))
    source = json.loads((work.input("source_videos") / "manifest.json").read_text())["given"]["source"]
    return GivenPoses(source=source, cameras=cameras, frames=frames)


def triangulation_of(work: Work, keyframes: pd.DataFrame, given: GivenPoses) -> TriangulationRequest:
    """Return what is asked of the SfM backend. Raises ``NoReconstruction`` with fewer than ``LEAST_POSES`` poses."""
    if len(given.frames) < LEAST_POSES:
        raise NoReconstruction(f"{given.source} gave {len(given.frames)} poses for {len(keyframes)} images")
    return TriangulationRequest(
        folder=work.input("keyframes") / IMAGES,
        images=[frame.name for frame in given.frames],
        camera_ids=[frame.camera_id for frame in given.frames],
        cameras=given.cameras,
        cams_from_world=np.stack([frame.cam_from_world for frame in given.frames]),
        features=work.input("features") / "features",
        recipe=work.recipe.poses,
        seed=work.recipe.seed,
    )
