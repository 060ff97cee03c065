"""Focal lengths of cameras whose images have known poses. In the worker's child process only."""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc

from resources.colmap_database import Request, fill, match, say
from resources.features import image_sizes
from splat_pipeline.domain.focal import MatchedPair, focal_px
from splat_pipeline.domain.pairs import sequence_pairs
from splat_pipeline.domain.rigid import inverse

NEIGHBOURS = 6
"""Images that each one is matched with: enough for a number a camera."""


def focals(request: Request) -> dict[str, Any]:
    """Match neighbours and return the focal length in px of each camera that has no lens in ``cameras``."""
    poses, ids = np.array(request["cams_from_world"]), request["camera_ids"]
    database = Path(request["scratch"]) / "focal.db"
    fill(database, request)
    match(database, request, near=sequence_pairs(len(poses), NEIGHBOURS), far=set())
    sizes = image_sizes(Path(request["features"]), request["images"])
    pairs: dict[int, list[MatchedPair]] = {}
    with pc.Database.open(database) as db:
        for pair_id, geometry in zip(*db.read_two_view_geometries(), strict=True):
            i, j = (image_id - 1 for image_id in pc.pair_id_to_image_pair(pair_id))
            chosen = geometry.inlier_matches
            if ids[i] == ids[j] and len(chosen):
                a, b = (db.read_keypoints(at + 1)[:, :2].astype(float) for at in (i, j))
                middle = np.array(sizes[request["images"][i]]) / 2
                pair = MatchedPair(
                    a=a[chosen[:, 0]] - middle, b=b[chosen[:, 1]] - middle, b_from_a=poses[j] @ inverse(poses[i])
                )
                pairs.setdefault(ids[i], []).append(pair)
    known = {camera_id for camera_id, _ in request["cameras"]}
    found = {}
    for camera_id in sorted(set(ids) - known):
        width, height = sizes[request["images"][ids.index(camera_id)]]
        found[str(camera_id)] = [focal_px(pairs.get(camera_id, []), max(width, height)), width, height]
        say(f"camera {camera_id}: a focal length of {found[str(camera_id)][0]:.0f} px fits the poses best")
    return {"focals": found}
