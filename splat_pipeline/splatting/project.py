"""From Gaussians in the world to ellipses on the image plane.

N     Gaussians; rows (N, W) float32 as in layout.py
cam   (24,) float32 from ``camera_vector``: where the camera stands and how it projects
t     the Gaussian's mean in the camera's axes (x right, y down, z forward)
J     (2, 3) Jacobian of the perspective projection at t
M     (3, 3) = rotation times diag(scale): the Gaussian's axes in the world
A     (2, 3) = J R M, so that its covariance on the image is S = A A^T + BLUR I  (square pixels)
d     a pixel's centre minus the projected mean, pixels
L     upper triangular [[l11, l21], [0, l22]] with |L d|^2 = d^T S^-1 d / 2: alpha = opacity exp(-|L d|^2)
flat  (N, 16) float32, one cache line a Gaussian: u, v (projected mean, pixels), l11, l21, l22, cut (|L d|^2 at which
      alpha is 1/255), opacity, red, green, blue, depth z, half width and half height of the ellipse |L d|^2 = cut
      (pixels), tilt (v of the ellipse's rightmost point minus v of its centre), 2 unused

Projection: Zwicker et al. 2001 (EWA splatting), eq. 27-31; the blur and the clamped tangents of the Jacobian are those
of Kerbl et al. 2023 (reference code), off-centre principal points as in gsplat (Ye et al. 2024, appendix).
L, not the inverse of S, because the sum of squares does not cancel: long thin ellipses stay exact in float32. For the
same reason det S is a sum of squares: |a1 x a2|^2 + BLUR (|a1|^2 + |a2|^2) + BLUR^2 with a1, a2 the rows of A.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.splatting import layout, tiles
from splat_pipeline.splatting.harmonics import fill_basis
from splat_pipeline.splatting.layout import FAST, Float32, Int32, Real

BLUR = np.float32(0.3)
"""Square pixels added to the covariance: no Gaussian is thinner than a pixel."""
NEAR = np.float32(0.01)
"""World units: what is nearer to the camera's plane is not drawn."""
TANGENT = 1.3
"""The Jacobian is taken at most this far out, in half fields of view."""
CUT_ALPHA = np.float32(255)
"""Contributions below 1/255 are not drawn."""
CHUNKS = 64
"""Shares of the Gaussians in a parallel pass."""
HALF = np.float32(0.5)
ONE = np.float32(1)
TWO = np.float32(2)
ZERO = np.float32(0)
HUGE = np.float32(1e12)
ROOT_HALF = np.float32(math.sqrt(0.5))


