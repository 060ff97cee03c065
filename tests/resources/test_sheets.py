"""A contact sheet holds every picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resources.sheets import COLUMNS, GAP_PX, MARK, ContactSheets, fitted


def test_pictures_lie_in_a_grid_with_their_captions(tmp_path: Path) -> None:
    pictures = [np.full((60, 80, 3), 10 * i, np.uint8) for i in range(19)]
    ContactSheets().contact_sheet(pictures, [f"{i} s\ngood" for i in range(19)], tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as opened:
        sheet = opened.copy()
    assert sheet.width == COLUMNS * (80 + GAP_PX) + GAP_PX
    last = sheet.getpixel((GAP_PX + 2 * (80 + GAP_PX) + 40, sheet.height - 2 * 14 - GAP_PX - 40))
    assert last == pytest.approx((180, 180, 180), abs=6)


def test_marked_pictures_are_framed_and_no_others(tmp_path: Path) -> None:
    pictures = [np.full((60, 80, 3), 90, np.uint8)] * 2
    ContactSheets().contact_sheet(pictures, ["kept", "no"], tmp_path / "sheet.jpg", marked=[True, False])
    with Image.open(tmp_path / "sheet.jpg") as opened:
        sheet = opened.copy()
    edges = [sheet.getpixel((GAP_PX + i * (80 + GAP_PX) + 1, GAP_PX + 30)) for i in range(2)]
    assert edges[0] == pytest.approx(MARK, abs=40)
    assert edges[1] == pytest.approx((90, 90, 90), abs=8)


def test_a_sheet_of_nothing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 images"):
        ContactSheets().contact_sheet([], [], tmp_path / "sheet.jpg")


def test_a_caption_is_no_wider_than_its_picture(tmp_path: Path) -> None:
    words = "0.5 s fox\nkept: best of its stretch"
    assert fitted(words, 12, len) == "0.5 s fox\nkept: best\nof its\nstretch"
    assert fitted(words, 99, len) == words
    assert fitted("extraordinary", 5, len) == "extra"
    pictures = [np.full((60, 40, 3), 90, np.uint8)] * 2
    for name, caption in (("plain", "a\nb"), ("long", words)):
        ContactSheets().contact_sheet(pictures, [caption, ""], tmp_path / f"{name}.jpg")
    sheets = {}
    for name in ("plain", "long"):
        with Image.open(tmp_path / f"{name}.jpg") as opened:
            sheets[name] = np.asarray(opened.convert("L"))
    assert len(sheets["long"]) > len(sheets["plain"])
    assert sheets["long"][GAP_PX + 62 :, 2 * GAP_PX + 42 :].max() < 60  # nothing under the other picture
    assert sheets["long"][GAP_PX + 62 :, : GAP_PX + 40].max() > 120
