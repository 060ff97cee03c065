"""The cameras in the frame of reference that the splat is delivered in: a COLMAP model, and a ``transforms.json``.

SfM has a world of its own; ``world_from_sfm`` of ``frame_of_reference.json`` takes it to the delivered one (-y up).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from splat_pipeline.domain.formats.colmap import ColmapImage, ColmapModel, write_model
from splat_pipeline.domain.formats.transforms import transforms_of
from splat_pipeline.domain.rigid import Similarity, quat_from_rotation, rigid, rotation_from_quat

COLMAP, TRANSFORMS = "colmap", "transforms"


def moved(model: ColmapModel, world_from_sfm: Similarity) -> ColmapModel:
    """Return ``model`` with poses and points in the target's world; what the images show of it does not change."""
    return ColmapModel(
        cameras=model.cameras,
        images={number: _moved(image, world_from_sfm) for number, image in model.images.items()},
        points=replace(model.points, xyz=world_from_sfm.points(model.points.xyz)),
    )


def write_cameras(folder: Path, model: ColmapModel, world_from_sfm: Similarity, *, kinds: Sequence[str]) -> list[str]:
    """Write ``folder/colmap/*.bin`` and ``folder/transforms.json``, of ``kinds``; return the names of the files."""
    delivered = moved(model, world_from_sfm)
    names = []
    if COLMAP in kinds:
        (folder / COLMAP).mkdir()
        write_model(folder / COLMAP, delivered)
        names += [f"{COLMAP}/{name}.bin" for name in ("cameras", "images", "points3D")]
    if TRANSFORMS in kinds:
        (folder / "transforms.json").write_text(json.dumps(transforms_of(delivered), indent=1))
        names.append("transforms.json")
    return names


def _moved(image: ColmapImage, world_from_sfm: Similarity) -> ColmapImage:
    pose = world_from_sfm.pose(rigid(rotation_from_quat(image.quat), image.translation))
    return replace(image, quat=quat_from_rotation(pose[:3, :3]), translation=pose[:3, 3])
