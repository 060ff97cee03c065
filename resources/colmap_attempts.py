"""What one attempt at a reconstruction is told, and how it may end."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from pathlib import Path
from typing import Any

from resources.lenses import lenses, rig
from resources.sandbox import Finished
from resources.strategies import STRATEGIES, WIDE_EXHAUSTIVE
from splat_pipeline.ports.sfm import ReconstructionRequest

_NO_MEMORY = re.compile(r"bad_alloc|MemoryError|[Cc]annot allocate memory|[Oo]ut of memory")


def attempt_message(request: ReconstructionRequest, *, folder: Path, scratch: str, threads: int) -> dict[str, Any]:
    """Return what the worker is told; attempts that match alike share the file of their matches."""
    strategy, recipe = STRATEGIES[request.strategy], request.recipe
    every_pair = len(request.images) <= max(recipe.exhaustive_up_to, WIDE_EXHAUSTIVE if strategy.wide else 0)
    message = {
        "command": "reconstruct",
        "folder": str(request.folder),
        "images": list(request.images),
        "camera_ids": [int(camera_id) for camera_id in request.camera_ids],
        "features": str(request.features),
        "every_pair": every_pair,
        "overlap": recipe.overlap * (2 if strategy.wide and not every_pair else 1),
        "seed": request.seed,
        "graph": None if request.graph is None or strategy.rich else str(request.graph),
        "match_more": strategy.wide,
        "cameras": lenses(request.cameras),
        "rig": rig(request.rig),
        "descriptors": strategy.wide or strategy.join,
        "rich": strategy.rich,
        "longer_side_px": recipe.longer_side_px,
        "max_features": recipe.max_features * (2 if strategy.rich else 1),
    }
    same = hashlib.sha256(json.dumps(message, sort_keys=True).encode()).hexdigest()[:16]
    return {
        **message,
        "matches": str(folder.parent / f"matches-{same}.db"),
        "out": str(folder),
        "scratch": scratch,
        "threads": threads,
        "mapper": strategy.mapper,
        "loose": strategy.loose,
        "other": strategy.other,
        "map_seed": request.seed + strategy.other,
        "parts": str(request.parts) if request.parts and not strategy.rich else None,
        "start": str(request.start) if strategy.join and request.start else None,
        "min_model_size": min(10, max(3, len(request.images) // 2)),
    }


def fault_of(finished: Finished) -> str:
    """Name how a child died: at its memory limit, an allocation fails; the kernel kills (9) when the machine's ends."""
    if finished.timed_out:
        return "timeout"
    starved = finished.returncode == -signal.SIGKILL or any(map(_NO_MEMORY.search, finished.last_lines))
    return "memory" if starved else "crashed"
