"""Kill processes of a working installation, by chance and with SIGKILL, and count what is lost, doubled, torn or wrong.

    python benchmarks/soak.py --kills 200 --json soak.json

Daemon, code server, run workers, steps and tools are the real ones, and so are store, sensors, launcher and the shape
of the graph; the stages are cheap (tests/faults/cheap_stages.py), so that what is delivered can be compared with what
follows from the upload. Ends with exit code 1 where anything was lost, doubled, torn or wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

from harm import PATIENT, count, storm, uploads  # noqa: E402
from plant import Plant  # noqa: E402

UPLOADS_PER_KILL = 0.3


def main() -> int:
    """Soak, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--uploads", type=int, help="by itself three for ten kills")
    parser.add_argument("--seconds", type=float, default=4 * 3600.0, help="no more kills after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("soak.json"))
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    contents = uploads(asked.uploads or max(3, round(asked.kills * UPLOADS_PER_KILL)), rng)
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as home,
        Plant(home=Path(home), module="cheap", instance=PATIENT).running() as plant,
    ):
        harm = count(plant, contents, storm(plant, contents, kills=asked.kills, rng=rng, seconds=asked.seconds))
        told = plant.told() if harm.broken else ""
    asked.json.write_text(json.dumps(harm.to_json(), indent=1) + "\n")
    print(json.dumps(harm.to_json()))
    if harm.broken:
        print(told, file=sys.stderr)
    return int(harm.broken)


if __name__ == "__main__":
    sys.exit(main())
