"""Lenses measured from films of a board, by OpenCV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.clip_probe import probe_clip
from resources.clips import Decoder, paced
from resources.photos import load_image, probe_images
from resources.upright import upright
from splat_pipeline.domain.calibration import Board, Calibration, require_good, require_views
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.ports.progress import Say

Gray = NDArray[np.uint8]
Float = NDArray[np.float64]

FPS = 3.0
MOST_VIEWS = 60
HOLDOUT = 5
MARKER_SHARE = 0.75
"""Side of a marker over the side of its square, as OpenCV's and most printed boards have it."""
LEAST_CORNERS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """The board in one picture."""

    board: Float
    """(N, 3) corners in squares, z = 0."""
    px: Float
    """(N, 2) where they are seen, the centre of the first pixel at 0."""


def calibrate(path: Path, board: Board, *, say: Say) -> Calibration:
    """Return the lens that filmed a clip, or took the photos of a folder.

    Every fifth view is held out: its pose is found with the lens of the others, and its corners tell how good that is.
    Raises ``BadCalibration`` with the number that speaks against it, ``InputError`` where nothing can be read.
    """
    seen, size = [], (0, 0)
    looked = 0
    for picture in _pictures(path):
        size, looked = picture.shape[1::-1], looked + 1
        found = _sighting(picture, board)
        seen += [found] if found is not None else []
    say(f"{path.name}: the board was found in {len(seen)} of {looked} pictures")
    require_views(len(seen), path.name)
    chosen = [seen[i] for i in np.linspace(0, len(seen) - 1, min(len(seen), MOST_VIEWS)).round().astype(int)]
    held = chosen[HOLDOUT // 2 :: HOLDOUT]
    result = _fitted([view for view in chosen if not any(view is other for other in held)], held, size)
    require_good(result, path.name)
    return result


def _pictures(path: Path) -> Iterator[Gray]:
    import cv2

    if path.is_dir():
        facts = probe_images(path)
        for name, size in facts.image_sizes.items():
            if size == (facts.width_px, facts.height_px):  # a lens is measured in pixels of one size
                yield cv2.cvtColor(load_image(path / name, max(facts.width_px, facts.height_px)), cv2.COLOR_RGB2GRAY)
        return
    facts = probe_clip(path)
    for _, _, frame in paced(Decoder(path=path), fps=FPS, native_fps=facts.fps):
        yield upright(frame, (facts.width_px, facts.height_px), gray=True)


def _sighting(picture: Gray, board: Board) -> Sighting | None:
    if board.kind == "charuco":
        return _charuco(picture, board)
    import cv2

    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
    found, corners = cv2.findChessboardCornersSB(picture, (board.columns, board.rows), flags=flags)
    if not found:
        return None
    grid = np.zeros((board.columns * board.rows, 3))
    grid[:, :2] = np.mgrid[: board.columns, : board.rows].T.reshape(-1, 2)
    return Sighting(board=grid, px=corners.reshape(-1, 2).astype(np.float64))


def charuco_board(board: Board) -> Any:
    """Return OpenCV's board, with squares of side 1."""
    import cv2

    words = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
    return cv2.aruco.CharucoBoard((board.columns, board.rows), 1.0, MARKER_SHARE, words)


def _charuco(picture: Gray, board: Board) -> Sighting | None:
    import cv2

    made = charuco_board(board)
    corners, ids, _, _ = cv2.aruco.CharucoDetector(made).detectBoard(picture)
    if ids is None or len(ids) < LEAST_CORNERS:
        return None
    grid = np.asarray(made.getChessboardCorners(), np.float64)[np.ravel(ids)]
    if min(np.ptp(grid[:, 0]), np.ptp(grid[:, 1])) == 0:
        return None  # all on one line: no pose
    return Sighting(board=grid, px=corners.reshape(-1, 2).astype(np.float64))


def _fitted(views: Sequence[Sighting], held: Sequence[Sighting], size: tuple[int, int]) -> Calibration:
    import cv2

    boards = [view.board.astype(np.float32) for view in views]
    corners = [view.px.astype(np.float32) for view in views]
    flags = cv2.CALIB_FIX_K3  # what is left is COLMAP's OPENCV
    rms, matrix, bend, turns, _ = cv2.calibrateCamera(boards, corners, size, None, None, flags=flags)
    lens = (matrix[0, 0], matrix[1, 1], matrix[0, 2] + 0.5, matrix[1, 2] + 0.5, *np.ravel(bend)[:4])  # see px above
    everywhere = np.concatenate([view.px for view in (*views, *held)])
    width, height = size
    return Calibration(
        camera=ColmapCamera(model="OPENCV", width_px=width, height_px=height, params=tuple(map(float, lens))),
        views=len(views),
        heldout_views=len(held),
        rms_px=float(rms),
        heldout_rms_px=_heldout_rms(held, matrix, bend),
        tilt_deg=_tilt_deg([cv2.Rodrigues(turn)[0][:, 2] for turn in turns]),
        span=(float(np.ptp(everywhere[:, 0]) / width), float(np.ptp(everywhere[:, 1]) / height)),
    )


def _tilt_deg(normals: Sequence[Float]) -> float:
    """Return the root mean square angle of unit vectors (3,) from their mean."""
    every = np.array(normals)
    mean = every.mean(axis=0) / np.linalg.norm(every.mean(axis=0))
    return float(np.degrees(np.sqrt((np.arccos(np.clip(every @ mean, -1, 1)) ** 2).mean())))


def _heldout_rms(held: Sequence[Sighting], matrix: Float, bend: Float) -> float:
    import cv2

    squares: list[Float] = []
    for view in held:
        solved, turn, shift = cv2.solvePnP(view.board, view.px, matrix, bend)
        if not solved:
            return float("inf")
        seen, _ = cv2.projectPoints(view.board, turn, shift, matrix, bend)
        squares.append(((seen.reshape(-1, 2) - view.px) ** 2).sum(axis=1))
    return float(np.sqrt(np.concatenate(squares).mean()))
