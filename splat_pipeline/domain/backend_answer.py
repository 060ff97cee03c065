"""The contract of a pose backend that runs as a program: JSON in, JSON out (docs/pose-backends.md).

Request: ``{"version": 1, "images": [{"name", "path", "width_px", "height_px", "camera_id", "time_s"}, ...],
"answer": PATH, "seed": 0}``.
Answer: ``{"version": 1, "frames": [{"name", "world_from_camera", "confidence", "intrinsics"}, ...]}``: 4x4, OpenCV's
axes; confidence 0 to 1, or null; intrinsics ``{"fx", "fy", "cx", "cy"}`` in px, or null. Frames stand in the
order of the request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from splat_pipeline.domain.errors import BadAnswer, BadPoses
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.given import GivenFrame, GivenPoses, checked_camera, checked_pose
from splat_pipeline.domain.rigid import inverse
from splat_pipeline.domain.strict_json import number_in, parse_object

VERSION = 1
MAX_BYTES = 256 << 20
LEAST_SHARE, LEAST_FRAMES = 0.4, 3
"""Of the images; below the gate ``registered`` would stop the job anyway, after all the work."""
_FILE = "answer"
_KEYS = ("fx", "fy", "cx", "cy")


def request_text(
    images: Sequence[tuple[str, str]],
    *,
    sizes: Sequence[tuple[int, int]],
    camera_ids: Sequence[int],
    times_s: Sequence[float],
    answer: str,
    seed: int,
) -> str:
    """Return the request. ``images``: (name, absolute path) each; the answer is to be written to ``answer``."""
    rows = [
        {"name": name, "path": path, "width_px": w, "height_px": h, "camera_id": camera_id, "time_s": time_s}
        for (name, path), (w, h), camera_id, time_s in zip(images, sizes, camera_ids, times_s, strict=True)
    ]
    return json.dumps({"version": VERSION, "images": rows, "answer": answer, "seed": seed})


def read_answer(
    text: bytes, *, backend: str, names: Sequence[str], sizes: Sequence[tuple[int, int]], camera_ids: Sequence[int]
) -> GivenPoses:
    """Return what a backend answered for images ``names``. Intrinsics are the median of a camera's frames.

    A camera without any has no entry in ``cameras``. Raises ``BadAnswer`` naming backend, frame and fault.
    """
    try:
        return _read(text, backend, {name: (i, sizes[i], camera_ids[i]) for i, name in enumerate(names)})
    except BadPoses as error:
        raise BadAnswer(f"{backend}: {error.cause}") from None


def _read(text: bytes, backend: str, asked: Mapping[str, tuple[int, tuple[int, int], int]]) -> GivenPoses:
    data = parse_object(text, file=_FILE, max_bytes=MAX_BYTES)
    rows = data.get("frames")
    if data.get("version") != VERSION or not isinstance(rows, list):
        raise BadPoses(f"{_FILE} is not of version {VERSION} with a list of frames")
    frames: list[GivenFrame] = []
    lenses: dict[int, list[list[float]]] = {}
    sizes: dict[int, tuple[int, int]] = {}
    last = -1
    for number, row in enumerate(rows):
        name = row.get("name") if isinstance(row, dict) else None
        if not isinstance(name, str) or name not in asked:
            raise BadPoses(f"frame {number} is called {name!r:.80}, which was not asked for")
        at, size, camera_id = asked[name]
        if at <= last:
            raise BadPoses(f"frame {number}, {name}, is not in the order of the request")
        last, sizes[camera_id] = at, size
        pose = inverse(checked_pose(row.get("world_from_camera"), name, file=_FILE))
        frames.append(
            GivenFrame(name=name, camera_id=camera_id, cam_from_world=pose, confidence=_confidence(row, name))
        )
        if row.get("intrinsics") is not None:
            lenses.setdefault(camera_id, []).append(_intrinsics(row["intrinsics"], name))
    least = max(LEAST_FRAMES, int(np.ceil(LEAST_SHARE * len(asked))))
    if len(frames) < least:
        raise BadPoses(f"poses of {len(frames)} of {len(asked)} images, at least {least} are needed")
    cameras = {camera_id: _camera(values, sizes[camera_id]) for camera_id, values in lenses.items()}
    return GivenPoses(source=backend, cameras=cameras, frames=frames)


def _confidence(row: Mapping[str, Any], name: str) -> float | None:
    if row.get("confidence") is None:
        return None
    value = number_in(row["confidence"], f"{name}: confidence", file=_FILE)
    if not 0 <= value <= 1:
        raise BadPoses(f"the confidence of {name} is {value:g}, not 0 to 1")
    return value


def _intrinsics(values: Any, name: str) -> list[float]:
    if not isinstance(values, dict):
        raise BadPoses(f"the intrinsics of {name} are no object")
    return [number_in(values.get(key), f"{name}: {key}", file=_FILE) for key in _KEYS]


def _camera(values: list[list[float]], size: tuple[int, int]) -> ColmapCamera:
    middle = tuple(float(value) for value in np.median(np.array(values), axis=0))
    camera = ColmapCamera(model="PINHOLE", width_px=size[0], height_px=size[1], params=middle)
    return checked_camera(camera, "its images", file=_FILE)
