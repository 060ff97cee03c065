"""Poses of a turntable: the first image to the last are one turn, at an even pace, around the y axis.

turntable_program.py REQUEST.json       see docs/pose-backends.md of splat_pipeline
"""

import json
import math
import sys
from pathlib import Path

DISTANCE = 3.0
"""Of the camera from the axis, in a unit of its own."""
FOCAL = 1.1
"""Focal length as a share of the picture's longer side: a phone's main camera, about."""


def world_from_camera(turn: float) -> list[list[float]]:
    """Return the pose of a camera that looks at the axis (+x right, +y down, +z forward)."""
    c, s = math.cos(turn), math.sin(turn)
    return [[c, 0, s, -DISTANCE * s], [0, 1, 0, 0], [-s, 0, c, -DISTANCE * c], [0, 0, 0, 1]]


def main(path: Path) -> None:
    """Answer the request."""
    request = json.loads(path.read_text())
    images = request["images"]
    print(f"{len(images)} images on a circle", flush=True)
    frames = []
    for number, image in enumerate(images):
        width, height = image["width_px"], image["height_px"]
        focal = FOCAL * max(width, height)
        lens = {"fx": focal, "fy": focal, "cx": width / 2, "cy": height / 2}
        pose = world_from_camera(2 * math.pi * number / len(images))
        frames.append({"name": image["name"], "world_from_camera": pose, "confidence": 0.5, "intrinsics": lens})
    Path(request["answer"]).write_text(json.dumps({"version": 1, "frames": frames}))


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
