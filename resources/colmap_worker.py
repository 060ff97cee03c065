"""What runs pycolmap: ``python -P -m resources.colmap_worker request.json``, always a child process.

Its native code aborts the process on errors in threads, and its module exports zlib's symbols: zlib comes first.
Nothing but this module and what it alone imports (the other ``colmap_`` modules) may import pycolmap.
"""

from __future__ import annotations

import json
import shutil
import sys
import zlib  # noqa: F401  # before pycolmap, or gzip and PNG break: see docs/lab-notes.md
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap as pc

from resources.colmap_database import Request, known_cameras, say, write_named
from resources.colmap_focal import focals
from resources.colmap_joined import adjust
from resources.colmap_known import hold
from resources.colmap_matches import match_graph, prepare
from resources.colmap_posed import triangulate
from resources.colmap_readjust import readjust
from resources.colmap_refine import refine
from resources.colmap_rescue import another_start, evidence, prepare_join
from resources.colmap_strays import drop_strays
from resources.features import ImageFeatures, segment_of, write_features
from splat_pipeline.domain.errors import CorruptArtifact

FOCAL_RANGE = (0.3, 3.0)
"""Times the longer side: outside, a reconstruction is junk."""
MAX_DISTORTION = 0.5
CONVERGED = 1e-8
"""Relative change of an adjustment's cost at which the global mapper ends it. COLMAP's 1e-5 is on the way: a long bend
costs next to nothing, and 200 frames end ten times farther off (docs/lab-notes.md)."""
JOINED_BY = (12, 0.15)
"""Inliers, and share of inliers, with which an image joins a model that is known to be good."""
LEAST_PART = 5
"""Images: smaller models are often junk."""
WEAKER = 0.4
"""Times COLMAP's threshold, when features were few."""


def extract(request: Request) -> dict[str, Any]:
    """Find SIFT features and write one Parquet file a segment."""
    folder, out, scratch = (Path(request[key]) for key in ("folder", "out", "scratch"))
    segments: dict[str, list[str]] = {}
    for image in request["images"]:
        segments.setdefault(segment_of(image), []).append(image)
    counts: dict[str, int] = {}
    for segment, images in segments.items():
        database = scratch / f"{segment}.db"
        say(f"finding features in {len(images)} images of {segment}")
        pc.extract_features(
            database, folder, images, pc.CameraMode.PER_IMAGE, extraction_options=_sift(request), device=pc.Device.cpu
        )
        with pc.Database.open(database) as db:
            write_features(out / f"{segment}.parquet", _counted(_extracted(db, images), counts))
        database.unlink()
    return {"features": counts}


def _counted(rows: Iterator[ImageFeatures], counts: dict[str, int]) -> Iterator[ImageFeatures]:
    for row in rows:
        counts[row.image] = len(row.keypoints)
        yield row


def _sift(request: Request) -> pc.FeatureExtractionOptions:
    options = pc.FeatureExtractionOptions()
    options.num_threads, options.use_gpu = request["threads"], False
    options.max_image_size = request["longer_side_px"]
    options.sift.max_num_features = request["max_features"]
    if request["rich"]:
        options.sift.peak_threshold *= WEAKER
        options.sift.estimate_affine_shape = True
    return options


def _extracted(db: pc.Database, images: list[str]) -> Iterator[ImageFeatures]:
    """Read back what was found. A bad image is only a log line in COLMAP: names are compared with the list."""
    found = {image.name: image for image in db.read_all_images()}
    for name in images:
        if name not in found:
            raise CorruptArtifact(f"{name} could not be read as an image", file=name)
        image = found[name]
        camera = db.read_camera(image.camera_id)
        keypoints = db.read_keypoints(image.image_id)
        yield ImageFeatures(
            image=name,
            width_px=camera.width,
            height_px=camera.height,
            keypoints=keypoints.reshape(-1, 6),
            descriptors=db.read_descriptors(image.image_id).data.reshape(-1, 128),
        )


def reconstruct(request: Request) -> dict[str, Any]:
    """Match (or take matches that another attempt left), map, and write the largest sane submodel."""
    scratch, out = Path(request["scratch"]), Path(request["out"])
    matches = Path(request["matches"])
    if request["rich"]:
        request = request | {"features": str(scratch / "features")}
        Path(request["features"]).mkdir()
        extract(request | {"out": request["features"]})
    if not matches.is_file():
        fresh = scratch / "matching.db"
        prepare(fresh, request)
        fresh.replace(matches)
    database = scratch / "mapping.db"
    shutil.copyfile(matches, database)  # the view graph calibration edits it
    seen = evidence(database, request)
    found = {
        key: mended(model, database, request) for key, model in MAPPERS[request["mapper"]](database, request).items()
    }
    database.unlink()
    models = sorted(found.values(), key=lambda model: -model.num_reg_images())
    say(f"models of {[model.num_reg_images() for model in models]} images")
    known = known_cameras(request)
    chosen = next((model for model in models if _is_sane(model, known)), None)
    if chosen is not None:
        hold(chosen, known, request)
        write_named(chosen, out, request)
        _write_parts([model for model in models if model is not chosen and _is_sane(model, known)], request)
    return {
        "models": [model.num_reg_images() for model in models],
        "registered": 0 if chosen is None else chosen.num_reg_images(),
        **seen,
    }


