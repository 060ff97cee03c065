"""What an attempt shows of its images, and what rescue attempts do otherwise. In the worker's child process only."""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc

from resources.colmap_database import Request, alias, match, say
from resources.features import read_features, segment_of
from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.pairs import appearance, gap_pairs, sampled, similar_pairs

REACH = 4
"""Times the overlap: how far around a missing image all others are matched with it."""
FLAT = {
    pc.TwoViewGeometryConfiguration.PLANAR,
    pc.TwoViewGeometryConfiguration.PANORAMIC,
    pc.TwoViewGeometryConfiguration.PLANAR_OR_PANORAMIC,
}


def evidence(database: Path, request: Request) -> dict[str, Any]:
    """Return features, linked and flat: see ``splat_pipeline.domain.rescue.Evidence``."""
    groups = [segment_of(name) for name in request["images"]]
    neighbours = {(i, i + 1) for i in range(len(groups) - 1) if groups[i] == groups[i + 1]}
    with pc.Database.open(database) as db:
        counts = [db.num_keypoints_for_image(i + 1) for i in range(len(groups))]
        verified = _verified(db)
    flat = sum(config in FLAT for _, config in verified.values())
    return {
        "features": float(np.median(counts)),
        "linked": len(neighbours & verified.keys()) / len(neighbours) if neighbours else None,
        "flat": flat / len(verified) if verified else None,
    }


def _verified(db: pc.Database) -> dict[tuple[int, int], tuple[int, Any]]:
    """Return inliers and kind of geometry of each pair of positions that has any."""
    found = {}
    for pair_id, geometry in zip(*db.read_two_view_geometries(), strict=True):
        if len(geometry.inlier_matches):
            first, second = sorted(image_id - 1 for image_id in pc.pair_id_to_image_pair(pair_id))
            found[first, second] = (len(geometry.inlier_matches), geometry.config)
    return found


def another_start(database: Path, images: int) -> tuple[int, int] | None:
    """Return the image ids of the pair with parallax and most inliers in the second half: elsewhere than the first."""
    with pc.Database.open(database) as db:
        verified = _verified(db)
    able = {pair: n for pair, (n, config) in verified.items() if config not in FLAT and pair[0] >= images // 2}
    best = max(able, key=lambda pair: (able[pair], pair), default=None)
    return None if best is None else (best[0] + 1, best[1] + 1)


def prepare_join(database: Path, request: Request) -> Path:
    """Match what the model ``request["start"]`` lacks with more images; return that model, by the database's names."""
    model = pc.Reconstruction(request["start"])
    images = request["images"]
    have = {model.image(image_id).name for image_id in model.reg_image_ids()}
    lost = {i for i, name in enumerate(images) if name not in have}
    _check_keypoints(model, database)
    near = gap_pairs(lost, len(images), REACH * request["overlap"])
    looks = {row.image: sampled(row.descriptors) for row in read_features(Path(request["features"]), images)}
    alike = appearance([looks[name] for name in images], seed=request["seed"])
    groups = [segment_of(name) for name in images]
    far = similar_pairs(alike, groups, overlap=request["overlap"], each=2 * request["overlap"])
    far = {pair for pair in far if lost & set(pair)} - near
    say(f"{len(lost)} images are missing from the model")
    match(database, request, near=near, far=far)
    for image in model.images.values():
        image.name = alias(image.image_id)
    start = Path(request["scratch"]) / "start"
    start.mkdir()
    model.write_binary(start)
    return start


def _check_keypoints(model: pc.Reconstruction, database: Path) -> None:
    """Raise ``CorruptArtifact`` for a model of other features: matches would be taken for those of other points."""
    with pc.Database.open(database) as db:
        for image_id in model.reg_image_ids():
            image = model.image(image_id)
            if image.num_points2D() != db.num_keypoints_for_image(image_id):
                raise CorruptArtifact(f"the model of {image.name} was made of other features", file=image.name)
