"""What windows cost and what they give against one reconstruction, by length: seconds, memory, trajectory error.

    python benchmarks/sfm.py --frames 200,800 --json FILE        # 200 takes two minutes on two cores
    python benchmarks/sfm.py --frames 3000 --modes windows

The frames are features of a synthetic walk (``circuit.py``), so that truth is known and no picture is read. ``open`` is
the same walk on which nothing is recognised when it is seen again. ``joined`` is the trajectory as the windows' own
alignment gives it, before all poses are adjusted together.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from circuit import Circuit
from numpy.typing import NDArray

from resources.colmap import ColmapBackend
from splat_pipeline.domain.alignment import Piece
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.colmap import ColmapModel, read_model
from splat_pipeline.domain.joining import Joined, common_cameras, join, loop_rows
from splat_pipeline.domain.matches import read_pairs
from splat_pipeline.domain.poses import cam_from_world, rms_px
from splat_pipeline.domain.recipe import PoseRecipe
from splat_pipeline.domain.windows import Window, plan_windows
from splat_pipeline.ports.sfm import AdjustmentRequest, MatchRequest, ReconstructionRequest

Float = NDArray[np.float64]
Say = Callable[[str], None]


class Walk:
    """A circuit with its features and matches on disk."""

    def __init__(self, circuit: Circuit, folder: Path, *, recipe: PoseRecipe, say: Say = lambda _: None) -> None:
        self.circuit, self.folder, self.recipe, self.say = circuit, folder, recipe, say
        self.backend = ColmapBackend()
        self.names = circuit.names
        self.positions = {name: i for i, name in enumerate(self.names)}
        self.graph = folder / "pairs.parquet"
        (folder / "images").mkdir(parents=True)
        circuit.write(folder / "features")
        clips = [name.split("/")[0] for name in self.names]
        self.keyframes = pd.DataFrame({"keyframe_id": range(len(self.names)), "video_id": clips})
        began = time.monotonic()
        request = MatchRequest(
            images=self.names,
            camera_ids=[0] * len(self.names),
            features=folder / "features",
            recipe=recipe,
            seed=0,
        )
        self.backend.match(request, self.graph, say=say)
        self.match_s = time.monotonic() - began

    def reconstruct(self, window: Window, strategy: str) -> tuple[ColmapModel | None, dict[str, Any]]:
        """Reconstruct some of the frames."""
        names = self.names[window.first : window.stop]
        out = self.folder / f"{strategy}-{window.first}-{window.stop}"
        request = ReconstructionRequest(
            folder=self.folder / "images",
            images=names,
            camera_ids=[0] * len(names),
            features=self.folder / "features",
            strategy=strategy,
            recipe=self.recipe,
            seed=0,
            graph=self.graph,
        )
        attempt = self.backend.reconstruct(request, out, say=self.say)
        model = read_model(out) if attempt.registered else None
        return model, {"seconds": attempt.seconds, "peak_mb": attempt.peak_rss_bytes / 2**20}

    def windows(self, strategy: str) -> tuple[Joined, list[dict[str, Any]]]:
        """Reconstruct window by window and align them."""
        pieces, costs = [], []
        for window in plan_windows(self.keyframes, self.recipe):
            model, cost = self.reconstruct(window, strategy)
            costs.append(cost)
            if model is not None:
                pieces.append(Piece(window=window, model=model, positions=self.positions))
        return join(pieces, list(read_pairs(self.graph)), seed=0), costs

    def adjusted(self, joined: Joined) -> ColmapModel:
        """Adjust all poses together."""
        order = sorted(joined.poses)
        request = AdjustmentRequest(
            folder=self.folder / "images",
            images=[self.names[at] for at in order],
            camera_ids=[0] * len(order),
            cameras=common_cameras(joined.pieces),
            cams_from_world=np.stack([joined.poses[at] for at in order]),
            features=self.folder / "features",
            graph=self.graph,
            left_out=[(pair.first, pair.second) for pair in joined.disbelieved],
            refine_intrinsics=joined.closed,
            recipe=self.recipe,
            seed=0,
        )
        self.backend.adjust(request, self.folder / "adjusted", say=self.say)
        return read_model(self.folder / "adjusted")

    def poses(self, model: ColmapModel) -> dict[int, Float]:
        """Return the poses of a model by position."""
        return {self.positions[image.name]: cam_from_world(model, i) for i, image in model.images.items()}

    def ate_m(self, poses: Mapping[int, Float]) -> float:
        """Return the trajectory error in metres."""
        order = sorted(poses)
        return trajectory_error(np.stack([poses[at] for at in order]), self.circuit.truth()[order]).ate_rmse


def by_windows(walk: Walk, strategy: str) -> dict[str, Any]:
    """Windows, their alignment, and the adjustment of all poses."""
    began = time.monotonic()
    joined, costs = walk.windows(strategy)
    aligned_s = time.monotonic() - began
    model = walk.adjusted(joined)
    final = walk.poses(model)
    gaps = loop_rows(joined, final, range(len(walk.names)))
    return {
        "windows": len(costs),
        "registered": len(final),
        "rms_px": rms_px(model),
        "ate_joined_m": walk.ate_m(joined.poses),
        "ate_m": walk.ate_m(final),
        "seconds": time.monotonic() - began,
        "adjusting_s": time.monotonic() - began - aligned_s,
        "longest_window_s": max(cost["seconds"] for cost in costs),
        "peak_mb": max(cost["peak_mb"] for cost in costs),
        "loops": len(joined.loops),
        "closed": joined.closed,
        "disbelieved": len(joined.disbelieved),
        "gap_before": float(np.median([row["translation_before"] for row in gaps])) if gaps else None,
        "gap_after": float(np.median([row["translation_after"] for row in gaps])) if gaps else None,
    }


def at_once(walk: Walk, strategy: str) -> dict[str, Any]:
    """One reconstruction of all frames."""
    began = time.monotonic()
    model, cost = walk.reconstruct(Window(window_id=0, first=0, stop=len(walk.names)), strategy)
    if model is None:
        return {"registered": 0, **cost}
    poses = walk.poses(model)
    return {
        "registered": len(poses),
        "rms_px": rms_px(model),
        "ate_m": walk.ate_m(poses),
        **cost,
        "seconds": time.monotonic() - began,
    }


MODES: dict[str, Callable[[Walk], dict[str, Any]]] = {
    "global": lambda walk: at_once(walk, "global"),
    "incremental": lambda walk: at_once(walk, "incremental"),
    "windows": lambda walk: by_windows(walk, "global"),
    "windows-incremental": lambda walk: by_windows(walk, "incremental"),
}


def measure(circuit: Circuit, modes: Sequence[str], *, recipe: PoseRecipe, say: Say = lambda _: None) -> dict[str, Any]:
    """Return the figures of each mode on one walk."""
    with tempfile.TemporaryDirectory() as scratch:
        walk = Walk(circuit, Path(scratch) / "walk", recipe=recipe, say=say)
        found: dict[str, Any] = {"frames": circuit.frames, "seen_again": circuit.seen_again, "match_s": walk.match_s}
        for mode in modes:
            found[mode] = MODES[mode](walk)
            print(circuit.frames, "loop" if circuit.seen_again else "open", mode, found[mode], flush=True)
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", default="200,800", help="lengths, separated by commas")
    parser.add_argument("--modes", default=",".join(MODES), help=f"of {', '.join(MODES)}")
    parser.add_argument("--open", action="store_true", help="also walk without anything being recognised")
    parser.add_argument("--alias", action="store_true", help="with a place that looks like another")
    parser.add_argument("--size", type=int, default=120, help="keyframes of a window")
    parser.add_argument("--overlap", type=int, default=30, help="keyframes that windows share")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    recipe = PoseRecipe(window_over=20, window_size=args.size, window_overlap=args.overlap)
    walks = [
        Circuit(frames=int(frames), seen_again=again, alias=args.alias)
        for frames in args.frames.split(",")
        for again in ((True, False) if args.open else (True,))
    ]
    rows = [measure(walk, args.modes.split(","), recipe=recipe) for walk in walks]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
