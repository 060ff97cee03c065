"""What scoring frames costs beside decoding them: frames a second of a clip, decoded only, and decoded and scored.

    python benchmarks/scoring.py CLIP            # one thread; 1080p H.264 for the figure in the lab notes

Plain decoding makes of each analysed frame luma at analysis size, as scoring does, and nothing else. Both go over the
clip in turns, and the fastest of each counts: what others do on the machine makes times longer, never shorter.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from resources.clip_probe import probe_clip
from resources.clips import Decoder, paced
from resources.media import PyAvReader
from resources.upright import fitted, upright

ANALYSIS_FPS, ANALYSIS_PX = 10.0, 480


def decode(path: Path) -> int:
    """Decode a clip to analysis size; return how many frames it has."""
    facts = probe_clip(path)
    size = fitted(facts.width_px, facts.height_px, ANALYSIS_PX)
    last = -1
    for index, _, frame in paced(Decoder(path=path), fps=ANALYSIS_FPS, native_fps=facts.fps):
        upright(frame, size, gray=True)
        last = index
    return facts.frame_count or last + 1


def score(path: Path) -> int:
    """Decode and score a clip; return how many frames were scored."""
    reader = PyAvReader()
    facts = reader.probe(path)
    return sum(1 for _ in reader.measure(path, facts, fps=ANALYSIS_FPS, longer_side_px=ANALYSIS_PX, say=print))


def cpu_seconds(work: Callable[[Path], int], path: Path) -> tuple[float, int]:
    """Return the processor's seconds that ``work`` takes, and what it returned."""
    began = time.process_time()
    count = work(path)
    return time.process_time() - began, count


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rounds = [(cpu_seconds(decode, options.clip), cpu_seconds(score, options.clip)) for _ in range(options.rounds)]
    plain_s, scored_s = min(plain for (plain, _), _ in rounds), min(both for _, (both, _) in rounds)
    (_, frames), (_, analysed) = rounds[0]
    figures = {
        "frames": frames,
        "analysed": analysed,
        "decoded_fps": round(frames / plain_s, 1),
        "decoded_and_scored_fps": round(frames / scored_s, 1),
        "ratio": round(plain_s / scored_s, 3),
        "ms_of_scoring_a_frame": round(1000 * (scored_s - plain_s) / analysed, 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
