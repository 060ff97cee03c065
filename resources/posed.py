"""What ``ColmapBackend`` asks of its worker for images with known poses, and what it refuses."""

from __future__ import annotations

from typing import Any

from resources.features import image_sizes
from resources.lenses import lenses
from splat_pipeline.domain.epipolar import check_rigid
from splat_pipeline.domain.errors import FewPoints, WrongPoses
from splat_pipeline.ports.sfm import TriangulationRequest

LEAST_POINTS = 100
"""Fewer are no scene: a training does better on random ones."""


def check(request: TriangulationRequest) -> None:
    """Refuse what cannot be right before any image is matched.

    Raises ``WrongPoses`` where a pose is not rigid or a camera is not of its image's size, ``MissingArtifact``.
    """
    check_rigid(request.images, request.cams_from_world)
    sizes = image_sizes(request.features, request.images)
    for image, camera_id in zip(request.images, request.camera_ids, strict=True):
        camera = request.cameras[camera_id]
        if sizes[image] != (camera.width_px, camera.height_px):
            got, said = "x".join(map(str, sizes[image])), f"{camera.width_px}x{camera.height_px}"
            raise WrongPoses(f"{image} has {got} px, its intrinsics are of {said} px", file=image)


def message(request: TriangulationRequest) -> dict[str, Any]:
    """Return the request in JSON, as ``colmap_posed.triangulate`` reads it."""
    return {
        "command": "triangulate",
        "folder": str(request.folder),
        "images": list(request.images),
        "camera_ids": [int(camera_id) for camera_id in request.camera_ids],
        "cameras": lenses(request.cameras),
        "cams_from_world": request.cams_from_world.tolist(),
        "features": str(request.features),
        "every_pair": len(request.images) <= request.recipe.exhaustive_up_to,
        "overlap": request.recipe.overlap,
        "seed": request.seed,
        "least_points": LEAST_POINTS,
    }


def judge(answer: dict[str, Any], request: TriangulationRequest) -> None:
    """Raise what the worker's answer amounts to: ``WrongPoses``, ``FewPoints``, or nothing."""
    where = str(request.folder)
    if not answer["matches"]:
        raise FewPoints(f"no two of {len(request.images)} images show enough of the same", file=where)
    if answer["contradiction"]:
        raise WrongPoses(answer["contradiction"], file=where)
    if answer["points"] < LEAST_POINTS:
        raise FewPoints(
            f"{answer['points']} points from {answer['matches']} matches (median epipolar error "
            f"{answer['epipolar_px']:.1f} px), {LEAST_POINTS} are needed",
            file=where,
        )
