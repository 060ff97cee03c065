"""Kill processes of a working installation, by chance and with SIGKILL, and count what is lost, doubled, torn or wrong.

    python benchmarks/soak.py --kills 200 --json soak.json
    python benchmarks/soak.py --kills 40 --real --json soak-real.json

Daemon, code server, run workers, steps and tools are the real ones, and so are store, sensors, launcher and the shape
of the graph; the stages are cheap (tests/faults/cheap_stages.py), so that what is delivered can be compared with what
follows from the upload. With --real the stages are the real ones too, on a capture of a few seconds that the project
films itself; what is delivered is held against its manifest. Ends with 1 where anything was lost, doubled, torn or
wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "faults"), str(TESTS.parent)]

from harm import BAD, PATIENT, Contents, Storm, count, is_expected, upload  # noqa: E402
from plant import Plant  # noqa: E402

from benchmarks.gates.cases import CAMERA, FPS, captures  # noqa: E402
from resources.movies import FfmpegWriter  # noqa: E402

RECIPE = {
    "detail": "preview",
    "frames": {"analysis_fps": FPS, "longer_side_px": CAMERA.width_px, "max_keyframes": 14, "holdout_every": 4},
    "poses": {"max_features": 800, "longer_side_px": CAMERA.width_px},
    "training": {"iterations": 120, "longer_side_px": 160, "max_gaussians": 4000},
    "preview": {"width_px": 128, "height_px": 96, "seconds": 1, "fps": 10},
    "exports": {"formats": ["ply"]},
    "viewer": {"enabled": False},
}
"""Of the real stages: small enough that many runs end."""
FILMED, BAD_EVERY = "none-table-3", 6
PATIENCE_S = 3600
"""Until all uploads ended, once there are no more kills."""


def say(line: str) -> None:
    """Tell whoever waits how far it is."""
    print(line, file=sys.stderr, flush=True)


def filmed(folder: Path) -> Callable[[int, random.Random], Contents]:
    """Film a capture; return what makes uploads of it, each with a note of its own; every sixth is no film."""
    capture = next(each for each in captures() if each.name == FILMED)
    FfmpegWriter().write(folder / "a.mp4", iter(capture.film(capture.scene)), fps=FPS)
    clip = (folder / "a.mp4").read_bytes()

    def make(number: int, rng: random.Random) -> Contents:
        bad = number % BAD_EVERY == BAD_EVERY - 1
        return {"a.mp4": BAD + rng.randbytes(2000) if bad else clip, "note.txt": str(number).encode()}

    return make


def is_whole(folder: Path, files: Contents) -> bool:
    """Tell whether a package of the real stages holds what its manifest says, a splat among it, of this upload."""
    told = json.loads((folder / "delivery.json").read_text())
    digests = {file["name"]: sha256((folder / file["name"]).read_bytes()).hexdigest() for file in told["files"]}
    snapshot = json.loads((folder / "snapshot.json").read_text())
    return (
        all(digests[file["name"]] == file["sha256"] for file in told["files"])
        and "splat_data" in {file["data_type"] for file in told["files"]}
        and snapshot["uploaded"] == {"a.mp4": sha256(files["a.mp4"]).hexdigest()}
    )


def main() -> int:
    """Soak, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=5, help="uploads in the inbox while there are kills to come")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two attempts to kill, at most")
    parser.add_argument("--seconds", type=float, default=4 * 3600.0, help="no more kills after so long")
    parser.add_argument("--real", action="store_true", help="real stages, on a capture of a few seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("soak.json"))
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        home, film = Path(folder, "home"), Path(folder, "film")
        home.mkdir()
        film.mkdir()
        make, right = (filmed(film), is_whole) if asked.real else (upload, is_expected)
        module, recipe = ("splat_pipeline.definitions", RECIPE) if asked.real else ("cheap", {})
        pauses = {"pause_s": (0.5, asked.pause), "seconds": asked.seconds, "patience_s": PATIENCE_S}
        storm = Storm(kills=asked.kills, rng=rng, at_once=asked.at_once, make=make, say=say, **pauses)
        with Plant(home=home, module=module, recipe=recipe, instance=PATIENT).running() as plant:
            harm = count(plant, storm.contents, storm.rage(plant), right)
            told = plant.told() if harm.broken else ""
    asked.json.write_text(json.dumps(harm.to_json(), indent=1) + "\n")
    print(json.dumps(harm.to_json()))
    if harm.broken:
        print(told, file=sys.stderr)
    return int(harm.broken)


if __name__ == "__main__":
    sys.exit(main())
