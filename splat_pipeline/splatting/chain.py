"""The chain rule of ``pullback.py`` behind the ellipse's axes: to the quaternion, and to the place in the world.

A = J R M as in project.py; b (6) is dLoss/dA times the standard deviations, by rows: what reaches J R. jw (6) is J
times the camera's turn, r (9) the rotation of the Gaussian by rows; t the place in the camera. All are lanes of 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, choose, column, store
from splat_pipeline.splatting.layout import FAST, Float32

ONE = np.float32(1)
TWO = np.float32(2)
ZERO = np.float32(0)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_rotation(row: Float32, inverse: Any, d: tuple[Any, ...], gradient: Float32) -> None:
    """Write the quaternion's gradient from ``d``, dLoss/d of the rotation matrix by rows (9)."""
    w, x, y, z = (
        column(row, 3) * inverse,
        column(row, 4) * inverse,
        column(row, 5) * inverse,
        column(row, 6) * inverse,
    )
    dw = (z * (d[3] - d[1]) + y * (d[2] - d[6]) + x * (d[7] - d[5])) * TWO
    dx = (y * (d[1] + d[3]) + z * (d[2] + d[6]) + w * (d[7] - d[5]) - x * (d[4] + d[8]) * TWO) * TWO
    dy = (x * (d[1] + d[3]) + z * (d[5] + d[7]) + w * (d[2] - d[6]) - y * (d[0] + d[8]) * TWO) * TWO
    dz = (x * (d[2] + d[6]) + y * (d[5] + d[7]) + w * (d[3] - d[1]) - z * (d[0] + d[4]) * TWO) * TWO
    along = dw * w + dx * x + dy * y + dz * z
    store(gradient, 3 * WIDTH, (dw - along * w) * inverse)
    store(gradient, 4 * WIDTH, (dx - along * x) * inverse)
    store(gradient, 5 * WIDTH, (dy - along * y) * inverse)
    store(gradient, 6 * WIDTH, (dz - along * z) * inverse)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def through_camera(jw: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return dLoss/d of the rotation matrix by rows (9)."""
    return (
        jw[0] * b[0] + jw[3] * b[3],
        jw[0] * b[1] + jw[3] * b[4],
        jw[0] * b[2] + jw[3] * b[5],
        jw[1] * b[0] + jw[4] * b[3],
        jw[1] * b[1] + jw[4] * b[4],
        jw[1] * b[2] + jw[4] * b[5],
        jw[2] * b[0] + jw[5] * b[3],
        jw[2] * b[1] + jw[5] * b[4],
        jw[2] * b[2] + jw[5] * b[5],
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def through_rotation(r: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return dLoss/d of J times the camera's turn by rows (6)."""
    return (
        b[0] * r[0] + b[1] * r[1] + b[2] * r[2],
        b[0] * r[3] + b[1] * r[4] + b[2] * r[5],
        b[0] * r[6] + b[1] * r[7] + b[2] * r[8],
        b[3] * r[0] + b[4] * r[1] + b[5] * r[2],
        b[3] * r[3] + b[4] * r[4] + b[5] * r[5],
        b[3] * r[6] + b[4] * r[7] + b[5] * r[8],
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_place(cam: Float32, t: tuple[Any, ...], jw: tuple[Any, ...], h: tuple[Any, ...], gradient: Float32) -> None:
    """Write the mean's gradient: from (u, v), and from ``h``, dLoss/d(J W), through J's depth and tangents.

    ``t``: the place in the camera (3), and dLoss/d(u, v) (2).
    """
    tx, ty, tz, du, dv = t
    depth = ONE / tz
    tangent_x, tangent_y = tx * depth, ty * depth
    free_x = choose((tangent_x > cam[19]) & (tangent_x < cam[20]), depth * cam[12], ZERO)
    free_y = choose((tangent_y > cam[21]) & (tangent_y < cam[22]), depth * cam[13], ZERO)
    dtan_x = du * cam[12] - free_x * (h[0] * cam[6] + h[1] * cam[7] + h[2] * cam[8])
    dtan_y = dv * cam[13] - free_y * (h[3] * cam[6] + h[4] * cam[7] + h[5] * cam[8])
    lever = h[0] * jw[0] + h[1] * jw[1] + h[2] * jw[2] + h[3] * jw[3] + h[4] * jw[4] + h[5] * jw[5]
    dtx, dty = dtan_x * depth, dtan_y * depth
    dtz = -(dtan_x * tangent_x + dtan_y * tangent_y + lever) * depth
    store(gradient, 0, dtx * cam[0] + dty * cam[3] + dtz * cam[6])
    store(gradient, WIDTH, dtx * cam[1] + dty * cam[4] + dtz * cam[7])
    store(gradient, 2 * WIDTH, dtx * cam[2] + dty * cam[5] + dtz * cam[8])
