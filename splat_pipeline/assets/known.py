"""A calibration that came with an upload: read with suspicion, given to its clips, and kept in ``source_videos``.

calibration.json   as ``domain.formats.calibration`` has it, its cameras called by video_id
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from splat_pipeline.assets.jobfile import read_yaml
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.contents import Contents
from splat_pipeline.domain.errors import BadCalibration, BadPoses
from splat_pipeline.domain.formats.calibration import MAX_BYTES, REMEDY, calibration_json, read_calibration
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.rig import KnownCameras, RigFrames, fitted, known_lenses, rig_frames, shown
from splat_pipeline.domain.strict_json import parse_object
from splat_pipeline.domain.uploads import Upload, VideoFacts, safe_name

FILE = "calibration.json"
KIND = "calibration"


class Known(TypedDict):
    """What requests to the SfM backend say of known cameras."""

    cameras: Mapping[int, ColmapCamera]
    rig: RigFrames | None


def take_known(
    work: Work, upload: Upload, contents: Contents, clips: Mapping[str, tuple[str, VideoFacts]], wanted: str
) -> dict[str, Any] | None:
    """Write the calibration of an upload by its ``clips``; return what the manifest says of it.

    ``clips``: by video_id, name and facts of clips or folders of images. ``wanted``: ``poses.source`` of the recipe.
    Raises ``BadCalibration``.
    """
    names = [name for name, kind in contents.found.items() if kind == KIND]
    if wanted == "sfm" or not names:
        if wanted == "precalibrated":
            cause = "poses.source is precalibrated, and there is no calibration.json or calibration.yaml"
            raise BadCalibration(cause, remedy="Upload it beside the clips, or set poses.source to auto.")
        return None
    name = min(names, key=lambda each: (each.count("/"), each))
    called = {video_id: clip for video_id, (clip, _) in clips.items()}
    known, told = read_file(Path(upload.location) / safe_name(name), name).of_clips(called, file=name)
    for video_id in known.cameras:
        facts = clips[video_id][1]
        fitted(known, video_id, facts.width_px, facts.height_px)
    for line in told:
        work.log(line)
    (work.folder / FILE).write_text(json.dumps(calibration_json(known), indent=1))
    return {"file": name, "warnings": told} | shown(known)


def read_file(path: Path, name: str) -> KnownCameras:
    """Return what a calibration file says. Raises ``BadCalibration``."""
    with path.open("rb") as stream:
        text = stream.read(MAX_BYTES + 1)
    if path.suffix.lower() != ".json":
        data = read_yaml(text.decode(errors="replace"), file=name, error=BadCalibration, max_bytes=MAX_BYTES)
        return read_calibration(data, file=name)
    try:
        return read_calibration(parse_object(text, file=name, max_bytes=MAX_BYTES), file=name)
    except BadPoses as error:
        raise BadCalibration(error.cause, file=name, remedy=REMEDY) from None


def read_known(source_videos: Path) -> KnownCameras | None:
    """Return the calibration of a job, by video_id; None where there is none."""
    path = source_videos / FILE
    return read_file(path, FILE) if path.is_file() else None


def known_cameras(work: Work, keyframes: pd.DataFrame) -> Known:
    """Return lenses and rig of ``keyframes`` as far as they are known. Raises ``BadCalibration``."""
    known = read_known(work.input("source_videos"))
    if known is None:
        return {"cameras": {}, "rig": None}
    return {"cameras": known_lenses(known, keyframes), "rig": rig_frames(known, keyframes)}
