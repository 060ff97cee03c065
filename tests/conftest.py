"""Fixtures that every test may use."""

from __future__ import annotations

import os
import sys
import uuid
import zlib  # noqa: F401  # before pycolmap, whose module exports zlib's symbols: see docs/lab-notes.md
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

settings.register_profile("any machine", deadline=None)  # a busy machine is no failure
settings.load_profile("any machine")
sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode does not see what lies beside the tests


SPOKEN_WITH = pytest.StashKey[set[str]]()


@pytest.fixture(scope="session")
def spoken_with(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Note what a test has spoken with where a recording may stand in for a program: the end of the run says it."""
    return request.config.stash.setdefault(SPOKEN_WITH, set()).add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which programs answered themselves and which were played by a recording."""
    for what in sorted(config.stash.get(SPOKEN_WITH, ())):
        terminalreporter.write_line(f"SPOKEN WITH {what}", yellow=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real captures (dev/) and broken files (bad/); the project does not need it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SPLAT_TEST_DATA", beside))
    if not (folder / "bad").is_dir():
        pytest.skip(f"no real captures at {folder}: set SPLAT_TEST_DATA to run this")
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a bucket in an S3 server on loopback, whose credentials are in the environment meanwhile."""
    import object_stores

    with object_stores.s3() as env, object_stores.surroundings(env):
        yield f"s3://{object_stores.BUCKET}"


@pytest.fixture(scope="session")
def azure_server() -> Iterator[str]:
    """The address of a container in an Azure blob server on loopback."""
    import object_stores

    with object_stores.azure() as env, object_stores.surroundings(env):
        yield f"az://{object_stores.BUCKET}"


@pytest.fixture(params=["folder", "s3", "azure"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh prefix, or folder, of every kind of place in turn: what a setting may hold."""
    if request.param == "folder":
        return str(tmp_path / "place")
    server = request.getfixturevalue("s3_server" if request.param == "s3" else "azure_server")
    return f"{server}/{uuid.uuid4().hex}/a prefix"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory, closed afterwards."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="session")
def walk() -> Callable[..., list[NDArray[np.uint8]]]:
    """Give RGB frames of a camera that moves past a photograph, with a nearer one before it: real texture, parallax."""
    from skimage import data

    far, near = np.tile(data.astronaut(), (1, 3, 1)), data.coffee()[100:250, 100:260]

    def frames(count: int, *, step_px: int = 4, width: int = 320, height: int = 240) -> list[NDArray[np.uint8]]:
        out = []
        for i in range(count):
            frame = far[60 : 60 + height, 40 + i * step_px : 40 + i * step_px + width].copy()
            left = (i * step_px * 2) % (width - 60)
            part = near[: height - 80, : min(near.shape[1], width - left)]
            frame[60 : 60 + part.shape[0], left : left + part.shape[1]] = part
            out.append(frame)
        return out

    return frames


@pytest.fixture(scope="session")
def film() -> Callable[..., Path]:
    """Give a function that encodes RGB frames as a small H.264 clip."""
    import av

    def write(
        path: Path, frames: Iterable[NDArray[np.uint8]], *, fps: int = 10, options: Mapping[str, str] | None = None
    ) -> Path:
        with av.open(str(path), "w", options=dict(options or {})) as container:
            stream = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "ultrafast"})
            stream.pix_fmt = "yuv420p"
            for i, picture in enumerate(frames):
                if i == 0:
                    stream.height, stream.width = picture.shape[:2]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A rendered capture of two cameras with known truth, and what COLMAP made of it."""
    import scene

    return scene.reconstructed(tmp_path_factory.mktemp("capture"))
