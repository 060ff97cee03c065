"""Windows that their siblings cast doubt on are redone another way, before all are joined."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from splat_pipeline.assets.footage import PAIRS_FILE, footage_of, names_of
from splat_pipeline.assets.posed import is_given
from splat_pipeline.assets.rescue import attempt_row, request_for
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.alignment import Piece
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.links import only
from splat_pipeline.domain.matches import MatchedPair, read_pairs
from splat_pipeline.domain.rescue import another_way
from splat_pipeline.domain.suspects import doubts
from splat_pipeline.domain.tables import KEYFRAMES, read_table
from splat_pipeline.domain.windows import Window, offered, settle_again, window_row
from splat_pipeline.ports.sfm import SfmBackend

MOST_LOST = 0.1
"""Of a window's images, that a model above doubt may have less."""
AGAIN = "again"
Rows = list[dict[str, Any]]


@dataclass(kw_only=True, eq=False)
class Gathered:
    """What the windows of a job came to, by window_id. Their models lie in ``folder``, by the windows' names."""

    folder: Path
    planned: Sequence[Window]
    windows: dict[int, dict[str, Any]]
    """Rows of ``tables.WINDOWS``."""
    attempts: dict[int, Rows]
    """Rows of ``tables.ATTEMPTS``."""


def look_again(work: Work, sfm: SfmBackend, gathered: Gathered) -> None:
    """Redo each doubted window once; what nothing speaks against any more takes the place of what was doubted."""
    keyframes = read_table(work.input("keyframes") / "keyframes.parquet", KEYFRAMES)
    positions = {name: i for i, name in enumerate(names_of(keyframes))}
    by_name = {window.name: window for window in gathered.planned}
    pieces = {
        window.window_id: _piece(window, gathered.folder / name, positions)
        for name, window in by_name.items()
        if (gathered.folder / name).is_dir()
    }
    if len(pieces) < 2:
        return  # nobody to compare with
    pairs = list(read_pairs(work.input("match_graph") / PAIRS_FILE))
    for window_id, reason in doubts(list(pieces.values()), pairs, seed=work.recipe.seed).items():
        work.log(f"window {window_id} may be bent: {reason}")
        window = pieces[window_id].window
        row = _redone(work, sfm, window, gathered)
        if row is None:
            continue
        again = work.folder / AGAIN / "model"
        found = _piece(window, again, positions) if row["registered"] else None
        taken = found is not None and _above_doubt(found, pieces, pairs, seed=work.recipe.seed)
        if found is not None and taken:
            pieces[window_id] = found
            shutil.rmtree(gathered.folder / window.name)
            again.rename(gathered.folder / window.name)
        shutil.rmtree(again.parent)
        work.log(f"window {window_id} by {row['strategy']}: {'taken' if taken else 'no better'}")
        best, rows = settle_again(gathered.attempts[window_id], row, taken=taken)
        gathered.attempts[window_id], gathered.windows[window_id] = rows, window_row(window, rows, best)


def _piece(window: Window, folder: Path, positions: Mapping[str, int]) -> Piece:
    return Piece(window=window, model=only(read_model(folder), positions), positions=positions)


def _redone(work: Work, sfm: SfmBackend, window: Window, gathered: Gathered) -> dict[str, Any] | None:
    """Try the window another way, in ``AGAIN/model``, and return the row; None when no way, or time, is left."""
    rows, recipe = gathered.attempts[window.window_id], work.recipe.poses
    kept = gathered.windows[window.window_id]["strategy"]
    left_s = recipe.rescue_limit_s - sum(row["seconds"] for row in rows)
    strategy = another_way([row["strategy"] for row in rows], kept, offered(sfm.strategies, recipe.mapper))
    if strategy is None or left_s <= 0 or is_given(kept):
        return None
    (work.folder / AGAIN).mkdir()  # a backend may leave its matches beside the model
    footage, model = footage_of(work, window, work.folder / AGAIN / "footage"), work.folder / AGAIN / "model"
    request = request_for(work, footage, strategy, left_s=left_s)
    attempt = footage.counted(sfm.reconstruct(request, model, say=work.log), model)
    return attempt_row(asdict(attempt) | {"strategy": strategy}, window, len(rows), len(footage.keyframes))


def _above_doubt(found: Piece, pieces: Mapping[int, Piece], pairs: Sequence[MatchedPair], *, seed: int) -> bool:
    window_id = found.window.window_id
    if len(found.poses) < (1 - MOST_LOST) * len(pieces[window_id].poses):
        return False
    return window_id not in doubts([*{**pieces, window_id: found}.values()], pairs, seed=seed)
