"""Cameras that are known before anything is found: their lenses and, of a rig, where each sits in it.

A rig is two clips or more of synchronised cameras. Frames of one instant belong together: times of clips, each with its
``offset_s``, that differ by ``tolerance_s`` at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadCalibration
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.given import resized
from splat_pipeline.domain.rigid import inverse
from splat_pipeline.domain.uploads import video_ids

Float = NDArray[np.float64]

TOLERANCE_S = 0.01
LEAST_PAIRED = 0.5
"""Share of the first camera's keyframes that another camera must have a frame of."""
RENAME = "Name each camera of the calibration like its clip (left for left.mp4) or like the folder that the clip is in."
SYNCHRONISE = (
    "Correct offset_s of the clips, raise tolerance_s, or raise frames.analysis_fps to the clips' own rate, so that "
    "frames of one instant are among those that are looked at."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownCamera:
    """One camera of a calibration."""

    lens: ColmapCamera
    """PINHOLE or OPENCV, for pictures of the size that it names."""
    cam_from_rig: Float | None = None
    """(4, 4) rigid, OpenCV's axes, in the unit that the world shall have; None: it is not part of the rig."""
    offset_s: float = 0.0
    """To be added to the clip's times to have the rig's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownCameras:
    """A calibration, by the names that it gives, or by video_id."""

    cameras: Mapping[str, KnownCamera]
    tolerance_s: float = TOLERANCE_S

    @property
    def rig(self) -> list[str]:
        """Names of the cameras of the rig; none where there is no rig."""
        return [name for name, camera in self.cameras.items() if camera.cam_from_rig is not None]

    def of_clips(self, clips: Mapping[str, str], *, file: str) -> tuple[KnownCameras, list[str]]:
        """Return the cameras by video_id, and what was left out, in words.

        ``clips``: names of clips or folders of images, by video_id. A camera is called like its clip, or like a folder
        that the clip lies in. Raises ``BadCalibration`` where no clip is named, or a rig's camera has two.
        """
        named = dict(zip(video_ids(list(self.cameras)), self.cameras, strict=True))
        found = {video_id: named[key] for video_id, name in clips.items() if (key := _key(video_id, name, named))}
        if not found:
            cause = f"{file} is of {', '.join(self.cameras)}, and the clips are {', '.join(clips.values())}"
            raise BadCalibration(cause, file=file, remedy=RENAME)
        rig = [name for name in found.values() if name in self.rig]
        for name in rig:
            if rig.count(name) > 1:
                its = ", ".join(clips[video_id] for video_id, camera in found.items() if camera == name)
                cause = f"{file}: camera {name} of the rig has several clips: {its}"
                raise BadCalibration(cause, file=file, remedy="Upload one clip a camera of the rig: one take.")
        told = [f"{file}: no clip is of camera {name}" for name in self.cameras if name not in found.values()]
        told += [f"{file} does not know the camera of {clips[i]}: its lens is found" for i in clips if i not in found]
        cameras = {video_id: self.cameras[name] for video_id, name in found.items()}
        if len(rig) < 2:
            told += [f"{file}: only {rig[0]} of the rig was uploaded: its lens is used"] if rig else []
            cameras = {video_id: replace(camera, cam_from_rig=None) for video_id, camera in cameras.items()}
        return KnownCameras(cameras=cameras, tolerance_s=self.tolerance_s), told


def _key(video_id: str, name: str, named: Mapping[str, str]) -> str | None:
    path = PurePosixPath(name)
    written = [part for part in (path.name, *reversed(path.parent.parts)) if part not in {"", "."}]
    return next((key for key in (video_id, *(video_ids([part])[0] for part in written)) if key in named), None)


def known_lenses(known: KnownCameras, keyframes: pd.DataFrame) -> dict[int, ColmapCamera]:
    """Return the lenses of ``keyframes`` (rows of ``tables.KEYFRAMES``) that are known, by camera_id, for their size.

    Raises ``BadCalibration`` where a picture has another shape than the calibration's.
    """
    first = keyframes.drop_duplicates("camera_id").to_dict("records")
    return {
        int(row["camera_id"]): fitted(known, row["video_id"], int(row["width_px"]), int(row["height_px"]))
        for row in first
        if row["video_id"] in known.cameras
    }


def fitted(known: KnownCameras, video_id: str, width_px: int, height_px: int) -> ColmapCamera:
    """Return the lens of a clip for pictures of another size. Raises ``BadCalibration`` for another shape."""
    try:
        return resized(known.cameras[video_id].lens, width_px, height_px)
    except ValueError as error:
        cause = f"the calibration of {video_id} is of another picture: {error}"
        remedy = "Calibrate with films of the same mode of the camera: same crop, same orientation."
        raise BadCalibration(cause, file=video_id, remedy=remedy) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class RigFrames:
    """Images of a rig: which were taken in one instant, and how the cameras sit."""

    cams_from_rig: Mapping[int, Float] = field(default_factory=dict)
    """(4, 4), by camera_id; the rig's frame is that of the first one."""
    instants: Sequence[Sequence[int]] = ()
    """Positions of images of one instant, in order of time; an image whose partners are missing is alone."""


def rig_frames(known: KnownCameras, keyframes: pd.DataFrame) -> RigFrames | None:
    """Return which of ``keyframes`` belong together; None without a rig, or where it has images of one camera only."""
    rows = keyframes.reset_index(drop=True)
    mine = rows[rows["video_id"].isin(known.rig)]
    if mine["video_id"].nunique() < 2:
        return None
    poses = {
        int(camera_id): known.cameras[video_id].cam_from_rig
        for camera_id, video_id in mine.drop_duplicates("camera_id")[["camera_id", "video_id"]].to_numpy().tolist()
    }
    first = inverse(_given(next(iter(poses.values()))))
    offsets = mine["video_id"].map(lambda video_id: known.cameras[video_id].offset_s)
    groups = instants((mine["pts_s"] + offsets).to_numpy(float), mine["camera_id"].tolist(), known.tolerance_s)
    at = mine.index.tolist()
    return RigFrames(
        cams_from_rig={camera_id: _given(pose) @ first for camera_id, pose in poses.items()},
        instants=[sorted(at[i] for i in group) for group in groups],
    )


def _given(pose: Float | None) -> Float:
    assert pose is not None  # cameras without one are not in ``KnownCameras.rig``
    return pose


def instants(times_s: Float, cameras: Sequence[int], tolerance_s: float) -> list[list[int]]:
    """Group (N,) times, each of a camera, in order: within ``tolerance_s`` of the first of a group, once a camera."""
    groups: list[list[int]] = []
    for i in np.argsort(times_s, kind="stable").tolist():
        group = groups[-1] if groups else []
        if group and times_s[i] - times_s[group[0]] <= tolerance_s and cameras[i] not in {cameras[j] for j in group}:
            group.append(i)
        else:
            groups.append([i])
    return groups


def followers(known: KnownCameras | None, frames: pd.DataFrame) -> NDArray[np.bool_]:
    """Return (N,) which of ``frames`` (rows of ``tables.FRAMES``) are of cameras that follow the rig's first one."""
    rig = [] if known is None else [name for name in known.rig if (frames["video_id"] == name).any()]
    return frames["video_id"].isin(rig[1:]).to_numpy(bool)


def partners(known: KnownCameras, frames: pd.DataFrame, chosen: Sequence[int]) -> list[int]:
    """Return the rows of ``frames`` that other cameras of the rig took in the instants of the ``chosen`` rows.

    Rejected frames are no partners. Raises ``BadCalibration`` where most instants of a camera have none.
    """
    first = next(name for name in known.rig if (frames["video_id"] == name).any())
    own = frames.loc[[i for i in chosen if frames["video_id"].iloc[i] == first]]
    times = own["pts_s"].to_numpy(float) + known.cameras[first].offset_s
    rows: list[int] = []
    for name in known.rig:
        good = frames[(frames["video_id"] == name) & frames["reject_reason"].isna()]
        if name == first or good.empty or not len(times):
            continue
        gaps = np.abs(np.subtract.outer(times, good["pts_s"].to_numpy(float) + known.cameras[name].offset_s))
        near = gaps.argmin(axis=1)
        gap = gaps.min(axis=1)
        paired = gap <= known.tolerance_s
        if paired.mean() < LEAST_PAIRED:
            cause = (
                f"{1 - paired.mean():.0%} of the keyframes of {first} have no frame of {name} within "
                f"{1000 * known.tolerance_s:.0f} ms; the median gap is {1000 * float(np.median(gap)):.0f} ms"
            )
            raise BadCalibration(cause, file=name, remedy=SYNCHRONISE)
        rows += good.index[near[paired]].tolist()
    return sorted(set(rows))


def shown(known: KnownCameras) -> dict[str, Any]:
    """Return what the manifest says of a calibration."""
    return {"cameras": list(known.cameras), "rig": known.rig, "tolerance_s": known.tolerance_s}