def camera_vector(camera: Camera, cam_from_world: NDArray[np.float64]) -> Float32:
    """Return (24,): rotation (9, by rows), translation (3), fx, fy, cx, cy, centre (3), tangent limits -x, x, -y, y."""
    rotation, translation = cam_from_world[:3, :3], cam_from_world[:3, 3]
    center = -rotation.T @ translation
    spare_x = (TANGENT - 1) * 0.5 * camera.width_px / camera.fx_px
    spare_y = (TANGENT - 1) * 0.5 * camera.height_px / camera.fy_px
    limits = [
        -(camera.cx_px / camera.fx_px + spare_x),
        (camera.width_px - camera.cx_px) / camera.fx_px + spare_x,
        -(camera.cy_px / camera.fy_px + spare_y),
        (camera.height_px - camera.cy_px) / camera.fy_px + spare_y,
    ]
    lens = [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px]
    return np.concatenate([rotation.ravel(), translation, lens, center, limits, [0.0]]).astype(np.float32)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def to_camera(row: Float32, cam: Float32) -> tuple[Real, Real, Real]:
    """Return t."""
    x, y, z = row[0], row[1], row[2]
    return (
        cam[0] * x + cam[1] * y + cam[2] * z + cam[9],
        cam[3] * x + cam[4] * y + cam[5] * z + cam[10],
        cam[6] * x + cam[7] * y + cam[8] * z + cam[11],
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def rotation_of(row: Float32) -> tuple[Real, ...]:
    """Return the rotation of the row's quaternion (normalised here) by rows, and 1 / its length."""
    w, x, y, z = row[3], row[4], row[5], row[6]
    inverse = ONE / math.sqrt(max(w * w + x * x + y * y + z * z, np.float32(1e-30)))
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    return (
        ONE - TWO * (y * y + z * z),
        TWO * (x * y - w * z),
        TWO * (x * z + w * y),
        TWO * (x * y + w * z),
        ONE - TWO * (x * x + z * z),
        TWO * (y * z - w * x),
        TWO * (x * z - w * y),
        TWO * (y * z + w * x),
        ONE - TWO * (x * x + y * y),
        inverse,
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def jacobian_world(cam: Float32, tx: Real, ty: Real, tz: Real) -> tuple[Real, ...]:
    """Return J R by rows (6), tangents clamped."""
    depth = ONE / tz
    tangent_x = min(max(tx * depth, cam[19]), cam[20])
    tangent_y = min(max(ty * depth, cam[21]), cam[22])
    fx, fy = cam[12] * depth, cam[13] * depth
    return (
        fx * (cam[0] - tangent_x * cam[6]),
        fx * (cam[1] - tangent_x * cam[7]),
        fx * (cam[2] - tangent_x * cam[8]),
        fy * (cam[3] - tangent_y * cam[6]),
        fy * (cam[4] - tangent_y * cam[7]),
        fy * (cam[5] - tangent_y * cam[8]),
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def image_axes(row: Float32, jw: tuple[Real, ...], r: tuple[Real, ...]) -> tuple[Real, ...]:
    """Return A by rows (6) and the three scales, from J R and the Gaussian's rotation."""
    s0, s1, s2 = math.exp(row[7]), math.exp(row[8]), math.exp(row[9])
    return (
        (jw[0] * r[0] + jw[1] * r[3] + jw[2] * r[6]) * s0,
        (jw[0] * r[1] + jw[1] * r[4] + jw[2] * r[7]) * s1,
        (jw[0] * r[2] + jw[1] * r[5] + jw[2] * r[8]) * s2,
        (jw[3] * r[0] + jw[4] * r[3] + jw[5] * r[6]) * s0,
        (jw[3] * r[1] + jw[4] * r[4] + jw[5] * r[7]) * s1,
        (jw[3] * r[2] + jw[4] * r[5] + jw[5] * r[8]) * s2,
        s0,
        s1,
        s2,
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def covariance(a: tuple[Real, ...]) -> tuple[Real, Real, Real, Real]:
    """Return S as (s11, s12, s22) and its determinant."""
    s11 = a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
    s12 = a[0] * a[3] + a[1] * a[4] + a[2] * a[5]
    s22 = a[3] * a[3] + a[4] * a[4] + a[5] * a[5]
    c0 = a[1] * a[5] - a[2] * a[4]
    c1 = a[2] * a[3] - a[0] * a[5]
    c2 = a[0] * a[4] - a[1] * a[3]
    determinant = c0 * c0 + c1 * c1 + c2 * c2 + BLUR * (s11 + s22) + BLUR * BLUR
    return s11 + BLUR, s12, s22 + BLUR, determinant


@njit(cache=True, fastmath=FAST, error_model="numpy")
def sigmoid(x: Real) -> Real:
    """Return 1 / (1 + exp(-x)) in float32."""
    return ONE / (ONE + math.exp(-x))


@njit(cache=True, fastmath=FAST, error_model="numpy")
def flatten_one(row: Float32, cam: Float32, p: Float32) -> bool:
    """Write all of ``p`` (16,) but the colour; return whether the Gaussian may be seen at all."""
    tx, ty, tz = to_camera(row, cam)
    if not tz > NEAR:
        return False
    opacity = sigmoid(row[layout.OPACITY])
    if not opacity * CUT_ALPHA > ONE:
        return False
    axes = image_axes(row, jacobian_world(cam, tx, ty, tz), rotation_of(row))
    s11, s12, s22, determinant = covariance(axes)
    if not (s11 < HUGE and s22 < HUGE and determinant > ZERO):
        return False
    cut = math.log(opacity * CUT_ALPHA)
    p[tiles.U] = cam[12] * tx / tz + cam[14]
    p[tiles.V] = cam[13] * ty / tz + cam[15]
    p[tiles.L11] = ROOT_HALF * math.sqrt(s22 / determinant)
    p[tiles.L21] = -s12 / s22 * p[tiles.L11]
    p[tiles.L22] = ROOT_HALF / math.sqrt(s22)
    p[tiles.CUT] = cut
    p[tiles.OPACITY] = opacity
    p[tiles.DEPTH] = tz
    p[tiles.HALF_X] = math.sqrt(TWO * cut * s11)
    p[tiles.HALF_Y] = math.sqrt(TWO * cut * s22)
    p[tiles.TILT] = s12 / s11 * p[tiles.HALF_X]
    return True


@njit(cache=True, fastmath=FAST, error_model="numpy")
def color_one(row: Float32, cam: Float32, degree: int, k: int, basis: Float32, p: Float32) -> None:
    """Write the colour seen from the camera's centre into ``p``: max(0, 0.5 + sum of basis times coefficients)."""
    x, y, z = row[0] - cam[16], row[1] - cam[17], row[2] - cam[18]
    inverse = ONE / math.sqrt(x * x + y * y + z * z)
    fill_basis(degree, x * inverse, y * inverse, z * inverse, basis)
    active = (degree + 1) ** 2
    for channel in range(3):
        sh = row[layout.SH + channel * k : layout.SH + channel * k + active]
        value = HALF
        for j in range(active):
            value += basis[j] * sh[j]
        p[tiles.RED + channel] = max(value, ZERO)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def project(
    rows: Float32,
    cam: Float32,
    degree: int,
    k: int,
    grid: tuple[int, int],
    flat: Float32,
    touched: Int32,
) -> None:
    """Project all ``rows`` (N, W), seen with harmonics up to ``degree`` of the ``k`` coefficients stored.

    ``grid``: columns and rows of tiles. Writes ``flat`` (N, 16) of those that may touch a tile and
    ``touched`` (N,): 1 for those, 0 for what is behind the camera, outside, too faint, or not finite.
    """
    n = len(rows)
    columns, lines = grid
    for c in prange(CHUNKS):
        basis = np.empty(16, np.float32)
        # An odd factor deals neighbouring chunks to different threads: neighbours tend to be visible together.
        at = (c * 37) % CHUNKS
        for i in range(at * n // CHUNKS, (at + 1) * n // CHUNKS):
            p = flat[i]
            touched[i] = 0
            if flatten_one(rows[i], cam, p) and tiles.is_inside(p, columns, lines):
                color_one(rows[i], cam, degree, k, basis, p)
                touched[i] = 1
