"""From gradients on the image plane back to the Gaussians' parameters: the derivative of ``project.py``.

rows     (N, W), cam (24,), flat (N, 16): as in layout.py and project.py; S, A, L, M, J, t as there
pulls    (opacity, scale): dPenalty/d opacity and dPenalty/d of each standard deviation (world units), alike for all
records  (P, 10) of ``layout.make_records``, as ``blend.blend_backward`` writes them; a Gaussian's pairs lie together,
         from ``slot_starts`` on
gradient (16 W,) float32: dLoss/d of every parameter of sixteen Gaussians, column by column, then row by row
desk     (5, 16 W) float32, room for sixteen Gaussians: columns of their rows, of ``flat``, of their summed records, of
         the basis, and ``gradient``

With m = sum of G L d and Q = sum of G (L d)(L d)^T over a Gaussian's pixels, and alpha = opacity exp(-|L d|^2):
    dLoss/d(u, v) = 2 L^T m        dLoss/dS = 2 L^T Q L        dLoss/d logit = (1 - opacity) sum of G
as S^-1 = 2 L^T L. Then dLoss/dA = 2 dLoss/dS A, and the chain rule through A = J R M and J(t) (Ye et al. 2024,
gsplat, appendix B, is the same with the conic in place of L). The opacity above is without rho: see mip.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from splat_pipeline.splatting import layout, project, spans
from splat_pipeline.splatting.chain import ONE, TWO, ZERO, pull_place, pull_rotation, through_camera, through_rotation
from splat_pipeline.splatting.harmonics import C0, direction, fill_basis, slope
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import WIDTH, choose, column, lanes, load, room, store
from splat_pipeline.splatting.layout import FAST, LINE, RECORD, Float32, Int32, Int64, Real
from splat_pipeline.splatting.mip import pull_rho
from splat_pipeline.splatting.project import SQUARE
from splat_pipeline.splatting.series import exponential, root
from splat_pipeline.splatting.turns import transpose

WEIGHT = 9
"""Where a record holds the sum of the Gaussian's weights in the tile's pixels."""
NO_PULLS = (ZERO, ZERO)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_color(desk: Float32, cam: Float32, degree: int) -> None:
    """Write the harmonics' part of the gradient and add what the direction of sight gives to the mean's."""
    row, p, total, basis, gradient = desk[0], desk[1], desk[2], desk[3], desk[4]
    x, y, z, inverse = direction(row, cam)
    fill_basis(degree, x, y, z, basis)
    dred = choose(column(p, spans.RED) > ZERO, column(total, 6), ZERO)
    dgreen = choose(column(p, spans.GREEN) > ZERO, column(total, 7), ZERO)
    dblue = choose(column(p, spans.BLUE) > ZERO, column(total, 8), ZERO)
    store(gradient, layout.COLOR * WIDTH, dred * C0)
    store(gradient, (layout.COLOR + 1) * WIDTH, dgreen * C0)
    store(gradient, (layout.COLOR + 2) * WIDTH, dblue * C0)
    if degree < 1:
        return
    for j in range(1, (degree + 1) ** 2):
        red = layout.SH + 3 * (j - 1)
        green, blue = red + 1, red + 2
        value = column(basis, j)
        store(gradient, red * WIDTH, dred * value)
        store(gradient, green * WIDTH, dgreen * value)
        store(gradient, blue * WIDTH, dblue * value)
        store(basis, j * WIDTH, dred * column(row, red) + dgreen * column(row, green) + dblue * column(row, blue))
    dx, dy, dz = slope(degree, x, y, z, basis)
    along = dx * x + dy * y + dz * z
    store(gradient, 0, column(gradient, 0) + (dx - along * x) * inverse)
    store(gradient, WIDTH, column(gradient, 1) + (dy - along * y) * inverse)
    store(gradient, 2 * WIDTH, column(gradient, 2) + (dz - along * z) * inverse)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_columns(desk: Float32, cam: Float32, degree: int, pulls: tuple[Real, Real]) -> Any:
    """Write the columns of the gradient of the sixteen Gaussians on the desk; return |dLoss/d(u, v)|, Lanes."""
    row, p, total, gradient = desk[0], desk[1], desk[2], desk[4]
    tx, ty, tz = project.to_camera(row, cam)
    r = project.rotation_of(row)
    jw = project.jacobian_world(cam, tx, ty, tz)
    a = project.image_axes(row, jw, r)
    l11, l21, l22 = column(p, spans.L11), column(p, spans.L21), column(p, spans.L22)
    t1, t2, t3, t4, t5 = column(total, 1), column(total, 2), column(total, 3), column(total, 4), column(total, 5)
    du = l11 * t1 * TWO
    dv = (l21 * t1 + l22 * t2) * TWO
    d11 = l11 * l11 * t3 * TWO
    d12 = l11 * (l21 * t3 + l22 * t4) * TWO
    d22 = (l21 * l21 * t3 + l21 * l22 * t4 * TWO + l22 * l22 * t5) * TWO
    a10, a11, a12 = (d11 * a[0] + d12 * a[3]) * TWO, (d11 * a[1] + d12 * a[4]) * TWO, (d11 * a[2] + d12 * a[5]) * TWO
    a20, a21, a22 = (d12 * a[0] + d22 * a[3]) * TWO, (d12 * a[1] + d22 * a[4]) * TWO, (d12 * a[2] + d22 * a[5]) * TWO
    strength, opacity = column(total, 0), column(p, spans.OPACITY)
    if cam[project.ANTIALIASED] > ZERO:
        more = pull_rho(a, strength)
        a10, a11, a12, a20, a21, a22 = (
            a10 + more[0],
            a11 + more[1],
            a12 + more[2],
            a20 + more[3],
            a21 + more[4],
            a22 + more[5],
        )
        opacity = ONE / (ONE + exponential(-column(row, layout.OPACITY)))
    store(gradient, 7 * WIDTH, a10 * a[0] + a20 * a[3] + a[6] * pulls[1])
    store(gradient, 8 * WIDTH, a11 * a[1] + a21 * a[4] + a[7] * pulls[1])
    store(gradient, 9 * WIDTH, a12 * a[2] + a22 * a[5] + a[8] * pulls[1])
    store(gradient, 10 * WIDTH, (strength + opacity * pulls[0]) * (ONE - opacity))
    b = (a10 * a[6], a11 * a[7], a12 * a[8], a20 * a[6], a21 * a[7], a22 * a[8])
    pull_rotation(row, r[9], through_camera(jw, b), gradient)
    pull_place(cam, (tx, ty, tz, du, dv), jw, through_rotation(r, b), gradient)
    pull_color(desk, cam, degree)
    return root(du * du + dv * dv)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def weight_of(records: Float32, first: int, count: int) -> Real:
    """Return the sum of the weights of a Gaussian in its ``count`` records from ``first`` on."""
    total = ZERO
    for s in range(first, first + count):
        total += records[s, WEIGHT]
    return total


@njit(cache=True, fastmath=FAST, error_model="numpy")
def next_sixteen(
    visible: Int32, touched: Int32, slot_starts: Int32, records: Float32, r: int, end: int, who: Int64
) -> tuple[int, int]:
    """Write to ``who`` (16,) those of ``visible`` from ``r`` to ``end`` that were drawn; return (count, next r)."""
    count = 0
    while r < end and count < WIDTH:
        i = visible[r]
        who[count] = i
        count += weight_of(records, slot_starts[i], touched[i]) > ZERO
        r += 1
    return count, r


@njit(cache=True, fastmath=FAST, error_model="numpy")
def gather(
    rows: Float32,
    flat: Float32,
    records: Float32,
    slot_starts: Int32,
    touched: Int32,
    who: Int64,
    lines: int,
    desk: Float32,
) -> None:
    """Put the Gaussians ``who`` on the desk: ``lines`` of their rows, their line of ``flat``, their records' sums."""
    width = rows.shape[1]
    source, ellipses, sums = rows.reshape(-1), flat.reshape(-1), records.reshape(-1)
    for g in range(len(who)):
        i = who[g]
        for line in range(lines):
            store(desk[0], line * SQUARE + g * LINE, load(source, i * width + line * LINE))
        store(desk[1], g * LINE, load(ellipses, i * LINE))
        total = lanes(ZERO)
        for s in range(slot_starts[i], slot_starts[i] + touched[i]):
            total = total + load(sums, s * RECORD)
        store(desk[2], g * LINE, total)
    for line in range(lines):
        transpose(desk[0], line * SQUARE)
    transpose(desk[1], 0)
    transpose(desk[2], 0)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pull_sixteen(desk: Float32, cam: Float32, degree: int, pulls: tuple[Real, Real]) -> Any:
    """Write the gradients of the Gaussians on the desk, line by line of sixteen; return |dLoss/d(u, v)|, Lanes."""
    desk[4][:] = ZERO
    strain = pull_columns(desk, cam, degree, pulls)
    for line in range(layout.lines(degree)):
        transpose(desk[4], line * SQUARE)
    return strain


