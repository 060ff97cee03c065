"""Reading a clip, scoring included, against plain decoding of the same clip to the same size, in the same run.

    python benchmarks/decode.py                    # H.264 and 10-bit HEVC at 1080p, made here
    python benchmarks/decode.py --clip FILE --json FILE

Plain decoding is FFmpeg's own program with its own choice of threads, every frame scaled to analysis size and thrown
away. Reading is what the pipeline does in ``frame_quality``: a guarded child process, its start included, that decodes
every frame and scores ten a second. Each is run ``--rounds`` times, in turns; the best of each counts. ``ratio`` is
reading's frames a second over plain decoding's. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from resources import workers
from resources.guarded import GuardedReader
from resources.sandbox import Finished
from resources.upright import fitted
from splat_pipeline.domain.recipe import FrameRecipe

WIDTH_PX, HEIGHT_PX, FPS = 1920, 1080, 30
CODECS = {
    "h264_1080p": ("libx264", "yuv420p", {"preset": "veryfast", "b": "17M"}),
    "hevc_10bit_1080p": (
        "libx265",
        "yuv420p10le",
        {"preset": "ultrafast", "b": "17M", "x265-params": "log-level=error"},
    ),
}
"""17 Mbit/s is what phones write at this size."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each clip."""
    args = options().parse_args(arguments)
    recipe = FrameRecipe()
    with tempfile.TemporaryDirectory() as folder:
        clips = {path.name: path for path in args.clip} or made(Path(folder), frames=round(args.seconds * FPS))
        cases = [
            measure(name, path, recipe, rounds=args.rounds, size_px=args.analysis_px) for name, path in clips.items()
        ]
    for case in cases:
        sys.stdout.write(
            f"{case['name']}: {case['frames_per_s']} frames/s, plain decoding {case['plain_frames_per_s']}, "
            f"ratio {case['ratio_to_decode']}, peak {case['peak_rss_bytes'] / 2**20:.0f} MiB\n"
        )
    if args.json:
        args.json.write_text(json.dumps({"cases": cases}, indent=1) + "\n")


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a clip of yours; may be repeated")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the clips that are made here")
    parser.add_argument("--rounds", type=int, default=3, help="each way is run so often")
    parser.add_argument("--analysis-px", type=int, default=FrameRecipe().analysis_px, help="longer side")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser


def measure(name: str, path: Path, recipe: FrameRecipe, *, rounds: int, size_px: int) -> dict[str, Any]:
    """Return one case's figures."""
    reader = GuardedReader()
    facts = reader.probe(path)
    width, height = fitted(facts.width_px, facts.height_px, size_px)
    ours_s, plain_s, scored, peak = [], [], 0, 0
    for _ in range(rounds):
        start = time.perf_counter()
        with children() as ended:
            found = reader.measure(path, facts, fps=recipe.analysis_fps, longer_side_px=size_px, say=lambda _: None)
            scored = sum(1 for _ in found)
        ours_s.append(time.perf_counter() - start)
        peak = max(peak, *(child.peak_rss_bytes for child in ended))
        plain_s.append(plain(path, width, height))
    frames = facts.frame_count or 0
    return {
        "name": name,
        "ratio_to_decode": round(min(plain_s) / min(ours_s), 3),
        "frames_per_s": round(frames / min(ours_s), 1),
        "plain_frames_per_s": round(frames / min(plain_s), 1),
        "frames": frames,
        "frames_scored": scored,
        "peak_rss_bytes": peak,
        "size_px": [facts.width_px, facts.height_px],
        "codec": facts.codec,
    }


@contextmanager
def children() -> Iterator[list[Finished]]:
    """Give what becomes of the readers' children meanwhile."""
    ended: list[Finished] = []
    run_child = workers.run_child

    def watched(*args: Any, **options: Any) -> Finished:
        ended.append(run_child(*args, **options))
        return ended[-1]

    workers.run_child = watched
    try:
        yield ended
    finally:
        workers.run_child = run_child


def plain(path: Path, width: int, height: int) -> float:
    """Return the seconds that FFmpeg takes to decode a clip to luma of this size."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    scale = f"scale={width}:{height}:flags=area,format=gray"
    start = time.perf_counter()
    subprocess.run(  # an argument list; the program is the wheel's own
        [program, "-v", "error", "-i", str(path), "-an", "-vf", scale, "-f", "null", "-"], check=True
    )
    return time.perf_counter() - start


def made(folder: Path, *, frames: int) -> dict[str, Path]:
    """Return a clip for each codec. Made by another process: a child's peak memory begins with that of its parent."""
    clips = {name: folder / f"{name}.mp4" for name in CODECS}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.starmap(make, [(path, name, frames) for name, path in clips.items()])
    return clips


def make(path: Path, name: str, frames: int) -> Path:
    """Film a detailed wall from a moving hand, with a sensor's noise."""
    codec, pixels, settings = CODECS[name]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=FPS, options=settings)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, pixels
        for picture in pictures(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode())
    return path


def pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield (H, W, 3) frames: detail of every size, seen by a camera that moves 6 px a frame and rolls a little."""
    import cv2

    rng = np.random.default_rng(0)
    wall = np.zeros((HEIGHT_PX * 2, WIDTH_PX * 2, 3), np.float32)
    for power in range(2, 9):
        shape = (wall.shape[1] >> power, wall.shape[0] >> power)
        coarse = rng.normal(0, 6 + 3 * power, (shape[1], shape[0], 3)).astype(np.float32)
        wall += cv2.resize(coarse, (wall.shape[1], wall.shape[0]), interpolation=cv2.INTER_CUBIC)
    wall = np.clip(wall + 128, 0, 255)
    noise = rng.normal(0, 3, (8, HEIGHT_PX, WIDTH_PX, 1)).astype(np.float32)
    for i in range(count):
        turn = cv2.getRotationMatrix2D((WIDTH_PX, HEIGHT_PX), 2 * np.sin(i / 15), 1.0 + 0.1 * np.sin(i / 40))
        turn[:, 2] -= [WIDTH_PX / 2 + 400 * np.sin(i / 66), HEIGHT_PX / 2 + 200 * np.sin(i / 45)]
        seen = cv2.warpAffine(wall, turn, (WIDTH_PX, HEIGHT_PX), borderMode=cv2.BORDER_REFLECT)
        yield np.clip(seen + noise[i % len(noise)], 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
