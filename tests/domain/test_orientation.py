"""The eight ways to lay a picture down are told apart, and undone."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from splat_pipeline.domain.orientation import AS_STORED, BY_EXIF, Orientation, from_display_matrix

PICTURE = np.arange(12, dtype=np.uint8).reshape(3, 4)


def matrix(a: float, b: float, c: float, d: float) -> bytes:
    one = 1 << 16
    return struct.pack("=9i", round(a * one), round(b * one), 0, round(c * one), round(d * one), 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("value", BY_EXIF)
def test_exif_orientations_are_those_of_pillow(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    image = Image.fromarray(PICTURE)
    image.info["exif"] = exif.tobytes()
    np.testing.assert_array_equal(BY_EXIF[value].applied(PICTURE), np.asarray(ImageOps.exif_transpose(image)))
    assert BY_EXIF[value].shown(4, 3) == BY_EXIF[value].applied(PICTURE).shape[::-1]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_a_display_matrix_moves_each_pixel_where_it_says(quarters: int, mirrored: bool) -> None:
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]
    side = -1 if mirrored else 1
    a, b, c, d = side * cos, side * sin, -sin, cos
    orientation = from_display_matrix(matrix(a, b, c, d))
    assert orientation == Orientation(mirrored=mirrored, quarters=quarters)
    rows, columns = np.mgrid[:3, :4]
    x, y = (a * columns + c * rows), (b * columns + d * rows)
    shown = orientation.applied(PICTURE)
    np.testing.assert_array_equal(shown[y - y.min(), x - x.min()], PICTURE)


def test_a_slanted_matrix_goes_to_the_nearer_quarter_and_a_broken_one_changes_nothing() -> None:
    slant = np.deg2rad(80)
    turned = from_display_matrix(matrix(np.cos(slant), np.sin(slant), -np.sin(slant), np.cos(slant)))
    assert turned == Orientation(quarters=1)
    for data in (b"", b"\0" * 36, matrix(1, 1, 1, 1)):
        assert from_display_matrix(data) == AS_STORED
