"""``calibration.json`` (or .yaml) beside clips: lenses and, of a rig, where each camera sits and when its clip began.

    {"version": 1, "tolerance_s": 0.01,
     "cameras": {"left": {"model": "OPENCV", "width_px": 1920, "height_px": 1080, "params": [...],
                          "cam_from_rig": [[...], [...], [...], [0, 0, 0, 1]], "offset_s": 0.0}}}

``params`` in COLMAP's order, the corner of the image at 0. ``cam_from_rig`` (3x4 or 4x4, OpenCV's axes), ``offset_s``
and ``tolerance_s`` may be left out: ``splat calibrate`` writes lenses only. The file comes from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splat_pipeline.domain.calibration import LIMIT_PX
from splat_pipeline.domain.errors import BadCalibration, BadPoses
from splat_pipeline.domain.formats.colmap import MODELS, ColmapCamera
from splat_pipeline.domain.given import checked_camera, checked_pose
from splat_pipeline.domain.lens import coefficients, intrinsics
from splat_pipeline.domain.rig import TOLERANCE_S, KnownCamera, KnownCameras
from splat_pipeline.domain.strict_json import number_in
from splat_pipeline.domain.uploads import video_ids

VERSION = 1
MAX_BYTES = 1 << 20
MAX_CAMERAS = 64
LONGEST_OFFSET_S, LONGEST_TOLERANCE_S = 86_400.0, 1.0
REMEDY = "Correct the file (docs/calibration.md says what it holds), or take it out: lenses are found then."
_KEYS = frozenset(["model", "width_px", "height_px", "params", "cam_from_rig", "offset_s"])
_TOLD = frozenset(["views", "heldout_views", "rms_px", "heldout_rms_px", "tilt_deg"])
"""What ``splat calibrate`` says of its work."""


def read_calibration(data: Mapping[str, Any], *, file: str) -> KnownCameras:
    """Return what a file's keys and values say. Raises ``BadCalibration`` naming the camera and the value."""
    try:
        return _read(data, file)
    except (BadPoses, ValueError) as error:  # what is wrong with a number is said in those words
        raise _bad(str(error), file) from None


def _bad(cause: str, file: str) -> BadCalibration:
    return BadCalibration(cause, file=file, remedy=REMEDY)


def _read(data: Mapping[str, Any], file: str) -> KnownCameras:
    cameras = data.get("cameras")
    if data.get("version") != VERSION or not isinstance(cameras, dict) or not 0 < len(cameras) <= MAX_CAMERAS:
        raise _bad(f"{file} is not of version {VERSION} with 1 to {MAX_CAMERAS} cameras by name", file)
    if unknown := set(data) - {"version", "cameras", "tolerance_s"}:
        raise _bad(f"{file}: unknown key {min(map(str, unknown))!r:.40}", file)
    tolerance_s = number_in(data.get("tolerance_s", TOLERANCE_S), "tolerance_s", file=file)
    if not 0 < tolerance_s <= LONGEST_TOLERANCE_S:
        raise _bad(f"{file}: tolerance_s is {tolerance_s:g}, more than 0 and at most {LONGEST_TOLERANCE_S:g}", file)
    known = {str(name): _camera(str(name), values, file) for name, values in cameras.items()}
    if len({video_ids([name])[0] for name in known}) < len(known):
        raise _bad(f"{file}: two of {', '.join(known)} are one name, written in lower case letters and digits", file)
    made = KnownCameras(cameras=known, tolerance_s=tolerance_s)
    if len(made.rig) == 1:
        raise _bad(f"{file}: only {made.rig[0]} has a cam_from_rig: a rig has two cameras or more", file)
    return made


def _camera(name: str, values: Any, file: str) -> KnownCamera:
    if not isinstance(values, dict):
        raise _bad(f"{file}: {name:.40} holds no keys and values", file)
    if unknown := set(values) - _KEYS - _TOLD:
        raise _bad(f"{file}: {name:.40}: unknown key {min(map(str, unknown))!r:.40}", file)
    told = values.get("heldout_rms_px")
    if told is not None and number_in(told, f"{name}: heldout_rms_px", file=file) > LIMIT_PX:
        raise _bad(f"{file}: {name}: {told:.2f} px rms on views held out, {LIMIT_PX} at most are believed", file)
    offset_s = number_in(values.get("offset_s", 0.0), f"{name}: offset_s", file=file)
    if abs(offset_s) > LONGEST_OFFSET_S:
        raise _bad(f"{file}: {name}: offset_s is {offset_s:g}, more than a day", file)
    pose = values.get("cam_from_rig")
    return KnownCamera(
        lens=_lens(name, values, file),
        cam_from_rig=None if pose is None else checked_pose(pose, name, file=file),
        offset_s=offset_s,
    )


def _lens(name: str, values: Mapping[str, Any], file: str) -> ColmapCamera:
    model, params = values.get("model"), values.get("params")
    if not isinstance(model, str) or model not in MODELS:
        raise _bad(f"{file}: {name}: the model {model!r:.40} is not one of {', '.join(MODELS)}", file)
    if not isinstance(params, list):
        raise _bad(f"{file}: {name}: params is no list of numbers", file)
    numbers = tuple(number_in(value, f"{name}: params", file=file) for value in params)
    width, height = (
        round(number_in(values.get(key), f"{name}: {key}", file=file)) for key in ("width_px", "height_px")
    )
    lens = checked_camera(ColmapCamera(model=model, width_px=width, height_px=height, params=numbers), name, file=file)
    bend, flat = coefficients(lens), intrinsics(lens)
    return ColmapCamera(
        model="OPENCV" if any(bend) else "PINHOLE",
        width_px=width,
        height_px=height,
        params=(*flat, *bend) if any(bend) else flat,
    )


def calibration_json(known: KnownCameras) -> dict[str, Any]:
    """Invert ``read_calibration``."""
    return {
        "version": VERSION,
        "tolerance_s": known.tolerance_s,
        "cameras": {
            name: {
                "model": camera.lens.model,
                "width_px": camera.lens.width_px,
                "height_px": camera.lens.height_px,
                "params": list(camera.lens.params),
                "offset_s": camera.offset_s,
            }
            | ({} if camera.cam_from_rig is None else {"cam_from_rig": camera.cam_from_rig.tolist()})
            for name, camera in known.cameras.items()
        },
    }
