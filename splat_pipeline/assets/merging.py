"""Models of one window that came apart are put together, by what they share: images, or verified matches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from splat_pipeline.assets.footage import Footage, names_of
from splat_pipeline.assets.known import known_cameras
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.alignment import Piece
from splat_pipeline.domain.errors import ToolError
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.joining import Joined, common_cameras, join
from splat_pipeline.domain.matches import read_pairs
from splat_pipeline.domain.poses import rms_px
from splat_pipeline.domain.windows import Window
from splat_pipeline.ports.sfm import AdjustmentRequest, Attempt, SfmBackend

LEAST_NEW = 3
"""Images that a part must have which no other has: less is not worth an adjustment."""


def merged(  # noqa: PLR0917  # what is merged, of what, and where to
    work: Work, sfm: SfmBackend, footage: Footage, models: Sequence[Path], left_s: float, folder: Path
) -> Attempt | None:
    """Join the models in ``models``, best first, and write the whole to ``folder``; None where nothing is gained."""
    names = names_of(footage.frames)
    positions = {name: i for i, name in enumerate(names)}
    window = Window(window_id=0, first=0, stop=len(names))
    pieces: list[Piece] = []
    for path in models:
        piece = Piece(window=_numbered(window, len(pieces)), model=read_model(path), positions=positions)
        known = set[int]().union(*(other.poses for other in pieces))
        if not pieces or len(set(piece.poses) - known) >= LEAST_NEW:
            pieces.append(piece)
    if len(pieces) < 2:
        return None
    joined = join(pieces, list(read_pairs(footage.graph, positions)), seed=work.recipe.seed)
    if len(joined.poses) < len(pieces[0].poses) + LEAST_NEW:
        return None
    work.log(f"models of {[len(piece.poses) for piece in joined.pieces]} images hang together: merging them")
    began = time.monotonic()
    try:
        sfm.adjust(_adjustment(work, footage, joined, left_s), folder, say=work.log)
    except ToolError as error:
        work.log(f"merging: {type(error).__name__}: {error.cause}")
        return _attempt(began, outcome="crashed")
    model = read_model(folder)
    return footage.counted(_attempt(began, registered=len(model.images), rms=rms_px(model)), folder)


def _numbered(window: Window, window_id: int) -> Window:
    return Window(window_id=window_id, first=window.first, stop=window.stop)


def _adjustment(work: Work, footage: Footage, joined: Joined, left_s: float) -> AdjustmentRequest:
    order = sorted(joined.poses)
    chosen, recipe = footage.frames.iloc[order], work.recipe.poses
    return AdjustmentRequest(
        folder=footage.images,
        images=names_of(chosen),
        camera_ids=chosen["camera_id"].tolist(),
        cameras=common_cameras(joined.pieces),
        cams_from_world=np.stack([joined.poses[at] for at in order]),
        features=footage.features,
        graph=footage.graph,
        fixed=sorted(known_cameras(work, chosen)["cameras"]),
        left_out=[(pair.first, pair.second) for pair in joined.disbelieved],
        refine_intrinsics=joined.closed,
        recipe=recipe.model_copy(update={"time_limit_s": min(recipe.time_limit_s, left_s)}),
        seed=work.recipe.seed,
    )


def _attempt(began: float, *, outcome: str = "model", registered: int = 0, rms: float = float("nan")) -> Attempt:
    return Attempt(
        registered=registered,
        models=1 if registered else 0,
        rms_px=rms,
        outcome=outcome,
        seconds=time.monotonic() - began,
        peak_rss_bytes=0,
    )
