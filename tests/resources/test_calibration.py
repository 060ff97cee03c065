"""A lens that filmed a rendered board is measured; one that cannot be known from what was filmed is refused."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from resources.calibration import calibrate, charuco_board
from splat_pipeline import cli
from splat_pipeline.domain.calibration import Board
from splat_pipeline.domain.errors import BadCalibration
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.lens import distort

SIZE = (640, 480)
LENS = ColmapCamera(
    model="OPENCV", width_px=640, height_px=480, params=(520.0, 524.0, 325.0, 236.0, -0.12, 0.04, 0.001, -0.0015)
)
CHECKER, CHARUCO = Board(kind="checkerboard", columns=8, rows=6), Board(kind="charuco", columns=8, rows=6)
SQUARE_PX = 60


def paper(board):
    """The board as printed, with a margin of one square, and the place of its first corner in px."""
    if board.kind == "charuco":
        size = (board.columns * SQUARE_PX, board.rows * SQUARE_PX)
        drawn = charuco_board(board).generateImage(size, marginSize=0)
        return np.pad(drawn, SQUARE_PX, constant_values=255), (SQUARE_PX, SQUARE_PX)
    rows, columns = np.mgrid[: (board.rows + 1) * SQUARE_PX, : (board.columns + 1) * SQUARE_PX] // SQUARE_PX
    drawn = np.where((rows + columns) % 2, 255, 0).astype(np.uint8)
    return np.pad(drawn, SQUARE_PX, constant_values=255), (2 * SQUARE_PX, 2 * SQUARE_PX)


def undistorted_rays():
    """(H, W, 2) rays of LENS's pixels, by fixed-point iteration: independent of OpenCV's inverse."""
    u, v = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    fx, fy, cx, cy = LENS.params[:4]
    seen = np.stack([(u - cx) / fx, (v - cy) / fy], -1)
    rays = seen.copy()
    for _ in range(30):
        again = (distort(LENS, rays) - [cx, cy]) / [fx, fy]
        rays += seen - again
    return rays


def render(board, rotation, shift, rays):
    """The picture of a board whose first corner is at the origin of its plane, one square long 1."""
    page, (left, top) = paper(board)
    onto = np.linalg.inv(np.column_stack([rotation[:, 0], rotation[:, 1], shift]))
    at = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], -1) @ onto.T
    place = at[..., :2] / at[..., 2:] * SQUARE_PX + [left, top] - 0.5
    big = cv2.remap(page, *np.moveaxis(place.astype(np.float32), -1, 0), cv2.INTER_AREA, borderValue=200)
    return cv2.GaussianBlur(big, (0, 0), 0.7)


def photos(folder, board, *, count=18, tilt=35.0, reach=1.0, wobble=0.0, seed=0):
    folder.mkdir()
    rng, rays = np.random.default_rng(seed), undistorted_rays()
    for i in range(count):
        turn = Rotation.from_euler("xyz", rng.uniform(-1, 1, 3) * [tilt, tilt, 15], degrees=True).as_matrix()
        middle = np.array([rng.uniform(-2.4, 2.4) * reach, rng.uniform(-1.7, 1.7) * reach, rng.uniform(9, 12)])
        shift = middle - turn @ [(board.columns - 1) / 2, (board.rows - 1) / 2, 0]
        picture = render(board, turn, shift, rays)
        if wobble:  # a rolling shutter's: rows shifted
            shifts = (wobble * np.sin(np.arange(SIZE[1]) / 40 + rng.uniform(0, 6)))[:, None] + np.zeros(SIZE[0])
            u, v = np.meshgrid(np.arange(SIZE[0], dtype=np.float32), np.arange(SIZE[1], dtype=np.float32))
            picture = cv2.remap(picture, u + shifts.astype(np.float32), v, cv2.INTER_LINEAR, borderValue=200)
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    return folder


@pytest.mark.parametrize("board", [CHECKER, CHARUCO], ids=lambda board: board.kind)
def test_the_lens_is_the_one_that_filmed(tmp_path, board):
    said = []
    found = calibrate(photos(tmp_path / "board", board), board, say=said.append)
    assert 0 < found.heldout_rms_px < 0.2
    assert found.heldout_views >= 2
    np.testing.assert_allclose(found.camera.params[:4], LENS.params[:4], atol=4)
    edge = np.array([[-0.5, -0.35], [0.5, 0.35], [0.5, -0.35], [0.2, 0.1]])
    np.testing.assert_allclose(distort(found.camera, edge), distort(LENS, edge), atol=2.5)
    assert "the board was found in" in said[0]


def test_a_picture_that_shakes_is_refused_by_its_error(tmp_path):
    with pytest.raises(BadCalibration, match=r"px rms on views held out, 0\.5 at most"):
        calibrate(photos(tmp_path / "board", CHECKER, wobble=2.5), CHECKER, say=print)


def test_a_board_shown_face_on_only_leaves_the_focal_length_open(tmp_path):
    with pytest.raises(BadCalibration, match="tilted by"):
        calibrate(photos(tmp_path / "board", CHECKER, tilt=0.3), CHECKER, say=print)


def test_a_board_in_the_middle_only_is_refused(tmp_path):
    small = Board(kind="charuco", columns=4, rows=4)
    with pytest.raises(BadCalibration, match="reached"):
        calibrate(photos(tmp_path / "board", small, reach=0.1), small, say=print)


def test_another_board_than_the_one_named_is_not_found(tmp_path):
    with pytest.raises(BadCalibration, match="found in 0 views"):
        calibrate(photos(tmp_path / "board", CHARUCO, count=10), CHECKER, say=print)


@pytest.mark.parametrize("text", ["", "9x6", "checkerboard:9", "charuco:2x9", "charuco:999x9", "dots:4x4"])
def test_a_board_that_is_none_is_refused(text):
    with pytest.raises(BadCalibration, match="is no board"):
        Board.parse(text)


def test_the_command_measures_a_clip(tmp_path, film, monkeypatch, capsys):
    pictures = photos(tmp_path / "board", CHECKER, count=14)
    frames = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(pictures.iterdir())]
    clip = film(tmp_path / "left.mp4", frames, fps=3)
    target = tmp_path / "calibration.json"
    monkeypatch.setattr(
        sys, "argv", ["splat", "calibrate", str(clip), "-o", str(target), "--board", "checkerboard:8x6"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads(target.read_text())
    (camera,) = told["cameras"].values()
    assert list(told["cameras"]) == ["left"]
    np.testing.assert_allclose(camera["params"][:2], LENS.params[:2], rtol=0.01)
    assert camera["heldout_rms_px"] < 0.5
