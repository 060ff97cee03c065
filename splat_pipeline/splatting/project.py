"""From Gaussians in the world to ellipses on the image plane.

N     Gaussians; rows (N, W) float32 as in layout.py
cam   (24,) float32 from ``camera_vector``: where the camera stands and how it projects
t     the Gaussian's mean in the camera's axes (x right, y down, z forward)
J     (2, 3) Jacobian of the perspective projection at t
M     (3, 3) = rotation times diag(scale): the Gaussian's axes in the world
A     (2, 3) = J R M, so that its covariance on the image is S = A A^T + BLUR I  (square pixels)
rho   sqrt(det(A A^T) / det S) for Gaussians that are antialiased, else 1: what the blur makes wider it makes fainter,
      so that a Gaussian thinner than a pixel gives the same light at every resolution
d     a pixel's centre minus the projected mean, pixels
L     upper triangular [[l11, l21], [0, l22]] with |L d|^2 = d^T S^-1 d / 2: alpha = opacity exp(-|L d|^2)
flat  (N, 16) float32, one cache line a Gaussian: u, v (projected mean, pixels), l11, l21, l22, cut (|L d|^2 at which
      alpha is 1/255), opacity times rho, red, green, blue, depth z, half width and half height of the ellipse
      |L d|^2 = cut (pixels), tilt (v of the ellipse's rightmost point minus v of its centre), 2 unused

Projection: Zwicker et al. 2001 (EWA splatting), eq. 27-31; the blur and the clamped tangents of the Jacobian are those
of Kerbl et al. 2023 (reference code), off-centre principal points as in gsplat (Ye et al. 2024, appendix). rho is the
2D filter of Mip-Splatting (Yu et al. 2024, eq. 10), with the blur of gsplat's ``rasterize_mode="antialiased"``.
Sixteen Gaussians are worked on at once: sixteen cache lines are turned into sixteen columns, of one parameter each, the
``Lanes`` of the formulas; ``block`` (256,) float32 are the columns of the rows' first lines.
L, not the inverse of S, because the sum of squares does not cancel: long thin ellipses stay exact in float32. For the
same reason det S is a sum of squares: |a1 x a2|^2 + BLUR (|a1|^2 + |a2|^2) + BLUR^2 with a1, a2 the rows of A.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.splatting import layout, spans
from splat_pipeline.splatting.harmonics import tint
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, bits, column, first_bit, greater, lesser, load, room, store
from splat_pipeline.splatting.layout import FAST, LINE, Float32, Int32, Real
from splat_pipeline.splatting.series import exponential, logarithm, root
from splat_pipeline.splatting.spans import NUMBERS, Int16
from splat_pipeline.splatting.turns import transpose

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
SQUARE = LINE * WIDTH
MARGIN = np.float32(1)
"""Pixels by which the picture is taken larger here: which tiles are touched is for spans.py to say."""
ROOT_HALF = np.float32(math.sqrt(0.5))
ANTIALIASED = 23
"""Where ``cam`` says whether opacities are multiplied by rho: 1 or 0."""


def camera_vector(camera: Camera, cam_from_world: NDArray[np.float64], *, antialiased: bool = False) -> Float32:
    """Return (24,): rotation (9, by rows), translation (3), fx, fy, cx, cy, centre (3), tangent limits -x, x, -y, y.

    The last is ``antialiased``.
    """
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
    return np.concatenate([rotation.ravel(), translation, lens, center, limits, [antialiased]]).astype(np.float32)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def to_camera(block: Float32, cam: Float32) -> tuple[Any, Any, Any]:
    """Return t."""
    x, y, z = column(block, 0), column(block, 1), column(block, 2)
    return (
        x * cam[0] + y * cam[1] + z * cam[2] + cam[9],
        x * cam[3] + y * cam[4] + z * cam[5] + cam[10],
        x * cam[6] + y * cam[7] + z * cam[8] + cam[11],
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def rotation_of(block: Float32) -> tuple[Any, ...]:
    """Return the rotation of the quaternion (normalised here) by rows, and 1 / its length."""
    w, x, y, z = column(block, 3), column(block, 4), column(block, 5), column(block, 6)
    inverse = ONE / root(greater(w * w + x * x + y * y + z * z, np.float32(1e-30)))
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    return (
        ONE - (y * y + z * z) * TWO,
        (x * y - w * z) * TWO,
        (x * z + w * y) * TWO,
        (x * y + w * z) * TWO,
        ONE - (x * x + z * z) * TWO,
        (y * z - w * x) * TWO,
        (x * z - w * y) * TWO,
        (y * z + w * x) * TWO,
        ONE - (x * x + y * y) * TWO,
        inverse,
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def jacobian_world(cam: Float32, tx: Any, ty: Any, tz: Any) -> tuple[Any, ...]:
    """Return J R by rows (6), tangents clamped."""
    depth = ONE / tz
    tangent_x = lesser(greater(tx * depth, cam[19]), cam[20])
    tangent_y = lesser(greater(ty * depth, cam[21]), cam[22])
    fx, fy = depth * cam[12], depth * cam[13]
    return (
        fx * (cam[0] - tangent_x * cam[6]),
        fx * (cam[1] - tangent_x * cam[7]),
        fx * (cam[2] - tangent_x * cam[8]),
        fy * (cam[3] - tangent_y * cam[6]),
        fy * (cam[4] - tangent_y * cam[7]),
        fy * (cam[5] - tangent_y * cam[8]),
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def image_axes(block: Float32, jw: tuple[Any, ...], r: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return A by rows (6) and the three scales, from J R and the Gaussian's rotation."""
    s0, s1, s2 = exponential(column(block, 7)), exponential(column(block, 8)), exponential(column(block, 9))
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
def covariance(a: tuple[Any, ...]) -> tuple[Any, Any, Any, Any, Any]:
    """Return S as (s11, s12, s22), its determinant, and that of A A^T."""
    s11 = a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
    s12 = a[0] * a[3] + a[1] * a[4] + a[2] * a[5]
    s22 = a[3] * a[3] + a[4] * a[4] + a[5] * a[5]
    c0 = a[1] * a[5] - a[2] * a[4]
    c1 = a[2] * a[3] - a[0] * a[5]
    c2 = a[0] * a[4] - a[1] * a[3]
    sharp = c0 * c0 + c1 * c1 + c2 * c2
    return s11 + BLUR, s12, s22 + BLUR, sharp + (s11 + s22) * BLUR + BLUR * BLUR, sharp


