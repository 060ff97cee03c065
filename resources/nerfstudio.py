"""nerfstudio's splatfacto, in an environment of its own: ``SPLAT_NERFSTUDIO_ENV``, a venv or ``docker:IMAGE``.

It pins what Dagster cannot live with. We write its data set ourselves and have it neither centre, turn nor scale the
world, so that what it exports is in ours; that it has not is checked, from the file in which it says what it did.
Arguments are those of nerfstudio 1.1.5; ``splatfacto-mcmc`` came after it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resources.colmap_folder import IMAGES, model_of, write_images
from resources.command_trainer import CommandTrainer, Places, Program
from splat_pipeline.domain.errors import BadAnswer
from splat_pipeline.domain.formats.points_ply import write_points
from splat_pipeline.domain.formats.transforms import transforms_of
from splat_pipeline.ports.progress import Say
from splat_pipeline.ports.training import TrainingViews

VARIABLE, IMAGE = "SPLAT_NERFSTUDIO_ENV", "docker:"
POINTS = "sparse_points.ply"
MOVED = 1e-4
"""By how much the entries of its transform may differ from the identity: it says them in float32."""
REMOVE_S = 30
WORLD = ("--orientation-method", "none", "--center-method", "none", "--auto-scale-poses", "False")


def write_dataset(folder: Path, views: TrainingViews, points: NDArray[np.float32], colors: NDArray[np.uint8]) -> None:
    """Write ``transforms.json``, the images and the sparse points (P, 3) of ``colors`` (P, 3)."""
    write_images(folder / IMAGES, views)
    write_points(folder / POINTS, points, colors)
    told = transforms_of(model_of(views, points, colors))
    for frame in told["frames"]:
        frame["file_path"] = f"{IMAGES}/{frame['file_path']}"
    names = [frame["file_path"] for frame in told["frames"]]
    # all are trained on; as some must be named for evaluation, the first stands for those too
    splits = {"train_filenames": names, "val_filenames": names[:1], "test_filenames": names[:1]}
    (folder / "transforms.json").write_text(json.dumps({**told, "ply_file_path": POINTS, **splits}), encoding="utf-8")


def check_world(output: Path) -> None:
    """Raise ``BadAnswer`` where nerfstudio says that it moved the world, or says nothing."""
    found = sorted(output.glob("*/*/*/dataparser_transforms.json"))
    if not found:
        raise BadAnswer("nerfstudio left no dataparser_transforms.json: it is not known where its world is")
    try:
        told = json.loads(found[-1].read_text(encoding="utf-8"))
        transform, scale = np.array(told["transform"], np.float64), float(told["scale"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswer(f"dataparser_transforms.json cannot be read: {error!r}") from None
    same = transform.shape == (3, 4) and np.allclose(transform, np.eye(3, 4), atol=MOVED) and abs(scale - 1) < MOVED
    if not same:
        raise BadAnswer(f"nerfstudio moved the world, by {transform.tolist()} and a scale of {scale}")


def programs_of(*names: str) -> Places | str:
    """Return where programs of the environment are, by name; or what is missing."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return f"{VARIABLE} names neither a virtual environment nor {IMAGE}IMAGE"
    if asked.startswith(IMAGE):
        return {name: name for name in names} if shutil.which("docker") else "docker is not installed"
    folder = Path(asked).expanduser().absolute() / "bin"
    for name in names:
        if not os.access(folder / name, os.X_OK):
            return f"{VARIABLE}: there is no program {folder / name}"
    return {name: str(folder / name) for name in names}


def locate(method: str) -> Callable[[], Places | str]:
    """Return what finds the environment, and says whether it knows ``method``."""

    def find() -> Places | str:
        found = programs_of("ns-train", "ns-export")
        if isinstance(found, str):
            return found
        environment = Path(found["ns-train"]).parent.parent
        if not knows(environment, method):
            return f"nerfstudio {version_in(environment)} has no {method}: it came after 1.1.5"
        return {"train": found["ns-train"], "export": found["ns-export"]}

    return find


