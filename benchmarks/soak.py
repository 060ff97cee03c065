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

from harm import PATIENT, Storm, count  # noqa: E402
from plant import Plant  # noqa: E402


def say(line: str) -> None:
    """Tell whoever waits how far it is."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Soak, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=5, help="uploads in the inbox while there are kills to come")
    parser.add_argument("--pause", type=float, default=12.0, help="seconds between two attempts to kill, at most")
    parser.add_argument("--seconds", type=float, default=4 * 3600.0, help="no more kills after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("soak.json"))
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    storm = Storm(
        kills=asked.kills, rng=rng, pause_s=(1, asked.pause), at_once=asked.at_once, seconds=asked.seconds, say=say
    )
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as home,
        Plant(home=Path(home), module="cheap", instance=PATIENT).running() as plant,
    ):
        harm = count(plant, storm.contents, storm.rage(plant))
        told = plant.told() if harm.broken else ""
    asked.json.write_text(json.dumps(harm.to_json(), indent=1) + "\n")
    print(json.dumps(harm.to_json()))
    if harm.broken:
        print(told, file=sys.stderr)
    return int(harm.broken)


if __name__ == "__main__":
    sys.exit(main())
