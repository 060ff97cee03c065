"""The demo's sample capture: a scene of the domain, filmed with the project's own renderer and encoder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resources.movies import FfmpegWriter
from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.errors import ToolMissing
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.sample import TEXTURES, sample_camera
from splat_pipeline.domain.sample_kinds import KINDS
from splat_pipeline.domain.surfaces import Texture
from splat_pipeline.ports.progress import Say

SAMPLE, TRUTH = "sample.mp4", "truth/truth.json"
"""Below the folder that is given; the truth is no part of an upload."""
_CRF = 16


def make_sample(
    folder: Path,
    *,
    seconds: float = 12,
    width: int = 640,
    height: int = 360,
    fps: int = 15,
    seed: int = 0,
    kind: str = "table",
    say: Say = print,
) -> Path:
    """Write ``folder/SAMPLE``, a film of a small scene, and ``folder/TRUTH``, its exact poses; return the video.

    ``kind``: of ``sample_kinds.KINDS``. The same arguments give the same film; ``seed`` is of the hand's sway. 15
    frames a second are more than are analysed; 12 seconds of 640x360 take some 20 s on two cores. Raises ``ToolError``.
    """
    say("laying out the scene")
    gaussians = KINDS[kind].scene(load_textures())
    views = KINDS[kind].walk(sample_camera(width, height), frames=max(2, round(seconds * fps)), fps=fps, seed=seed)
    (folder / TRUTH).parent.mkdir(parents=True, exist_ok=True)
    (folder / TRUTH).write_text(json.dumps(_truth(views, fps=fps)))
    say(f"filming {len(views)} frames of {len(gaussians)} Gaussians")
    FfmpegWriter(crf=_CRF).write(folder / SAMPLE, _told(_pictures(gaussians, views), len(views), say), fps=fps)
    return folder / SAMPLE


def load_textures() -> dict[str, Texture]:
    """Return the photographs that scikit-image carries in its wheel. Raises ``ToolMissing`` naming an absent one."""
    from PIL import Image

    data = files("skimage") / "data"
    found: dict[str, Texture] = {}
    for name in TEXTURES:
        path = next((data / f"{name}.{kind}" for kind in ("png", "jpg") if (data / f"{name}.{kind}").is_file()), None)
        if path is None:
            remedy = "Install the scikit-image version that constraints.txt names."
            raise ToolMissing(f"scikit-image has no photograph {name}", remedy=remedy)
        with path.open("rb") as file:
            found[name] = np.asarray(Image.open(file).convert("RGB"), np.float32) / np.float32(255)
    return found


def _pictures(gaussians: Gaussians, views: Sequence[View]) -> Iterator[NDArray[np.uint8]]:
    from splat_pipeline.splatting.film import film

    for image in film(gaussians, views):
        yield (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _told(pictures: Iterator[NDArray[np.uint8]], count: int, say: Say) -> Iterator[NDArray[np.uint8]]:
    for i, picture in enumerate(pictures):
        if i and i % max(1, count // 4) == 0:
            say(f"filmed {i} of {count} frames")
        yield picture


def _truth(views: Sequence[View], *, fps: int) -> dict[str, object]:
    camera = views[0].camera
    return {
        "world": "metres, y down, origin on the table top",
        "axes": "OpenCV: +x right, +y down, +z forward",
        "camera": {
            "width_px": camera.width_px,
            "height_px": camera.height_px,
            "fx_px": camera.fx_px,
            "fy_px": camera.fy_px,
            "cx_px": camera.cx_px,
            "cy_px": camera.cy_px,
        },
        "frames": [
            {"frame_index": i, "pts_s": i / fps, "cam_from_world": view.cam_from_world.tolist()}
            for i, view in enumerate(views)
        ],
    }
