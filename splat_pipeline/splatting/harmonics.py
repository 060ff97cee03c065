"""Real spherical harmonics up to degree 3: the colour of a Gaussian seen from a direction.

x, y, z    a unit vector from the camera to the Gaussian, in the world's axes
K          (degree + 1)^2 basis functions, ordered by degree, then by order -degree ... degree
basis      (K,) float32, their values; gradient (3, K) float32, their derivatives by x, y and z

Signs and normalisation are those of Kerbl et al. 2023 (3D Gaussian Splatting), eq. 9 of the supplement of
Fridovich-Keil and Yu et al. 2022 (Plenoxels): what every viewer expects.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from splat_pipeline.splatting.layout import FAST, Float32, Real

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
TWO = np.float32(2)
THREE = np.float32(3)
FOUR = np.float32(4)
SIX = np.float32(6)


def coefficients(degree: int) -> int:
    """Return K, the number of coefficients a channel at ``degree``."""
    return (degree + 1) ** 2


@njit(cache=True, fastmath=FAST, error_model="numpy")
def fill_basis(degree: int, x: Real, y: Real, z: Real, basis: Float32) -> None:
    """Write the (degree + 1)^2 basis values at the unit direction into ``basis``."""
    basis[0] = C0
    if degree < 1:
        return
    basis[1] = -C1 * y
    basis[2] = C1 * z
    basis[3] = -C1 * x
    if degree < 2:
        return
    xx, yy, zz = x * x, y * y, z * z
    basis[4] = C2A * x * y
    basis[5] = -C2A * y * z
    basis[6] = C2B * (TWO * zz - xx - yy)
    basis[7] = -C2A * x * z
    basis[8] = C2C * (xx - yy)
    if degree < 3:
        return
    basis[9] = -C3A * y * (THREE * xx - yy)
    basis[10] = C3B * x * y * z
    basis[11] = -C3C * y * (FOUR * zz - xx - yy)
    basis[12] = C3D * z * (TWO * zz - THREE * xx - THREE * yy)
    basis[13] = -C3C * x * (FOUR * zz - xx - yy)
    basis[14] = C3E * z * (xx - yy)
    basis[15] = -C3A * x * (xx - THREE * yy)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def fill_gradient(degree: int, x: Real, y: Real, z: Real, gradient: Float32) -> None:
    """Write the derivatives of the basis polynomials into ``gradient`` (3, K), x, y, z taken as independent.

    The caller projects onto the sphere, as the direction is normalised.
    """
    gx, gy, gz = gradient[0], gradient[1], gradient[2]
    gx[0], gy[0], gz[0] = ZERO, ZERO, ZERO
    if degree < 1:
        return
    gx[1], gy[1], gz[1] = ZERO, -C1, ZERO
    gx[2], gy[2], gz[2] = ZERO, ZERO, C1
    gx[3], gy[3], gz[3] = -C1, ZERO, ZERO
    if degree < 2:
        return
    gx[4], gy[4], gz[4] = C2A * y, C2A * x, ZERO
    gx[5], gy[5], gz[5] = ZERO, -C2A * z, -C2A * y
    gx[6], gy[6], gz[6] = -TWO * C2B * x, -TWO * C2B * y, FOUR * C2B * z
    gx[7], gy[7], gz[7] = -C2A * z, ZERO, -C2A * x
    gx[8], gy[8], gz[8] = TWO * C2C * x, -TWO * C2C * y, ZERO
    if degree < 3:
        return
    xx, yy, zz = x * x, y * y, z * z
    gx[9], gy[9], gz[9] = -SIX * C3A * x * y, -THREE * C3A * (xx - yy), ZERO
    gx[10], gy[10], gz[10] = C3B * y * z, C3B * x * z, C3B * x * y
    gx[11], gy[11], gz[11] = TWO * C3C * x * y, -C3C * (FOUR * zz - xx - THREE * yy), -TWO * FOUR * C3C * y * z
    gx[12], gy[12], gz[12] = -SIX * C3D * x * z, -SIX * C3D * y * z, THREE * C3D * (TWO * zz - xx - yy)
    gx[13], gy[13], gz[13] = -C3C * (FOUR * zz - THREE * xx - yy), TWO * C3C * x * y, -TWO * FOUR * C3C * x * z
    gx[14], gy[14], gz[14] = TWO * C3E * x * z, -TWO * C3E * y * z, C3E * (xx - yy)
    gx[15], gy[15], gz[15] = -THREE * C3A * (xx - yy), SIX * C3A * x * y, ZERO