def version_in(environment: Path) -> str | None:
    """Return the version of nerfstudio that is installed in a virtual environment; None: not known."""
    found = sorted(environment.glob("lib/python3*/site-packages/nerfstudio-*.dist-info"))
    return found[-1].name.removeprefix("nerfstudio-").removesuffix(".dist-info") if found else None


def knows(environment: Path, method: str) -> bool:
    """Tell whether the nerfstudio of a virtual environment has ``method``; it is believed to where it cannot be read.

    Its list of methods is looked at and not its version: what is installed from a checkout may be called anything.
    """
    listed = sorted(environment.glob("lib/python3*/site-packages/nerfstudio/configs/method_configs.py"))
    return not listed or f'"{method}"' in listed[-1].read_text(encoding="utf-8")


def row(name: str, method: str, more: Sequence[str] = ()) -> Program:
    """Return how ``ns-train METHOD`` is called, and what it trained exported."""
    return Program(
        name=name,
        licence="Apache-2.0",
        find=locate(method),
        write=write_dataset,
        check=check_world,
        argv=(
            "{train}", method, "--output-dir", "{output}", "--experiment-name", "job", "--timestamp", "run",
            "--vis", "tensorboard", "--logging.local-writer.max-log-size", "0", "--machine.seed", "{seed}",
            "--max-num-iterations", "{iterations}", "--steps-per-eval-image", "0", "--steps-per-eval-all-images", "0",
            "--pipeline.model.sh-degree", "{sh_degree}", "--optimizers.means.scheduler.max-steps", "{iterations}",
            *more,
            "nerfstudio-data", "--data", "{data}", "--downscale-factor", "1", "--load-3D-points", "True", *WORLD,
        ),
        # the folder is called like the method, or like the one that it varies
        then=[
            ("{export}", "gaussian-splat", "--load-config", "{output}/job/*/run/config.yml",
             "--output-dir", "{output}/ply"),
        ],
        output="ply/splat.ply",
        progress=r"^(?P<iteration>\d+) \(\d+\.\d+%\)",
    )  # fmt: skip


class NerfstudioTrainer(CommandTrainer):
    """The same in a container where the environment is an image."""

    def run(self, argv: Sequence[str], *, time_limit_s: float, cwd: Path, say: Say) -> None:
        """Run one of the commands."""
        with reaching(cwd.parent) as prefix:
            super().run([*prefix, *argv], time_limit_s=time_limit_s, cwd=cwd, say=say)


@contextmanager
def reaching(folder: Path) -> Iterator[Sequence[str]]:
    """Give what goes before a command that works in ``folder``: nothing, or what runs it in the image.

    The container is removed in the end, whatever has become of its client.
    """
    asked = os.environ.get(VARIABLE, "")
    if not asked.startswith(IMAGE):
        yield ()
        return
    name = f"splat-{uuid.uuid4().hex}"
    try:
        yield in_container(asked.removeprefix(IMAGE), name, folder)
    finally:
        gone = ["docker", "rm", "--force", name]  # to kill the client kills no container
        subprocess.run(gone, check=False, capture_output=True, timeout=REMOVE_S)  # noqa: S603  # no shell


def in_container(image: str, name: str, folder: Path) -> list[str]:
    """Return what goes before a command that runs in ``image``, with ``folder`` and the GPUs, without a network."""
    user = f"{os.getuid()}:{os.getgid()}"
    mounted = f"type=bind,source={folder},target={folder}"
    room = ["--shm-size", "2g", "--env", "HOME=/tmp", "--user", user, "--workdir", str(folder)]
    asked = ["--gpus", "all", "--network", "none", "--mount", mounted]
    return ["docker", "run", "--rm", "--init", "--name", name, *asked, *room, "--entrypoint", "", image]


_HALF = ("--pipeline.model.stop-split-at", "{half}")
SPLATFACTO = NerfstudioTrainer(row("nerfstudio", "splatfacto", _HALF))
SPLATFACTO_BIG = NerfstudioTrainer(row("nerfstudio-big", "splatfacto-big", _HALF))
SPLATFACTO_MCMC = NerfstudioTrainer(
    row("nerfstudio-mcmc", "splatfacto-mcmc", ("--pipeline.model.max-gs-num", "{max_gaussians}"))
)
