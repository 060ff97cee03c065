"""The preview as nerfstudio draws it: ``ns-render camera-path`` on the delivered Gaussians, in its own environment.

It renders what it has trained itself: a run is made of the Gaussians first (``nerfstudio_run``). The camera path is the
one that is delivered as ``camera_path.json``, brought from nerfstudio's world back to the splat's, in which the run is.
It needs a GPU, like all that splatfacto draws.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.nerfstudio import programs_of, reaching, write_dataset
from resources.sandbox import run_child
from splat_pipeline.domain.camera_paths import CameraPath, nerfstudio_path
from splat_pipeline.domain.errors import BadAnswer, ToolMissing
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.ports.progress import Say
from splat_pipeline.ports.training import TrainingViews

LIMIT_S = 3600.0
SCRIPT = Path(__file__).with_name("nerfstudio_run.py")
PROGRAMS = ("python3", "ns-render")
SHOWN = ("rgb", "accumulation")
"""Side by side in each picture; the second, in grey, is alpha."""


class NerfstudioFilm:
    """Fulfils ``PathDrawer``."""

    name = "nerfstudio"

    def unavailable(self) -> str | None:
        """Return why it cannot be used here, in words; None when the programs are there. It wants a GPU beside them."""
        found = programs_of(*PROGRAMS)
        return found if isinstance(found, str) else None

    def frames(
        self, gaussians: Gaussians, path: CameraPath, *, fps: int, folder: Path, say: Say
    ) -> Iterator[NDArray[np.uint8]]:
        """See ``PathDrawer``. All pictures of the film lie in ``folder`` before the first is given."""
        found = programs_of(*PROGRAMS)
        if isinstance(found, str):
            raise ToolMissing(f"the preview cannot be drawn by nerfstudio: {found}")
        with tempfile.TemporaryDirectory(prefix="film-", dir=folder.absolute()) as made:
            work = Path(made)
            write_scene(work, gaussians, path, fps=fps)
            for argv in (run_arguments(found, work), film_arguments(found, work)):
                with reaching(work) as prefix:
                    whole = [*(prefix or _with_ffmpeg(work)), *argv]
                    run_child(whole, time_limit_s=LIMIT_S, cwd=work, say=say)
            yield from read_frames(work / "film", path, gaussians.background)


def write_scene(folder: Path, gaussians: Gaussians, path: CameraPath, *, fps: int) -> None:
    """Write Gaussians, a data set of one black picture, the script and the camera path into ``folder``."""
    np.savez(folder / "gaussians.npz", **parameters_of(gaussians))  # type: ignore[arg-type]  # its stub takes no names
    view = path.views[0]
    black = np.zeros((view.camera.height_px, view.camera.width_px, 3), np.uint8)
    views = TrainingViews(images=[black], views=[view], keyframe_ids=[0])
    write_dataset(folder / "data", views, gaussians.means[:1], np.zeros((1, 3), np.uint8))
    (folder / "path.json").write_text(json.dumps(in_our_world(nerfstudio_path(path, fps=fps))), encoding="utf-8")
    shutil.copyfile(SCRIPT, folder / SCRIPT.name)


def parameters_of(gaussians: Gaussians) -> dict[str, NDArray[Any]]:
    """Return what splatfacto calls them. Of degree 0 it would mean something else: there the first degree is zero."""
    rest = gaussians.sh[:, 1:]
    return {
        "means": gaussians.means,
        "scales": gaussians.log_scales,
        "quats": gaussians.quats,
        "features_dc": np.ascontiguousarray(gaussians.sh[:, 0]),
        "features_rest": np.ascontiguousarray(rest) if rest.shape[1] else np.zeros((len(rest), 3, 3), np.float32),
        "opacities": gaussians.logit_opacities[:, None],
        "antialiased": np.array(gaussians.antialiased),
    }


def in_our_world(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a delivered camera path in the world of the delivered splat: its ``applied_transform`` undone."""
    applied = np.vstack([np.array(told["applied_transform"], np.float64), [0, 0, 0, 1]])
    back = np.linalg.inv(applied)
    cameras = []
    for camera in told["camera_path"]:
        pose = back @ np.array(camera["camera_to_world"], np.float64).reshape(4, 4)
        cameras.append({**camera, "camera_to_world": pose.ravel().tolist()})
    rest = {name: value for name, value in told.items() if name not in {"applied_transform", "world"}}
    return {**rest, "camera_path": cameras}


def run_arguments(found: Mapping[str, str], folder: Path) -> list[str]:
    """Return what makes the run."""
    run = folder / "runs" / "preview" / "splatfacto" / "run"
    return [found["python3"], str(folder / SCRIPT.name), str(folder / "gaussians.npz"), str(folder / "data"), str(run)]


def film_arguments(found: Mapping[str, str], folder: Path) -> list[str]:
    """Return what renders the path."""
    config = folder / "runs" / "preview" / "splatfacto" / "run" / "config.yml"
    argv = [found["ns-render"], "camera-path", "--load-config", str(config)]
    argv += ["--camera-path-filename", str(folder / "path.json"), "--output-path", str(folder / "film")]
    argv += ["--output-format", "images", "--image-format", "png", "--colormap-options.colormap", "gray"]
    return [*argv, "--rendered-output-names", *SHOWN]


def _with_ffmpeg(folder: Path) -> list[str]:
    """Return what lets a program find ffmpeg: nerfstudio insists on it to write pictures. The image has its own."""
    if shutil.which("ffmpeg"):
        return []
    import imageio_ffmpeg

    tools = folder / "tools"
    if not tools.exists():
        tools.mkdir()
        (tools / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    return ["env", f"PATH={tools}:{os.environ.get('PATH', os.defpath)}"]


def read_frames(folder: Path, path: CameraPath, background: tuple[float, float, float]) -> Iterator[NDArray[np.uint8]]:
    """Give the pictures in ``folder``, (H, W, 3) RGB, before ``background`` (sRGB, 0 to 1).

    Raises ``BadAnswer`` where they are not as many or not as large as the path says.
    """
    import cv2

    files, camera = sorted(folder.glob("*.png")), path.views[0].camera
    if len(files) != len(path.views):
        raise BadAnswer(f"nerfstudio drew {len(files)} pictures of a path of {len(path.views)}")
    shape = (camera.height_px, len(SHOWN) * camera.width_px, 3)
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None or picture.shape != shape:
            found = "nothing that can be read" if picture is None else str(picture.shape)
            raise BadAnswer(f"nerfstudio's picture {file.name} is {found}, expected {shape}")
        color, alpha = np.split(picture[..., ::-1].astype(np.float32), len(SHOWN), axis=1)
        behind = (255 - alpha) * np.array(background, np.float32)
        yield np.rint(np.clip(color + behind, 0, 255)).astype(np.uint8)
