"""The match graph of a job, from COLMAP's database and back into one. In the worker's child process only."""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc

from resources.colmap_database import Descriptors, Pairs, Request, fill, known_cameras, match, say
from resources.features import segment_of
from splat_pipeline.domain.epipolar import overall, pair_agreement
from splat_pipeline.domain.matches import MatchedPair, read_pairs, write_pairs
from splat_pipeline.domain.pairs import (
    all_pairs,
    appearance,
    instant_pairs,
    loop_pairs,
    sequence_pairs,
    similar_pairs,
)
from splat_pipeline.domain.rigid import inverse

RIG_AFTER = 2
"""Instants after its own whose images of other cameras an image of a rig is matched with."""
LOOP_APART = 4
"""Overlaps between two images of a loop: nearer look-alikes would crowd out every true one."""


def match_graph(request: Request) -> dict[str, Any]:
    """Match all images of a job and write ``request["out"]``: every pair tried, with what was verified."""
    database = Path(request["scratch"]) / "matching.db"
    near, far = plan_pairs(request, fill(database, request))
    match(database, request, near=near, far=far)
    write_pairs(Path(request["out"]), _matched(database, request, near, far))
    return {"near": len(near), "far": len(far), "rig": _against_rig(database, request)}


def _against_rig(database: Path, request: Request) -> str | None:
    """Return how matches between images of one instant contradict the rig; None where they do not, or there is none."""
    rig = request.get("rig")
    if rig is None:
        return None
    ids, images = request["camera_ids"], request["images"]
    poses = {camera_id: np.array(pose) for camera_id, pose in rig["cams_from_rig"]}
    cameras = known_cameras(request)
    found = {}
    with pc.Database.open(database) as db:
        for i, j in sorted(instant_pairs(rig["instants"], after=0)):
            if not db.exists_two_view_geometry(i + 1, j + 1):
                continue
            chosen = db.read_two_view_geometry(i + 1, j + 1).inlier_matches
            lenses = [cameras[ids[at]] for at in (i, j)]
            seen = [db.read_keypoints(at + 1)[chosen[:, side], :2].astype(float) for side, at in enumerate((i, j))]
            rays = lenses[0].cam_from_img(seen[0]), lenses[1].cam_from_img(seen[1])
            focal_px = (lenses[0].mean_focal_length() + lenses[1].mean_focal_length()) / 2
            b_from_a = poses[ids[j]] @ inverse(poses[ids[i]])
            found[images[i], images[j]] = pair_agreement(rays, b_from_a, focal_px)
    agreement = overall(found)
    say(f"rig: {agreement.matches} matches of one instant, median epipolar error {agreement.error_px:.2f} px")
    return agreement.contradiction(max(max(camera.width, camera.height) for camera in cameras.values()))


def plan_pairs(request: Request, looks: list[Descriptors]) -> tuple[Pairs, Pairs]:
    """Return the pairs to match: neighbours and, for long sequences, views that look alike."""
    images, overlap = request["images"], request["overlap"]
    if request["every_pair"]:
        return all_pairs(len(images)), set()
    together = instant_pairs(request["rig"]["instants"], after=RIG_AFTER) if request.get("rig") else set()
    near = sequence_pairs(len(images), overlap) | together
    groups = [segment_of(name) for name in images]
    alike = appearance(looks, seed=request["seed"])
    loops = max(1, overlap // 5)
    far = similar_pairs(alike, groups, overlap=overlap, each=max(2, overlap // 2 - loops))
    return near, (far | loop_pairs(alike, apart=LOOP_APART * overlap, each=loops)) - near


def prepare(database: Path, request: Request) -> None:
    """Fill a database for the mappers: from the graph where there is one; what else is to be matched, is."""
    if request["graph"] is None:
        near, far = plan_pairs(request, fill(database, request))
        match(database, request, near=near, far=far)
        return
    looks = fill(database, request, descriptors=request["descriptors"])
    tried = take(database, request)
    if request["match_more"]:
        near, far = plan_pairs(request, looks)
        match(database, request, near=near - tried, far=far - tried)


def take(database: Path, request: Request) -> Pairs:
    """Copy the verified matches of ``request["images"]`` from the graph, but those ``left_out``.

    Returns all pairs that were tried.
    """
    positions = {name: i for i, name in enumerate(request["images"])}
    left_out = {tuple(pair) for pair in request.get("left_out", [])}
    tried: Pairs = set()
    with pc.Database.open(database) as db, pc.DatabaseTransaction(db):
        for pair in read_pairs(Path(request["graph"]), positions):
            i, j = positions[pair.first], positions[pair.second]
            tried.add((i, j))
            if pair.inliers and (pair.first, pair.second) not in left_out:
                db.write_matches(i + 1, j + 1, pair.matches)
                db.write_two_view_geometry(i + 1, j + 1, _geometry(pair))
    say(f"{len(tried)} pairs taken from the match graph")
    return tried


def _geometry(pair: MatchedPair) -> pc.TwoViewGeometry:
    geometry = pc.TwoViewGeometry()
    geometry.config = int(getattr(pc.TwoViewGeometryConfiguration, pair.config or "UNDEFINED"))
    geometry.inlier_matches = pair.matches
    if pair.geometry is not None:
        for name, matrix in zip("FEH", pair.geometry, strict=True):
            if np.isfinite(matrix).all():
                setattr(geometry, name, matrix)
    if pair.second_from_first is not None:
        geometry.cam2_from_cam1 = pc.Rigid3d(pair.second_from_first)
    return geometry


def _matched(database: Path, request: Request, near: Pairs, far: Pairs) -> Iterator[MatchedPair]:
    images = request["images"]
    with pc.Database.open(database) as db:
        for i, j in sorted(near | far):
            named = {"first": images[i], "second": images[j], "far": (i, j) in far}
            found = db.read_two_view_geometry(i + 1, j + 1) if db.exists_two_view_geometry(i + 1, j + 1) else None
            if found is None or not len(found.inlier_matches):
                yield MatchedPair(**named, matches=np.zeros((0, 2), np.uint32))
                continue
            pose = found.cam2_from_cam1
            yield MatchedPair(
                **named,
                matches=found.inlier_matches,
                config=pc.TwoViewGeometryConfiguration(int(found.config)).name,
                geometry=np.stack([np.full((3, 3), np.nan) if m is None else m for m in (found.F, found.E, found.H)]),
                second_from_first=None if pose is None else pose.matrix(),
            )
