"""From gradients on the image plane back to the Gaussians' parameters: the derivative of ``project.py``.

rows     (N, W), cam (24,), flat (N, 16): as in layout.py and project.py; S, A, L, M, J, t as there
records  (P, 16) as ``blend.blend_backward`` writes them; a Gaussian's pairs lie together, from ``slot_starts`` on
gradient (W,) float32, laid out like a row: dLoss/d of every parameter of one Gaussian

With m = sum of G L d and Q = sum of G (L d)(L d)^T over a Gaussian's pixels, and alpha = opacity exp(-|L d|^2):
    dLoss/d(u, v) = 2 L^T m        dLoss/dS = 2 L^T Q L        dLoss/d logit = (1 - opacity) sum of G
as S^-1 = 2 L^T L. Then dLoss/dA = 2 dLoss/dS A, and the chain rule through A = J R M and J(t) (Ye et al. 2024,
gsplat, appendix B, is the same with the conic in place of L).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from splat_pipeline.splatting import layout, project, tiles
from splat_pipeline.splatting.harmonics import fill_basis, fill_gradient
from splat_pipeline.splatting.layout import FAST, Float32, Int32, Int64, Real

ONE = np.float32(1)
TWO = np.float32(2)
ZERO = np.float32(0)
RECORD = 16
"""Floats of a pair's record: a cache line, of which ``SUMS`` are used."""
SUMS = 9


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_color(
    row: Float32, cam: Float32, degree: int, k: int, p: Float32, total: Float32, room: Float32, gradient: Float32
) -> None:
    """Write the harmonics' part of ``gradient`` and add what the direction of sight gives to the mean's.

    ``total`` (9,): the summed records. ``room`` (4, 16): the basis and its derivatives go here.
    """
    x, y, z = row[0] - cam[16], row[1] - cam[17], row[2] - cam[18]
    inverse = ONE / math.sqrt(x * x + y * y + z * z)
    x, y, z = x * inverse, y * inverse, z * inverse
    basis, slopes = room[0], room[1:]
    fill_basis(degree, x, y, z, basis)
    fill_gradient(degree, x, y, z, slopes)
    active = (degree + 1) ** 2
    dx, dy, dz = ZERO, ZERO, ZERO
    for channel in range(3):
        first = layout.SH + channel * k
        sh, out = row[first : first + active], gradient[first : first + active]
        d = total[6 + channel] if p[tiles.RED + channel] > ZERO else ZERO
        sx, sy, sz = ZERO, ZERO, ZERO
        for j in range(active):
            out[j] = d * basis[j]
            sx += slopes[0, j] * sh[j]
            sy += slopes[1, j] * sh[j]
            sz += slopes[2, j] * sh[j]
        dx += d * sx
        dy += d * sy
        dz += d * sz
    along = dx * x + dy * y + dz * z
    gradient[0] += (dx - along * x) * inverse
    gradient[1] += (dy - along * y) * inverse
    gradient[2] += (dz - along * z) * inverse


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_rotation(row: Float32, inverse: Real, d: tuple[Real, ...], gradient: Float32) -> None:
    """Write the quaternion's gradient from ``d``, dLoss/d of the rotation matrix by rows (9)."""
    w, x, y, z = row[3] * inverse, row[4] * inverse, row[5] * inverse, row[6] * inverse
    dw = TWO * (z * (d[3] - d[1]) + y * (d[2] - d[6]) + x * (d[7] - d[5]))
    dx = TWO * (y * (d[1] + d[3]) + z * (d[2] + d[6]) + w * (d[7] - d[5]) - TWO * x * (d[4] + d[8]))
    dy = TWO * (x * (d[1] + d[3]) + z * (d[5] + d[7]) + w * (d[2] - d[6]) - TWO * y * (d[0] + d[8]))
    dz = TWO * (x * (d[2] + d[6]) + y * (d[5] + d[7]) + w * (d[3] - d[1]) - TWO * z * (d[0] + d[4]))
    along = dw * w + dx * x + dy * y + dz * z
    gradient[3] = (dw - along * w) * inverse
    gradient[4] = (dx - along * x) * inverse
    gradient[5] = (dy - along * y) * inverse
    gradient[6] = (dz - along * z) * inverse


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_one(
    row: Float32, cam: Float32, degree: int, k: int, p: Float32, total: Float32, room: Float32, gradient: Float32
) -> Real:
    """Write ``gradient`` (W,) of one Gaussian from its summed records ``total`` (9,); return |dLoss/d(u, v)|."""
    tx, ty, tz = project.to_camera(row, cam)
    r = project.rotation_of(row)
    jw = project.jacobian_world(cam, tx, ty, tz)
    a = project.image_axes(row, jw, r)
    l11, l21, l22 = p[tiles.L11], p[tiles.L21], p[tiles.L22]
    du = TWO * l11 * total[1]
    dv = TWO * (l21 * total[1] + l22 * total[2])
    d11 = TWO * l11 * l11 * total[3]
    d12 = TWO * l11 * (l21 * total[3] + l22 * total[4])
    d22 = TWO * (l21 * l21 * total[3] + TWO * l21 * l22 * total[4] + l22 * l22 * total[5])
    a10, a11, a12 = TWO * (d11 * a[0] + d12 * a[3]), TWO * (d11 * a[1] + d12 * a[4]), TWO * (d11 * a[2] + d12 * a[5])
    a20, a21, a22 = TWO * (d12 * a[0] + d22 * a[3]), TWO * (d12 * a[1] + d22 * a[4]), TWO * (d12 * a[2] + d22 * a[5])
    gradient[7] = a10 * a[0] + a20 * a[3]
    gradient[8] = a11 * a[1] + a21 * a[4]
    gradient[9] = a12 * a[2] + a22 * a[5]
    gradient[10] = total[0] * (ONE - p[tiles.OPACITY])
    b10, b11, b12, b20, b21, b22 = a10 * a[6], a11 * a[7], a12 * a[8], a20 * a[6], a21 * a[7], a22 * a[8]
    pull_rotation(
        row,
        r[9],
        (
            jw[0] * b10 + jw[3] * b20,
            jw[0] * b11 + jw[3] * b21,
            jw[0] * b12 + jw[3] * b22,
            jw[1] * b10 + jw[4] * b20,
            jw[1] * b11 + jw[4] * b21,
            jw[1] * b12 + jw[4] * b22,
            jw[2] * b10 + jw[5] * b20,
            jw[2] * b11 + jw[5] * b21,
            jw[2] * b12 + jw[5] * b22,
        ),
        gradient,
    )
    # dLoss/d(J R), then through J's depth and tangents to t.
    h10, h11, h12 = (
        b10 * r[0] + b11 * r[1] + b12 * r[2],
        b10 * r[3] + b11 * r[4] + b12 * r[5],
        b10 * r[6] + b11 * r[7] + b12 * r[8],
    )
    h20, h21, h22 = (
        b20 * r[0] + b21 * r[1] + b22 * r[2],
        b20 * r[3] + b21 * r[4] + b22 * r[5],
        b20 * r[6] + b21 * r[7] + b22 * r[8],
    )
    depth = ONE / tz
    fx, fy = cam[12] * depth, cam[13] * depth
    tangent_x, tangent_y = tx * depth, ty * depth
    free_x = ONE if (tangent_x > cam[19]) & (tangent_x < cam[20]) else ZERO
    free_y = ONE if (tangent_y > cam[21]) & (tangent_y < cam[22]) else ZERO
    dtan_x = du * cam[12] - free_x * fx * (h10 * cam[6] + h11 * cam[7] + h12 * cam[8])
    dtan_y = dv * cam[13] - free_y * fy * (h20 * cam[6] + h21 * cam[7] + h22 * cam[8])
    lever = h10 * jw[0] + h11 * jw[1] + h12 * jw[2] + h20 * jw[3] + h21 * jw[4] + h22 * jw[5]
    dtx, dty = dtan_x * depth, dtan_y * depth
    dtz = -(dtan_x * tangent_x + dtan_y * tangent_y + lever) * depth
    gradient[0] = cam[0] * dtx + cam[3] * dty + cam[6] * dtz
    gradient[1] = cam[1] * dtx + cam[4] * dty + cam[7] * dtz
    gradient[2] = cam[2] * dtx + cam[5] * dty + cam[8] * dtz
    pull_color(row, cam, degree, k, p, total, room, gradient)
    return math.sqrt(du * du + dv * dv)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def add_records(records: Float32, first: int, count: int, total: Float32) -> None:
    """Sum ``count`` records from ``first`` on into ``total`` (9,)."""
    total[:] = ZERO
    for s in range(first, first + count):
        for j in range(SUMS):
            total[j] += records[s, j]


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def pull_back(
    rows: Float32,
    cam: Float32,
    degree: int,
    k: int,
    flat: Float32,
    visible: Int32,
    touched: Int32,
    slot_starts: Int64,
    records: Float32,
    gradients: Float32,
) -> None:
    """Write dLoss/d of the visible ``rows`` to ``gradients`` (N, W); the others are left as they are."""
    m = len(visible)
    for c in prange(project.CHUNKS):
        room, total = np.zeros((4, 16), np.float32), np.empty(SUMS, np.float32)
        for r in range(c * m // project.CHUNKS, (c + 1) * m // project.CHUNKS):
            i = visible[r]
            if touched[i] == 0:
                continue
            add_records(records, slot_starts[i], touched[i], total)
            pull_one(rows[i], cam, degree, k, flat[i], total, room, gradients[i])