@njit(cache=True, fastmath=FAST, error_model="numpy")
def make_desk(width: int) -> Any:
    """Return a desk for rows of ``width`` floats."""
    raw = room(5 * WIDTH * width)
    raw[:] = ZERO
    return raw.reshape((5, WIDTH * width))


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def pull_back(
    rows: Float32,
    cam: Float32,
    degree: int,
    flat: Float32,
    visible: Int32,
    touched: Int32,
    slot_starts: Int32,
    records: Float32,
    gradients: Float32,
    pulls: tuple[Real, Real] = NO_PULLS,
) -> None:
    """Write d(Loss + Penalty)/d of the visible ``rows`` to ``gradients`` (N, W); the others are left as they are."""
    m, width = len(visible), rows.shape[1]
    for c in prange(project.CHUNKS):
        desk, who = make_desk(width), np.zeros(WIDTH, np.int64)
        r, end = c * m // project.CHUNKS, (c + 1) * m // project.CHUNKS
        while r < end:
            count, r = next_sixteen(visible, touched, slot_starts, records, r, end, who)
            gather(rows, flat, records, slot_starts, touched, who[:count], layout.lines(degree), desk)
            pull_sixteen(desk, cam, degree, pulls)
            for g in range(count):
                for j in range(width):
                    gradients[who[g], j] = desk[4, j // LINE * SQUARE + g * LINE + j % LINE]
