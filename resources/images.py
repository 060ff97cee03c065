"""Training images: undistorted, resampled, posed in the upright world."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.given import lenses_from_json
from splat_pipeline.domain.lens import undistorted, undistortion_maps
from splat_pipeline.domain.memory import Pictures
from splat_pipeline.domain.poses import poses_of
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.domain.tables import KEYFRAMES, POSES, read_table
from splat_pipeline.ports.training import TrainingViews

Picture = NDArray[np.uint8]

NEGLIGIBLE_PX = 0.02
"""Distortion that moves no pixel by more is not worth a resampling."""


class KeyframeImages:
    """Fulfils ``ImageLoader``.

    Lens distortion is removed into a pinhole camera of the same size that is zoomed in just enough that every pixel
    comes from the picture: there is no black border that a trainer would learn. Then the picture is made smaller by
    area averaging; it is never enlarged.
    """

    def sizes(self, keyframes: Path, poses: Path) -> Pictures:
        """Return how many keyframes there are to train on and the size of the largest."""
        rows = _split(keyframes, poses, holdout=False)
        width_px, height_px = max(
            zip(rows["width_px"], rows["height_px"], strict=True), key=lambda size: size[0] * size[1]
        )
        return Pictures(count=len(rows), width_px=int(width_px), height_px=int(height_px))

    def load(self, keyframes: Path, poses: Path, points: Path, *, longer_side_px: int, holdout: bool) -> TrainingViews:
        """Load the registered keyframes of one split (``holdout``: those kept away from training), in their order."""
        found = read_table(poses / "poses.parquet", POSES)
        frame = json.loads((points / "frame_of_reference.json").read_text())
        chosen = _split(keyframes, poses, holdout=holdout)
        lenses = _lenses(poses / "cameras.json", longer_side_px)
        images, views = [], []
        for row, pose in _posed(chosen, found, Similarity.from_json(frame["world_from_sfm"])):
            lens = lenses[row.camera_id]
            images.append(lens.apply(keyframes / row.file))
            views.append(View(name=row.file, camera=lens.camera, cam_from_world=pose))
        return TrainingViews(images=images, views=views, keyframe_ids=chosen["keyframe_id"].tolist())


def _split(keyframes: Path, poses: Path, *, holdout: bool) -> pd.DataFrame:
    """Return the registered keyframes of one split, in their order."""
    rows = read_table(keyframes / "keyframes.parquet", KEYFRAMES)
    found = read_table(poses / "poses.parquet", POSES)
    registered = set(found.loc[found["registered"], "keyframe_id"])
    return rows[rows["keyframe_id"].isin(registered) & (rows["holdout"] == holdout)]


def _posed(
    chosen: pd.DataFrame, found: pd.DataFrame, world_from_sfm: Similarity
) -> Iterator[tuple[Any, NDArray[np.float64]]]:
    """Move each pose from the reconstruction's frame to the upright world."""
    poses = poses_of(found, chosen["keyframe_id"])
    for row, cam_from_sfm in zip(chosen.itertuples(), poses, strict=True):
        yield row, world_from_sfm.pose(cam_from_sfm)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lens:
    """What is done to every image of one camera."""

    source: ColmapCamera
    camera: Camera
    """Of the image that comes out."""
    maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None

    def apply(self, path: Path) -> Picture:
        """Return the image at ``path`` (H, W, 3) RGB. Raises ``CorruptArtifact`` if it is not of this camera."""
        import cv2

        stored = cv2.imread(str(path), cv2.IMREAD_COLOR)
        size = (self.source.width_px, self.source.height_px)
        if stored is None or stored.shape[1::-1] != size:
            got = "unreadable" if stored is None else f"{stored.shape[1]}x{stored.shape[0]} px"
            raise CorruptArtifact(f"{path.name} is {got} and must be {size[0]}x{size[1]} px", file=path.name)
        if self.maps is not None:
            # cubic reaches half a pixel over the edge at most: the border is repeated there
            stored = cv2.remap(stored, *self.maps, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        wanted = (self.camera.width_px, self.camera.height_px)
        if stored.shape[1::-1] != wanted:
            stored = cv2.resize(stored, wanted, interpolation=cv2.INTER_AREA)
        image: Picture = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
        return image


def _lenses(path: Path, longer_side_px: int) -> dict[int, Lens]:
    cameras = lenses_from_json(json.loads(path.read_text()))
    return {camera_id: lens_for(camera, longer_side_px) for camera_id, camera in cameras.items()}


def lens_for(source: ColmapCamera, longer_side_px: int) -> Lens:
    """Return what removes the distortion of ``source`` and makes its images at most ``longer_side_px`` long."""
    ideal = undistorted(source)
    scale = min(1.0, longer_side_px / max(ideal.width_px, ideal.height_px))
    small = ideal.resized(max(1, round(ideal.width_px * scale)), max(1, round(ideal.height_px * scale)))
    u, v = undistortion_maps(source, ideal)
    shift = max(np.abs(u - np.arange(ideal.width_px)).max(), np.abs(v - np.arange(ideal.height_px)[:, None]).max())
    return Lens(source=source, camera=small, maps=None if shift <= NEGLIGIBLE_PX else (u, v))
