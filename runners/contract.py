"""What every runner does: read the request, stream the images in windows, chain these, write the answer.

A runner is a program of the model's environment, not of ours: it needs numpy and the model's own package, nothing of
``splat_pipeline``. docs/pose-backends.md says what request and answer hold.

N images of a window; poses are world_from_camera (N, 4, 4), OpenCV's axes, each window in a world and scale of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

VERSION = 1
WINDOW, OVERLAP = 120, 30
"""Windows of 120 images had half the error of windows of 30 in the published figures of DA3-Streaming."""


class Refused(Exception):
    """What stands in the way, in a sentence for the person who runs it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """What a model says of one window."""

    world_from_camera: Any
    """(N, 4, 4)."""
    depth: Any
    """(N,) median depth of each image, by which neighbouring windows are brought to one scale."""
    confidence: Sequence[float | None]
    """0 to 1, or None."""
    intrinsics: Sequence[dict[str, float] | None]
    """fx fy cx cy in px of the image as it was given, or None."""


class Model(Protocol):
    """A loaded model."""

    def poses(self, paths: Sequence[str], sizes: Sequence[tuple[int, int]]) -> Part:
        """Return what it says of the images at ``paths``, whose widths and heights are ``sizes``."""
        ...


def parser(description: str, *, licence: str) -> argparse.ArgumentParser:
    """Return the options that all runners share. ``licence``: of the weights, to be accepted by its name."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--checkpoint", type=Path, required=True, help="the weights, on this machine")
    made.add_argument("--accept-licence", metavar="NAME", help=f"the weights' licence: {licence}")
    made.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu")
    made.add_argument("--window", type=int, default=WINDOW, help="images that the model sees at once")
    made.add_argument("--overlap", type=int, default=OVERLAP, help="images that neighbouring windows share")
    made.add_argument("request", type=Path, help="written by splat_pipeline")
    return made


def accept(given: str | None, licence: str) -> None:
    """Raise ``Refused`` unless the licence of the weights was accepted by its name."""
    if given != licence:
        raise Refused(f"these weights are under {licence}: read it, then say --accept-licence {licence}")


def run(options: argparse.Namespace, load: Callable[[argparse.Namespace], Model]) -> None:
    """Answer the request. Raises ``Refused``."""
    if not 1 <= options.overlap < options.window:
        raise Refused(f"--overlap {options.overlap} must be at least 1 and less than --window {options.window}")
    request = json.loads(options.request.read_text(encoding="utf-8"))
    if request.get("version") != VERSION:
        raise Refused(f"the request is of version {request.get('version')!r}, this runner knows {VERSION}")
    images = request["images"]
    model = load(options)
    parts = []
    spans = windows(len(images), options.window, options.overlap)
    for first, stop in spans:
        rows = images[first:stop]
        sizes = [(row["width_px"], row["height_px"]) for row in rows]
        parts.append(model.poses([row["path"] for row in rows], sizes))
        print(f"posed {stop} of {len(images)} images", flush=True)
    write_answer(Path(request["answer"]), [row["name"] for row in images], chained(parts, spans))


def windows(count: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Return (first, stop) of windows of equal length over ``count`` images that share ``overlap`` or more."""
    if count <= size:
        return [(0, count)]
    steps = -(-(count - size) // (size - overlap))
    return [(start, start + size) for start in (round(i * (count - size) / steps) for i in range(steps + 1))]


def chained(parts: Sequence[Part], spans: Sequence[tuple[int, int]]) -> Part:
    """Bring all windows into the world of the first one. Of a shared image the earlier window's pose counts.

    Rotations of shared images give the turn, their depths the scale, their places the shift: places alone leave a turn
    open where the camera went straight, and the scale where it stood.
    """
    poses, depths = list(np.asarray(parts[0].world_from_camera, float)), list(np.asarray(parts[0].depth, float))
    confidence, intrinsics = list(parts[0].confidence), list(parts[0].intrinsics)
    for part, (first, _) in zip(parts[1:], spans[1:], strict=True):
        new, depth = np.asarray(part.world_from_camera, float), np.asarray(part.depth, float)
        shared = len(poses) - first
        old, was = np.stack(poses[first:]), np.array(depths[first:])
        good = np.isfinite(old).all((1, 2)) & np.isfinite(new[:shared]).all((1, 2)) & (was > 0) & (depth[:shared] > 0)
        if not good.any():
            raise Refused(
                f"the model gave no poses of the {shared} images that two windows share, from image {first} on"
            )
        old, again = old[good], new[:shared][good]
        scale = float(np.median(was[good] / depth[:shared][good]))
        turn = nearest_rotation((old[:, :3, :3] @ again[:, :3, :3].transpose(0, 2, 1)).sum(0))
        shift = np.median(old[:, :3, 3] - scale * again[:, :3, 3] @ turn.T, axis=0)
        for pose in new[shared:]:
            moved = np.eye(4)
            moved[:3, :3], moved[:3, 3] = turn @ pose[:3, :3], scale * turn @ pose[:3, 3] + shift
            poses.append(moved)
        depths += (scale * depth[shared:]).tolist()
        confidence += part.confidence[shared:]
        intrinsics += part.intrinsics[shared:]
    return Part(world_from_camera=np.stack(poses), depth=np.array(depths), confidence=confidence, intrinsics=intrinsics)


def nearest_rotation(matrix: Any) -> Any:
    """Return the rotation nearest to a (3, 3) matrix."""
    u, _, vt = np.linalg.svd(matrix)
    return u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt


def write_answer(path: Path, names: Sequence[str], found: Part) -> None:
    """Write the answer: rotations made exact, images whose pose is not finite left out."""
    frames = []
    rows = zip(names, found.world_from_camera, found.confidence, found.intrinsics, strict=True)
    for name, pose, confidence, intrinsics in rows:
        if not np.isfinite(pose).all():
            print(f"no pose of {name}", flush=True)
            continue
        rigid = np.eye(4)
        rigid[:3, :3], rigid[:3, 3] = nearest_rotation(pose[:3, :3]), pose[:3, 3]
        row = {"name": name, "world_from_camera": rigid.tolist(), "confidence": confidence, "intrinsics": intrinsics}
        frames.append(row)
    path.write_text(json.dumps({"version": VERSION, "frames": frames}, allow_nan=False), encoding="utf-8")


def told(main: Callable[[], None]) -> None:
    """Call ``main``; what it refuses is one line on standard error, and exit code 2."""
    try:
        main()
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        raise SystemExit(2) from None
