"""Small drawings for the report, as inline SVG. Only numbers and fixed words go in: nothing of an upload's text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LOW, _MIDDLE, _HIGH = np.array([0xC2, 0x41, 0x0C]), np.array([0xEA, 0xB3, 0x08]), np.array([0x0D, 0x94, 0x88])
_MOST_POINTS = 1500
_SIZE = (520, 360)
_MARGIN = 14
_FAR, _UNSURE = 4.0, 0.5
"""Times the distance that three in four cameras keep from the middle; a confidence."""


def colour_of(confidence: float) -> str:
    """Return the colour of a pose confidence in [0, 1]: rust, amber, teal; a value that is none counts as 0."""
    c = float(np.clip(np.nan_to_num(confidence), 0, 1)) * 2
    rgb = _LOW + (_MIDDLE - _LOW) * c if c < 1 else _MIDDLE + (_HIGH - _MIDDLE) * (c - 1)
    return "#" + "".join(f"{round(v):02x}" for v in rgb)


def plan_view(centers: Array, axes: Array, confidence: Array, points: Array) -> str:
    """Draw cameras from above, each with its viewing direction and the colour of its confidence, over faint points.

    centers, axes (C, 3) in an upright world, y down; confidence (C,); points (P, 3). Left is -x, up is +z. Cameras that
    are unsure and far outside are rings (of class stray) at the edge: they must not shrink the others to a dot.
    """
    flat, looks = centers[:, [0, 2]], axes[:, [0, 2]]
    stray = _stray(flat, confidence)
    around = points[:, [0, 2]] if len(points) else flat[~stray]
    low, high = _frame(flat[~stray], around)
    scale = min((size - 2 * _MARGIN) / span for size, span in zip(_SIZE, high - low, strict=True))
    middle = (low + high) / 2

    def place(xz: Array) -> Array:
        placed: Array = np.array(_SIZE) / 2 + (xz - middle) * scale * [1, -1]
        return placed

    near = around[((around >= low) & (around <= high)).all(axis=1)]
    thinned = near[:: max(1, len(near) // _MOST_POINTS)] if len(points) else near[:0]
    dots = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in place(thinned))
    length = 15.0
    lines, marks = [], []
    inside = np.clip(place(flat), _MARGIN, np.array(_SIZE) - _MARGIN)
    for (x, y), (dx, dz), sure, far in zip(inside, looks, confidence, stray, strict=True):
        colour = colour_of(float(sure))
        if far:
            marks.append(f'<circle class="stray" cx="{x:.1f}" cy="{y:.1f}" r="4" fill="none" stroke="{colour}"/>')
            continue
        lines.append(f'<path d="M{x:.1f} {y:.1f}l{dx * length:.1f} {-dz * length:.1f}" stroke="{colour}"/>')
        marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>')
    return (
        f'<svg viewBox="0 0 {_SIZE[0]} {_SIZE[1]}" role="img" aria-label="Cameras from above">'
        f'<path class="dots" d="{dots}"/><g stroke-width="1.4">{"".join(lines)}</g>{"".join(marks)}</svg>'
    )


def _stray(flat: Array, confidence: Array) -> NDArray[np.bool_]:
    """Return which cameras (C, 2) are unsure and far from where three quarters of them are."""
    away = np.abs(flat - np.median(flat, axis=0)).max(axis=1)
    far = away > _FAR * float(np.quantile(away, 0.75))
    out: NDArray[np.bool_] = far & (np.nan_to_num(confidence) < _UNSURE)
    return out


def curve(x: Sequence[float], y: Sequence[float], *, x_name: str, y_name: str) -> str:
    """Draw y over x with the ends of both axes labelled. Empty when fewer than two values are finite."""
    at, value = np.asarray(x, float), np.asarray(y, float)
    fine = np.isfinite(at) & np.isfinite(value)
    at, value = at[fine], value[fine]
    if len(at) < 2:
        return ""
    (width, height), left, bottom = _SIZE, 56, 34
    step = _step(float(value.max()))
    low, high = 0.0, step * max(1, int(np.ceil(float(value.max()) / step - 1e-9)))
    across = left + (at - at[0]) / max(float(at[-1] - at[0]), 1e-12) * (width - left - _MARGIN)
    up = _MARGIN + (high - value) / (high - low) * (height - bottom - _MARGIN)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True))
    base = height - bottom
    grid = "".join(
        f'<path class="grid" d="M{left} {g:.1f}H{width - _MARGIN}"/>'
        f'<text x="{left - 8}" y="{g + 4:.1f}" text-anchor="end">{_short(tick)}</text>'
        for tick in np.arange(low, high + step / 2, step)
        for g in [base - tick / high * (base - _MARGIN)]
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{y_name} over {x_name}">{grid}'
        f'<polyline class="line" points="{line}"/>'
        f'<text x="{left}" y="{height - 12}">{at[0]:.0f}</text>'
        f'<text x="{width - _MARGIN}" y="{height - 12}" text-anchor="end">{at[-1]:.0f} {x_name}</text>'
        f'<text x="{left + 8}" y="{_MARGIN + 14}">{y_name}</text></svg>'
    )


def _step(most: float) -> float:
    """Return a round step of which three to five reach from 0 to ``most``."""
    if most <= 0:
        return 1.0
    tens = 10.0 ** np.floor(np.log10(most / 5))
    return float(tens * next(round_ for round_ in (1, 2, 2.5, 5, 10) if tens * round_ * 5 >= most * (1 - 1e-9)))


def _short(value: float) -> str:
    return f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.3g}"


def alone(drawing: str) -> str:
    """Return ``drawing``, one of ``curve``, as a file of its own: with a name space and the colours of a page."""
    style = (
        "<style>text{fill:#666;font:12px sans-serif}.grid{stroke:#ddd;fill:none}"
        ".line{stroke:#0d9488;stroke-width:2;fill:none}</style>"
    )
    head, rest = drawing.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg" width="{_SIZE[0]}" height="{_SIZE[1]}">{style}{rest}'


def two_paths(found: Array, true: Array) -> str:
    """Draw the N camera centres that were found over the M true ones, in the widest plane of these, as a file.

    found (N, 3), true (M, 3), in one world.
    """
    middle = true.mean(axis=0)
    plane = np.linalg.svd(true - middle, full_matrices=False)[2][:2]
    flat = [(path - middle) @ plane.T for path in (found, true)]
    low, high = _frame(flat[1], np.concatenate(flat))
    scale = min((size - 2 * _MARGIN) / span for size, span in zip(_SIZE, high - low, strict=True))
    lines = []
    for path, kind in ((flat[1], "grid"), (flat[0], "line")):
        at = np.array(_SIZE) / 2 + (path - (low + high) / 2) * scale * [1, -1]
        lines.append(f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in at)}"/>')
    bar = 10 ** np.floor(np.log10(max(float(np.ptp(flat[1], axis=0).max()), 1e-12)))
    base = _SIZE[1] - _MARGIN
    return alone(
        f'<svg viewBox="0 0 {_SIZE[0]} {_SIZE[1]}" role="img" aria-label="Found and true camera path">{"".join(lines)}'
        f'<path class="line" d="M{_MARGIN} {base}h{bar * scale:.1f}"/>'
        f'<text x="{_MARGIN}" y="{base - 6}">{bar:g} (found over true)</text></svg>'
    )


def scale_bar() -> str:
    """Draw the key of ``colour_of``."""
    stops = [i / 12 for i in range(13)]
    boxes = "".join(
        f'<rect x="{120 * a:.1f}" width="{120 * (b - a) + 0.5:.1f}" height="8" fill="{colour_of((a + b) / 2)}"/>'
        for a, b in pairwise(stops)
    )
    return f'<svg class="key" viewBox="0 0 120 8" role="img" aria-label="from unsure to sure">{boxes}</svg>'


def _frame(flat: Array, around: Array) -> tuple[Array, Array]:
    """Return the corners of a box that holds every camera and the middle of the points, with some air."""
    inner = np.quantile(around, [0.05, 0.95], axis=0)
    low, high = np.minimum(flat.min(axis=0), inner[0]), np.maximum(flat.max(axis=0), inner[1])
    # Points far behind what was filmed must not shrink the cameras to a dot.
    reach = np.maximum(np.ptp(flat, axis=0).max(), 1e-6)
    low, high = np.maximum(low, flat.min(axis=0) - 0.75 * reach), np.minimum(high, flat.max(axis=0) + 0.75 * reach)
    air = 0.06 * np.maximum((high - low).max(), 1e-6)
    return low - air, high + air