@njit(cache=True, fastmath=FAST, error_model="numpy")
def flatten(block: Float32, cam: Float32, across: Real, down: Real, ellipse: Float32) -> int:
    """Write all columns of ``ellipse`` (256,) but the colour; return the bits of those that may be seen.

    ``across`` and ``down``: the pixels of all tiles together.
    """
    tx, ty, tz = to_camera(block, cam)
    opacity = ONE / (ONE + exponential(-column(block, layout.OPACITY)))
    a = image_axes(block, jacobian_world(cam, tx, ty, tz), rotation_of(block))
    s11, s12, s22, determinant, sharp = covariance(a)
    if cam[ANTIALIASED] > ZERO:
        opacity = opacity * root(sharp / determinant)
    cut = logarithm(greater(opacity * CUT_ALPHA, ONE))
    u, v = tx * cam[12] / tz + cam[14], ty * cam[13] / tz + cam[15]
    l11 = root(s22 / determinant) * ROOT_HALF
    half_x, half_y = root(cut * s11 * TWO), root(cut * s22 * TWO)
    store(ellipse, spans.U * WIDTH, u)
    store(ellipse, spans.V * WIDTH, v)
    store(ellipse, spans.L11 * WIDTH, l11)
    store(ellipse, spans.L21 * WIDTH, -s12 / s22 * l11)
    store(ellipse, spans.L22 * WIDTH, ROOT_HALF / root(s22))
    store(ellipse, spans.CUT * WIDTH, cut)
    store(ellipse, spans.OPACITY * WIDTH, opacity)
    store(ellipse, spans.DEPTH * WIDTH, tz)
    store(ellipse, spans.HALF_X * WIDTH, half_x)
    store(ellipse, spans.HALF_Y * WIDTH, half_y)
    store(ellipse, spans.TILT * WIDTH, s12 / s11 * half_x)
    drawn = (tz > NEAR) & (opacity * CUT_ALPHA > ONE) & (s11 < HUGE) & (s22 < HUGE) & (determinant > ZERO)
    beside = (u + half_x > -MARGIN) & (u - half_x < across + MARGIN)
    seen: int = bits(drawn & beside & (v + half_y > -MARGIN) & (v - half_y < down + MARGIN))
    return seen


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def project(
    rows: Float32, cam: Float32, degree: int, grid: tuple[int, int], flat: Float32, reach: Int16, touched: Int32,
    depths: Float32,
) -> None:  # fmt: skip
    """Project all ``rows`` (N, W), seen with harmonics up to ``degree``.

    ``grid``: columns and rows of tiles. Writes ``touched`` (N,), how many tiles they touch, 0 for what is behind the
    camera, outside, too faint, or not finite, and of the others ``flat`` (N, 16), ``reach`` (N, 16; see spans.py) and
    ``depths`` (N,).
    """
    n, width = rows.shape
    across, down = np.float32(grid[0] * spans.TILE), np.float32(grid[1] * spans.TILE)
    source, target, lines = rows.reshape(-1), flat.reshape(-1), reach.reshape(-1)
    for c in prange(CHUNKS):
        block, ellipse, basis, sh = room(SQUARE), room(SQUARE), room(SQUARE), room((width - LINE) * WIDTH)
        reached, ends, numbers, many = room(SQUARE), room(2 * WIDTH), load(NUMBERS.copy(), 0), room(WIDTH)
        reached[:] = ZERO
        block[:] = ZERO
        ellipse[:] = ZERO
        sh[:] = ZERO
        # An odd factor deals neighbouring chunks to different threads: neighbours tend to be visible together.
        at = (c * 37) % CHUNKS
        end = (at + 1) * n // CHUNKS
        for first in range(at * n // CHUNKS, end, WIDTH):
            count = min(WIDTH, end - first)
            for g in range(count):
                store(block, g * LINE, load(source, (first + g) * width))
            transpose(block, 0)
            seen = flatten(block, cam, across, down, ellipse) & ((1 << count) - 1)
            touched[first : first + count] = 0
            if seen == 0:
                continue
            for line in range(layout.lines(degree) - 1):
                for g in range(count):
                    if seen >> g & 1:
                        store(sh, line * SQUARE + g * LINE, load(source, (first + g) * width + (line + 1) * LINE))
                transpose(sh, line * SQUARE)
            tint(block, cam, degree, basis, sh, ellipse)
            store(many, 0, spans.reach_of_sixteen(ellipse, grid, reached))
            transpose(ellipse, 0)
            transpose(reached, 0)
            while seen != 0:
                g = first_bit(seen)
                seen &= seen - 1
                i = first + g
                store(target, i * LINE, load(ellipse, g * LINE))
                spans.keep_line(lines, i * LINE, load(reached, g * LINE))
                top, tall = int(reached[g * LINE + spans.TOP]), int(reached[g * LINE + spans.ROWS])
                depths[i] = ellipse[g * LINE + spans.DEPTH]
                touched[i] = int(many[g])
                if tall > spans.KEPT:
                    touched[i] = spans.tiles_of(flat[i], top, tall, grid[0], numbers, ends)
