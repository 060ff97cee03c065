"""Points for images whose poses are known. In the worker's child process only."""

from __future__ import annotations

import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc
from numpy.typing import NDArray

from resources.colmap_database import Pairs, Request, fill, framed, known_cameras, match, rig_of, say, write_named
from splat_pipeline.domain.epipolar import Agreement, PairAgreement, overall, pair_agreement
from splat_pipeline.domain.pairs import all_pairs, posed_pairs, sequence_pairs
from splat_pipeline.domain.rigid import inverse

Float = NDArray[np.float64]

STRICT_PX = 4.0
"""COLMAP's own bound on reprojection errors."""
NOISE_BOUNDS = 3.0
"""Times the median epipolar error: poses of phones and aircraft are not as exact as COLMAP's."""
LISTED = 2
"""Next ones in the list are matched whatever the poses say: they tell on wrong poses."""


def triangulate(request: Request) -> dict[str, Any]:
    """Match, hold the matches against the poses, triangulate what agrees and write the model.

    Where the poses contradict the images, the answer says how in ``contradiction``. Nothing is written then, nor with
    fewer points than ``least_points``.
    """
    poses = np.array(request["cams_from_world"])
    database = Path(request["scratch"]) / "posed.db"
    fill(database, request)
    match(database, request, near=_pairs(request, poses), far=set())
    cameras = known_cameras(request)
    longer_side_px = max(max(camera.width, camera.height) for camera in cameras.values())
    agreement = overall(dict(_agreements(database, request, poses, cameras)))
    outliers = agreement.outliers(longer_side_px)
    answer: dict[str, Any] = {
        "matches": agreement.matches,
        "epipolar_px": agreement.error_px,
        "contradicted": list(outliers),
        "contradiction": agreement.contradiction(longer_side_px),
    }
    say(f"{agreement.matches} matches, median epipolar error {agreement.error_px:.2f} px")
    if outliers:
        say(f"the poses of {len(outliers)} images do not agree with the others, e.g. {outliers[0]}")
    if not agreement.matches or answer["contradiction"]:
        return answer
    model = _triangulated(database, request, _posed(request, poses, cameras), agreement)
    seeing = sum(image.num_points3D > 0 for image in model.images.values())
    say(f"{model.num_points3D()} points, seen by {seeing} images")
    if model.num_points3D() >= request["least_points"]:
        write_named(model, Path(request["out"]), request)
    return {**answer, "points": model.num_points3D(), "registered": seeing}


def _pairs(request: Request, poses: Float) -> Pairs:
    if request["every_pair"]:
        return all_pairs(len(poses))
    return posed_pairs(poses, each=2 * request["overlap"]) | sequence_pairs(len(poses), LISTED)


def _agreements(
    database: Path, request: Request, poses: Float, cameras: dict[int, pc.Camera]
) -> list[tuple[tuple[str, str], PairAgreement]]:
    """Hold each pair's matches, verified without the poses, against them."""
    images, found = request["images"], []
    lenses = [cameras[camera_id] for camera_id in request["camera_ids"]]
    with pc.Database.open(database) as db:
        rays = [lens.cam_from_img(db.read_keypoints(i + 1)[:, :2].astype(float)) for i, lens in enumerate(lenses)]
        for pair_id, geometry in zip(*db.read_two_view_geometries(), strict=True):
            i, j = (image_id - 1 for image_id in pc.pair_id_to_image_pair(pair_id))
            chosen = geometry.inlier_matches
            if len(chosen):
                matched = (rays[i][chosen[:, 0]], rays[j][chosen[:, 1]])
                focal_px = (lenses[i].mean_focal_length() + lenses[j].mean_focal_length()) / 2
                agreement = pair_agreement(matched, poses[j] @ inverse(poses[i]), focal_px)
                found.append(((images[i], images[j]), agreement))
    return found


def _posed(request: Request, poses: Float, cameras: dict[int, pc.Camera]) -> pc.Reconstruction:
    """Return a model without points, by the ids of the database."""
    model = pc.Reconstruction()
    for camera in cameras.values():
        model.add_camera(camera)
        model.add_rig(rig_of(camera))
    for position, (camera_id, pose) in enumerate(zip(request["camera_ids"], poses, strict=True)):
        image, frame = framed(position + 1, camera_id)
        image.frame_id = frame.frame_id
        frame.rig_from_world = pc.Rigid3d(pose[:3])
        model.add_frame(frame)
        model.add_image(image)
        model.register_frame(frame.frame_id)
    return model


def _triangulated(
    database: Path, request: Request, model: pc.Reconstruction, agreement: Agreement
) -> pc.Reconstruction:
    """Verify all matches anew by the poses, make points, refine points only, drop bad observations.

    ``pycolmap.triangulate_points`` holds poses and intrinsics fixed in its bundle adjustment.
    """
    bound_px = max(STRICT_PX, NOISE_BOUNDS * agreement.error_px)
    verification = pc.TwoViewGeometryOptions()
    verification.ransac.max_error = bound_px
    verification.ransac.random_seed = request["seed"]
    pairing = pc.ExistingMatchedPairingOptions()
    pc.guided_geometric_verification(model, database, pairing, verification, request["threads"])
    options = pc.IncrementalPipelineOptions(num_threads=request["threads"], random_seed=request["seed"])
    options.extract_colors = False  # the images go by aliases until the end
    options.mapper.filter_max_reproj_error = bound_px
    options.triangulation.merge_max_reproj_error = options.triangulation.complete_max_reproj_error = bound_px
    options.triangulation.ignore_two_view_tracks = len(request["images"]) > 2
    work = Path(request["scratch"]) / "posed"
    return pc.triangulate_points(model, database, request["folder"], work, options=options)
