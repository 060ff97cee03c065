"""A small capture with known truth: three textured walls of a corner, filmed from an arc by two cameras."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from resources.colmap import ColmapBackend
from splat_pipeline.domain.formats.colmap import read_model, write_model
from splat_pipeline.domain.poses import rms_px
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.rigid import rigid
from splat_pipeline.ports.sfm import Attempt, FeatureRequest, MatchRequest, ReconstructionRequest, Refinement

RECIPE = PoseRecipe(max_features=1024, longer_side_px=400)
SIZE = (400, 300)
FOCALS = {"a": 380.0, "b": 430.0}
VIEWS = 7
"""Of each camera."""
WALLS = [  # origin, first axis, second axis: a corner that opens towards the camera; y is down
    ((-2, 1, -2), (4, 0, 0), (0, 0, 4)),
    ((-2, -2, 2), (4, 0, 0), (0, 3, 0)),
    ((-2, -2, -2), (0, 0, 4), (0, 3, 0)),
]


def texture(seed, size=700):
    rng = np.random.default_rng(seed)
    out = np.zeros((size, size, 3))
    for cells, weight in ((8, 0.5), (32, 0.8), (110, 1.0), (220, 0.6)):
        out += weight * cv2.resize(rng.random((cells, cells, 3)), (size, size), interpolation=cv2.INTER_NEAREST)
    return cv2.GaussianBlur(255 * (out - out.min()) / np.ptp(out), (0, 0), 1.2)


def pose(turn_deg, height=-0.6, distance=3.6):
    """cam_from_world of a camera on an arc that looks at the corner, level."""
    turn = np.radians(turn_deg)
    center = np.array([distance * np.sin(turn), height, -distance * np.cos(turn)])
    forward = np.array([-0.3, 0.1, 0.6]) - center
    forward /= np.linalg.norm(forward)
    right = np.cross([0, 1, 0], forward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return rigid(rotation, -rotation @ center)


def render(cam_from_world, focal, textures):
    width, height = SIZE
    u, v = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    rays = np.stack([u / focal, v / focal, np.ones_like(u)], -1) @ cam_from_world[:3, :3]
    center = -cam_from_world[:3, :3].T @ cam_from_world[:3, 3]
    picture, nearest = np.full((height, width, 3), 128, np.float32), np.full((height, width), np.inf)
    for (origin, a, b), paper in zip(WALLS, textures, strict=True):
        solve = np.linalg.inv(np.array([a, b, -np.cross(a, b)], float).T)
        at, toward = solve @ (center - origin), rays @ solve.T
        with np.errstate(divide="ignore"):
            depth = -at[2] / toward[..., 2]
        place = at[:2] + depth[..., None] * toward[..., :2]
        hit = (depth > 0) & (depth < nearest) & (place >= 0).all(-1) & (place < 1).all(-1)
        where = (place * (np.array(paper.shape[1::-1]) - 1)).astype(np.float32)
        sampled = cv2.remap(paper.astype(np.float32), where[..., 0], where[..., 1], cv2.INTER_LINEAR)
        picture[hit], nearest[hit] = sampled[hit], depth[hit]
    return np.clip(picture, 0, 255).astype(np.uint8)


def film(folder):
    """Write ``folder/<camera>/<n>.jpg``; return names, camera ids and true poses (N, 4, 4), in order."""
    textures = [texture(seed) for seed in range(len(WALLS))]
    names, cameras, truth = [], [], []
    for camera_id, (camera, focal) in enumerate(FOCALS.items()):
        (folder / camera).mkdir(parents=True)
        for i in range(VIEWS):
            cam_from_world = pose(8 * i - 35 + 4 * camera_id, height=-0.7 + 0.5 * camera_id)
            name = f"{camera}/{i:03d}.jpg"
            cv2.imwrite(str(folder / name), render(cam_from_world, focal, textures), [cv2.IMWRITE_JPEG_QUALITY, 95])
            names.append(name)
            cameras.append(camera_id)
            truth.append(cam_from_world)
    return names, cameras, np.stack(truth)


@dataclass(frozen=True, kw_only=True)
class Capture:
    """What was filmed, the truth, and what COLMAP's global mapper made of it."""

    folder: Path
    names: list[str]
    camera_ids: list[int]
    truth: np.ndarray
    """(N, 4, 4) cam_from_world."""
    attempt: Attempt | None = None

    @property
    def images(self):
        return self.folder / "images"

    @property
    def features(self):
        return self.folder / "features"

    @property
    def graph(self):
        return self.folder / "pairs.parquet"

    @property
    def model(self):
        return self.folder / "model"

    def feature_request(self):
        return FeatureRequest(folder=self.images, images=self.names, camera_ids=self.camera_ids, recipe=RECIPE, seed=0)

    def match_request(self):
        return MatchRequest(
            images=self.names, camera_ids=self.camera_ids, features=self.features, recipe=RECIPE, seed=0
        )

    def request(self, strategy="global", **changes):
        asked = ReconstructionRequest(
            folder=self.images,
            images=self.names,
            camera_ids=self.camera_ids,
            features=self.features,
            strategy=strategy,
            recipe=RECIPE,
            seed=0,
            graph=self.graph,
        )
        return replace(asked, **changes)


def reconstructed(folder):
    names, camera_ids, truth = film(folder / "images")
    capture = Capture(folder=folder, names=names, camera_ids=camera_ids, truth=truth)
    sfm = ColmapBackend()
    sfm.extract_features(capture.feature_request(), capture.features, say=print)
    sfm.match(capture.match_request(), capture.graph, say=print)
    return replace(capture, attempt=sfm.reconstruct(capture.request(), capture.model, say=print))


@dataclass
class ReplayedSfm:
    """Gives what COLMAP gave for the capture, or what ``script`` says of a strategy: an outcome, or how many images.

    It passes the same contract tests as ``ColmapBackend`` (tests/resources/test_colmap.py).
    """

    capture: Capture
    script: dict = field(default_factory=dict)
    strategies: tuple = ("global", "incremental", "incremental-wide")

    def extract_features(self, request, folder, *, say):
        shutil.copytree(self.capture.features, folder)
        say("features 14/14")

    def match(self, request, path, *, say):
        shutil.copyfile(self.capture.graph, path)
        say("matching 3/3")

    def reconstruct(self, request, folder, *, say):
        part = self.script.get(request.strategy, len(request.images))
        if isinstance(part, str):
            return replace(self.capture.attempt, registered=0, models=0, rms_px=float("nan"), outcome=part)
        full = read_model(self.capture.model)
        asked = {key: image for key, image in full.images.items() if image.name in request.images}
        model = replace(full, images=dict(list(asked.items())[:part]))
        folder.mkdir()
        write_model(folder, model)
        return replace(self.capture.attempt, registered=part, rms_px=rms_px(model))

    def refine(self, model, folder, *, time_limit_s, say):
        say("lens model kept")
        return Refinement(cameras=(), why="replayed")
