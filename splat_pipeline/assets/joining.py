"""The windows of a job become one model: what ``camera_poses`` does when there is more than one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from splat_pipeline.assets.footage import IMAGES, PAIRS_FILE, names_of
from splat_pipeline.assets.known import known_cameras
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.alignment import Piece
from splat_pipeline.domain.errors import NoReconstruction
from splat_pipeline.domain.formats.colmap import ColmapModel, read_model
from splat_pipeline.domain.joining import Joined, common_cameras, join, loop_rows
from splat_pipeline.domain.links import only
from splat_pipeline.domain.matches import read_pairs
from splat_pipeline.domain.metrics.windows import WindowGap, window_gaps
from splat_pipeline.domain.poses import alignment_row, cam_from_world
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.domain.tables import WINDOWS, read_table
from splat_pipeline.domain.windows import Window
from splat_pipeline.ports.sfm import AdjustmentRequest, SfmBackend

MODEL = "joined"
Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class OneModel:
    """What the windows of a job came to."""

    model: ColmapModel
    window_ids: Mapping[int, list[int]]
    """Of the windows that hold it, by keyframe_id."""
    alignment: Sequence[dict[str, Any]]
    loops: Sequence[dict[str, Any]]
    shown: Mapping[str, Any]
    gaps: Sequence[WindowGap] = ()
    """Of windows that share images, as they were placed."""


def one_model(work: Work, sfm: SfmBackend, keyframes: pd.DataFrame) -> OneModel:
    """Return the only window as it is, or all windows aligned, loops closed, adjusted together."""
    source = work.input("local_reconstructions")
    rows = read_table(source / "windows.parquet", WINDOWS)
    planned = {int(row["window_id"]): _window(row) for row in rows.to_dict("records") if row["registered"]}
    if not planned:
        raise NoReconstruction("no window has a model")
    models = {i: read_model(source / "windows" / window.name) for i, window in planned.items()}
    if len(rows) == 1:
        ((window_id, window),) = planned.items()
        return OneModel(
            model=models[window_id],
            window_ids={int(keyframe_id): [window_id] for keyframe_id in window.of(keyframes)["keyframe_id"]},
            alignment=[alignment_row(window_id, Similarity.identity())],
            loops=[],
            shown={"windows": 1},
        )
    return _joined(work, sfm, keyframes, [(planned[i], models[i]) for i in sorted(planned)])


def _window(row: Mapping[Any, Any]) -> Window:
    return Window(window_id=int(row["window_id"]), first=int(row["first"]), stop=int(row["stop"]))


def _joined(
    work: Work, sfm: SfmBackend, keyframes: pd.DataFrame, windows: Sequence[tuple[Window, ColmapModel]]
) -> OneModel:
    names = names_of(keyframes)
    positions = {name: i for i, name in enumerate(names)}
    ids = [int(keyframe_id) for keyframe_id in keyframes["keyframe_id"]]
    pieces = [Piece(window=window, model=only(model, positions), positions=positions) for window, model in windows]
    pairs = list(read_pairs(work.input("match_graph") / PAIRS_FILE))
    joined = join(pieces, pairs, seed=work.recipe.seed)
    _tell(work, joined, pieces, keyframes)
    model = _adjusted(work, sfm, keyframes, joined)
    final = {positions[image.name]: cam_from_world(model, image_id) for image_id, image in model.images.items()}
    inside: dict[int, list[int]] = {}
    for piece in joined.pieces:
        for at in piece.poses:
            inside.setdefault(ids[at], []).append(piece.window.window_id)
    return OneModel(
        model=model,
        window_ids=inside,
        alignment=[
            alignment_row(i, found, shared_observations=joined.shared[i]) for i, found in joined.alignments.items()
        ],
        loops=loop_rows(joined, final, ids),
        gaps=window_gaps([_placed(piece, joined) for piece in joined.pieces]),
        shown={
            "windows": len(pieces),
            "windows_joined": len(joined.pieces),
            "windows_dropped": len(joined.dropped),
            "loops": len(joined.loops),
            "loops_closed": joined.closed,
            "pairs_disbelieved": len(joined.disbelieved),
        },
    )


def _placed(piece: Piece, joined: Joined) -> dict[int, Float]:
    """Return the poses of a window's images as it alone has them, in the frame of all."""
    world = joined.alignments[piece.window.window_id]
    return {at: world.pose(pose) for at, pose in piece.poses.items()}


def _adjusted(work: Work, sfm: SfmBackend, keyframes: pd.DataFrame, joined: Joined) -> ColmapModel:
    order = sorted(joined.poses)
    chosen = keyframes.iloc[order]
    folder = work.folder / MODEL
    request = AdjustmentRequest(
        folder=work.input("keyframes") / IMAGES,
        images=names_of(chosen),
        camera_ids=chosen["camera_id"].tolist(),
        cameras=common_cameras(joined.pieces),
        cams_from_world=np.stack([joined.poses[at] for at in order]),
        features=work.input("features") / "features",
        graph=work.input("match_graph") / PAIRS_FILE,
        left_out=[(pair.first, pair.second) for pair in joined.disbelieved],
        refine_intrinsics=joined.closed,
        recipe=work.recipe.poses,
        seed=work.recipe.seed,
        fixed=sorted(known_cameras(work, keyframes)["cameras"]),
    )
    sfm.adjust(request, folder, say=work.log)
    model = read_model(folder)
    shutil.rmtree(folder)  # the artifact holds it as ``sparse``
    return model


def _tell(work: Work, joined: Joined, pieces: Sequence[Piece], keyframes: pd.DataFrame) -> None:
    """Say what was not believed, and which seconds of which clip are lost."""
    for window_id, reason in joined.suspects.items():
        work.log(f"window {window_id} may be bent and counts less: {reason}")
    for window_id, reason in joined.dropped.items():
        work.log(f"window {window_id} is left out: {reason}")
    if joined.disbelieved:
        work.log(f"{len(joined.disbelieved)} pairs between windows contradict the rest and are left out")
    if joined.loops and not joined.closed:
        work.log("the loops that were found did not make the gaps of others smaller: they are not used")
    inside = {piece.window.window_id for piece in joined.pieces}
    for piece in pieces:
        if piece.window.window_id not in inside:
            rows = piece.window.of(keyframes)
            clip, first, last = rows["video_id"].iloc[0], rows["pts_s"].iloc[0], rows["pts_s"].iloc[-1]
            why = "is not believed" if piece.window.window_id in joined.dropped else "shares too little with the others"
            work.log(f"{clip}, {first:.1f} to {last:.1f} s: {piece.window.name} {why}")
