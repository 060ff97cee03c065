"""Real spherical harmonics up to degree 3: the colour of a Gaussian seen from a direction.

x, y, z    a unit vector from the camera to the Gaussian, in the world's axes; sixteen of them, as ``Lanes``
K          (degree + 1)^2 basis functions, ordered by degree, then by order -degree ... degree
basis      (16 K,) float32, their values, sixteen a function

Signs and normalisation are those of Kerbl et al. 2023 (3D Gaussian Splatting), eq. 9 of the supplement of
Fridovich-Keil and Yu et al. 2022 (Plenoxels): what every viewer expects.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from splat_pipeline.splatting import layout, spans
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, column, greater, lanes, load, store
from splat_pipeline.splatting.layout import FAST, Float32
from splat_pipeline.splatting.series import root

C0 = np.float32(0.28209479177387814)
C1 = np.float32(0.4886025119029199)
C2A = np.float32(1.0925484305920792)
C2B = np.float32(0.31539156525252005)
C2C = np.float32(0.5462742152960396)
C3A = np.float32(0.5900435899266435)
C3B = np.float32(2.890611442640554)
C3C = np.float32(0.4570457994644658)
C3D = np.float32(0.3731763325901154)
C3E = np.float32(1.445305721320277)
ZERO = np.float32(0)
HALF = np.float32(0.5)
ONE = np.float32(1)
TWO = np.float32(2)
THREE = np.float32(3)
FOUR = np.float32(4)
EIGHT = np.float32(8)


def coefficients(degree: int) -> int:
    """Return K, the number of coefficients a channel at ``degree``."""
    return (degree + 1) ** 2


@njit(cache=True, fastmath=FAST, error_model="numpy")
def fill_basis(degree: int, x: Any, y: Any, z: Any, basis: Float32) -> None:
    """Write the (degree + 1)^2 basis values at sixteen unit directions (Lanes) into ``basis``, sixteen floats each."""
    store(basis, 0, C0)
    if degree < 1:
        return
    store(basis, 1 * WIDTH, -y * C1)
    store(basis, 2 * WIDTH, z * C1)
    store(basis, 3 * WIDTH, -x * C1)
    if degree < 2:
        return
    xx, yy, zz = x * x, y * y, z * z
    store(basis, 4 * WIDTH, x * y * C2A)
    store(basis, 5 * WIDTH, -y * z * C2A)
    store(basis, 6 * WIDTH, (zz * TWO - xx - yy) * C2B)
    store(basis, 7 * WIDTH, -x * z * C2A)
    store(basis, 8 * WIDTH, (xx - yy) * C2C)
    if degree < 3:
        return
    store(basis, 9 * WIDTH, -y * (xx * THREE - yy) * C3A)
    store(basis, 10 * WIDTH, x * y * z * C3B)
    store(basis, 11 * WIDTH, -y * (zz * FOUR - xx - yy) * C3C)
    store(basis, 12 * WIDTH, z * (zz * TWO - (xx + yy) * THREE) * C3D)
    store(basis, 13 * WIDTH, -x * (zz * FOUR - xx - yy) * C3C)
    store(basis, 14 * WIDTH, z * (xx - yy) * C3E)
    store(basis, 15 * WIDTH, -x * (xx - yy * THREE) * C3A)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def slope(degree: int, x: Any, y: Any, z: Any, weights: Float32) -> tuple[Any, Any, Any]:
    """Return the derivatives by x, y and z (Lanes) of the sum of basis times ``weights``, sixteen floats each.

    x, y and z are taken as independent: the caller projects onto the sphere, as the direction is normalised.
    """
    dx, dy, dz = lanes(ZERO), lanes(ZERO), lanes(ZERO)
    if degree < 1:
        return dx, dy, dz
    dx, dy, dz = load(weights, 3 * WIDTH) * -C1, load(weights, WIDTH) * -C1, load(weights, 2 * WIDTH) * C1
    if degree < 2:
        return dx, dy, dz
    v4, v5, v7 = load(weights, 4 * WIDTH) * C2A, load(weights, 5 * WIDTH) * C2A, load(weights, 7 * WIDTH) * C2A
    v6, v8 = load(weights, 6 * WIDTH) * (TWO * C2B), load(weights, 8 * WIDTH) * (TWO * C2C)
    dx = dx + y * v4 - x * v6 - z * v7 + x * v8
    dy = dy + x * v4 - z * v5 - y * v6 - y * v8
    dz = dz - y * v5 + z * v6 * TWO - x * v7
    if degree < 3:
        return dx, dy, dz
    xx, yy, zz, xy, xz, yz = x * x, y * y, z * z, x * y, x * z, y * z
    v9, v15 = load(weights, 9 * WIDTH) * (THREE * C3A), load(weights, 15 * WIDTH) * (THREE * C3A)
    v10, v12 = load(weights, 10 * WIDTH) * C3B, load(weights, 12 * WIDTH) * (THREE * C3D)
    v11, v13, v14 = load(weights, 11 * WIDTH) * C3C, load(weights, 13 * WIDTH) * C3C, load(weights, 14 * WIDTH) * C3E
    dx = dx - xy * v9 * TWO + yz * v10 + xy * v11 * TWO - xz * v12 * TWO
    dx = dx - (zz * FOUR - xx * THREE - yy) * v13 + xz * v14 * TWO - (xx - yy) * v15
    dy = dy - (xx - yy) * v9 + xz * v10 - (zz * FOUR - xx - yy * THREE) * v11 - yz * v12 * TWO
    dy = dy + xy * v13 * TWO - yz * v14 * TWO + xy * v15 * TWO
    dz = dz + xy * v10 - yz * v11 * EIGHT + (zz * TWO - xx - yy) * v12 - xz * v13 * EIGHT + (xx - yy) * v14
    return dx, dy, dz


@njit(cache=True, fastmath=FAST, error_model="numpy")
def direction(block: Float32, cam: Float32) -> tuple[Any, Any, Any, Any]:
    """Return the unit vector from the camera's centre to the mean, and 1 / their distance."""
    x, y, z = column(block, 0) - cam[16], column(block, 1) - cam[17], column(block, 2) - cam[18]
    inverse = ONE / root(x * x + y * y + z * z)
    return x * inverse, y * inverse, z * inverse, inverse


@njit(cache=True, fastmath=FAST, error_model="numpy")
def tint(block: Float32, cam: Float32, degree: int, basis: Float32, sh: Float32, ellipse: Float32) -> None:
    """Write the colour seen from the camera's centre: max(0, 0.5 + sum of basis times coefficients).

    ``sh`` (16 (W - 16),): the columns of the rows' other lines. ``basis`` (256,) is filled.
    """
    x, y, z, _ = direction(block, cam)
    fill_basis(degree, x, y, z, basis)
    for channel in range(3):
        value = column(block, layout.COLOR + channel) * C0 + HALF
        for j in range(1, (degree + 1) ** 2):
            value = value + column(basis, j) * column(sh, 3 * (j - 1) + channel)
        store(ellipse, (spans.RED + channel) * WIDTH, greater(value, ZERO))