def mended(model: pc.Reconstruction, database: Path, request: Request) -> pc.Reconstruction:
    """Return a model without strays: the incremental mapper tries to find their place by what is left of the model."""
    if not drop_strays(model):
        return model
    start = Path(request["scratch"]) / "without-strays"
    shutil.rmtree(start, ignore_errors=True)
    start.mkdir()
    model.write_binary(start)
    options = _incremental_options(request)
    found = pc.incremental_mapping(database, request["folder"], _models(request), options, input_path=start)
    for each in found.values():
        drop_strays(each)
    best = max(found.values(), key=lambda each: each.num_reg_images(), default=model)
    return best if best.num_reg_images() > model.num_reg_images() else model


def _write_parts(models: Sequence[pc.Reconstruction], request: Request) -> None:
    """Write the other models; those of features found anew fit nobody else's matches and are not asked for."""
    for i, model in enumerate(models):
        if request["parts"] and model.num_reg_images() >= LEAST_PART:
            write_named(model, Path(request["parts"]) / str(i), request)


def _map_global(database: Path, request: Request) -> dict[int, pc.Reconstruction]:
    if set(request["camera_ids"]) - set(known_cameras(request)):
        pc.calibrate_view_graph(database, pc.ViewGraphCalibrationOptions(random_seed=request["seed"]))
    options = pc.GlobalPipelineOptions(num_threads=request["threads"], random_seed=request["seed"])
    options.min_model_size = request["min_model_size"]
    options.mapper.bundle_adjustment.ceres.solver_options.function_tolerance = CONVERGED
    return dict(pc.global_mapping(database, request["folder"], _models(request), options))


def _incremental_options(request: Request) -> pc.IncrementalPipelineOptions:
    options = pc.IncrementalPipelineOptions(num_threads=request["threads"], random_seed=request["map_seed"])
    options.extract_colors = False  # the images go by aliases until the end
    options.constant_cameras = set(known_cameras(request))
    options.ba_refine_sensor_from_rig = False
    options.min_model_size = request["min_model_size"]
    return options


def _map_incremental(database: Path, request: Request) -> dict[int, pc.Reconstruction]:
    options = _incremental_options(request)
    if request["loose"]:
        options.mapper.init_min_tri_angle = 8.0
        options.mapper.init_min_num_inliers = 60
        options.mapper.abs_pose_min_num_inliers = 20
    if request["other"] and (pair := another_start(database, len(request["images"]))) is not None:
        options.init_image_id1, options.init_image_id2 = pair
    start: Path | str = ""
    if request["start"]:
        start = prepare_join(database, request)
        options.mapper.abs_pose_min_num_inliers, options.mapper.abs_pose_min_inlier_ratio = JOINED_BY
    return dict(pc.incremental_mapping(database, request["folder"], _models(request), options, input_path=start))


MAPPERS: dict[str, Callable[[Path, Request], dict[int, pc.Reconstruction]]] = {
    "global": _map_global,
    "incremental": _map_incremental,
}


def _models(request: Request) -> Path:
    path = Path(request["scratch"]) / "models"
    path.mkdir(exist_ok=True)
    return path


def _is_sane(model: pc.Reconstruction, known: Collection[int]) -> bool:
    used = {model.image(image_id).camera_id for image_id in model.reg_image_ids()}
    for camera_id in used.difference(known):
        camera = model.camera(camera_id)
        ratio = camera.mean_focal_length() / max(camera.width, camera.height)
        distortion = float(np.abs(camera.params[list(camera.extra_params_idxs())]).max(initial=0))
        if not (FOCAL_RANGE[0] <= ratio <= FOCAL_RANGE[1] and distortion < MAX_DISTORTION):
            say(f"a model has focal {ratio:.2f} x the longer side, distortion {distortion:.2f}: not used")
            return False
    return bool(used)


COMMANDS: dict[str, Callable[[Request], dict[str, Any]]] = {
    "adjust": adjust,
    "extract": extract,
    "match": match_graph,
    "reconstruct": reconstruct,
    "triangulate": triangulate,
    "focals": focals,
    "readjust": readjust,
    "refine": refine,
}


def main() -> None:
    """Answer one request."""
    request: Request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer = COMMANDS[request["command"]](request)
    Path(request["result"]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
