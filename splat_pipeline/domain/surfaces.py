"""Textured surfaces made of flat Gaussians so close together that they read as photographs.

World axes are OpenCV's: y down, metres. N points; a texture is (h, w, 3) float32 sRGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.gaussians import SH_C0, Gaussians

Array = NDArray[np.float64]
Texture = NDArray[np.float32]

OPACITY, SIGMA, FLATNESS = 0.98, 0.5, 0.05
"""A surfel's standard deviation over its spacing, in its plane and across."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """Points on a surface with their colours."""

    points: Array
    """(N, 3)"""
    normals: Array
    """(N, 3) unit, outward."""
    colors: Array
    """(N, 3) sRGB."""
    spacing_m: float

    def moved(self, turn_deg: float, place: Sequence[float]) -> Surface:
        """Return the surface turned about up, then shifted."""
        a = np.radians(turn_deg)
        turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        return Surface(
            points=self.points @ turn.T + np.asarray(place),
            normals=self.normals @ turn.T,
            colors=self.colors,
            spacing_m=self.spacing_m,
        )


def surfels(surface: Surface, shade: Array, *, sink_m: float, spread: float) -> Gaussians:
    """Return a flat Gaussian a point: darkened by ``shade`` (N, 1), ``sink_m`` below, ``spread`` times as wide."""
    n = len(surface.points)
    normals = surface.normals
    # The shortest turn from +z to the normal; the plane's own axes do not matter, as surfels are round.
    quats = np.stack([1 + normals[:, 2], -normals[:, 1], normals[:, 0], np.zeros(n)], axis=1)
    quats[normals[:, 2] < -0.999999] = [0, 1, 0, 0]
    sigma = SIGMA * surface.spacing_m * spread
    colors = np.clip(surface.colors * shade, 0, 1)
    return Gaussians(
        means=(surface.points - sink_m * normals).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        log_scales=np.tile(np.log([sigma, sigma, FLATNESS * sigma]), (n, 1)).astype(np.float32),
        logit_opacities=np.full(n, np.log(OPACITY / (1 - OPACITY)), np.float32),
        sh=((colors - 0.5) / SH_C0)[:, None].astype(np.float32),
    )


def joined(parts: Sequence[Gaussians]) -> Gaussians:
    """Return all parts as one."""
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], **columns)


def picked(surface: Surface, keep: NDArray[np.bool_]) -> Surface:
    """Return the points at ``keep`` (N,)."""
    return Surface(
        points=surface.points[keep],
        normals=surface.normals[keep],
        colors=surface.colors[keep],
        spacing_m=surface.spacing_m,
    )


def looked_up(texture: Texture, u: Array, v: Array) -> Array:
    """Return (N, 3) colours at u (left to right) and v (top to bottom) in [0, 1], between texels."""
    height, width = texture.shape[:2]
    x, y = np.clip(u * width - 0.5, 0, width - 1), np.clip(v * height - 0.5, 0, height - 1)
    i, j = np.minimum(y.astype(int), height - 2), np.minimum(x.astype(int), width - 2)
    fy, fx = (y - i)[:, None], (x - j)[:, None]
    upper = texture[i, j] * (1 - fx) + texture[i, j + 1] * fx
    lower = texture[i + 1, j] * (1 - fx) + texture[i + 1, j + 1] * fx
    colors: Array = upper * (1 - fy) + lower * fy
    return colors


def shrunk(texture: Texture, texels: float) -> Texture:
    """Return the texture averaged down until it is at most 1.5 times ``texels`` wide: finer detail would alias."""
    while texture.shape[1] > 1.5 * texels and min(texture.shape[:2]) >= 8:
        h, w = texture.shape[0] // 2 * 2, texture.shape[1] // 2 * 2
        texture = texture[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean(axis=(1, 3)).astype(np.float32)
    return texture


def soft(texture: Texture, tint: tuple[float, float, float], contrast: float) -> Texture:
    """Return a grey texture in a colour, with less contrast."""
    toned: Texture = (np.asarray(tint) * (1 + contrast * (texture / texture.mean() - 1))).astype(np.float32)
    return toned


def grid(width_m: float, height_m: float, spacing_m: float) -> tuple[Array, Array]:
    """Return u and v of the middles of square cells over a rectangle."""
    columns, rows = round(width_m / spacing_m), round(height_m / spacing_m)
    u, v = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
    return u.ravel(), v.ravel()


def rectangle(texture: Texture, width_m: float, height_m: float, spacing_m: float) -> Surface:
    """Return an upright rectangle about the origin that looks along -z, like a picture seen from the front."""
    u, v = grid(width_m, height_m, spacing_m)
    points = np.stack([(u - 0.5) * width_m, (v - 0.5) * height_m, np.zeros_like(u)], axis=1)
    colors = looked_up(shrunk(texture, width_m / spacing_m), u, v)
    return Surface(points=points, normals=np.tile([0.0, 0.0, -1.0], (len(u), 1)), colors=colors, spacing_m=spacing_m)


def facing_up(surface: Surface) -> Surface:
    """Lay an upright rectangle down: its top edge goes to +z."""
    lay = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)
    points, normals = surface.points @ lay.T, surface.normals @ lay.T
    return Surface(points=points, normals=normals, colors=surface.colors, spacing_m=surface.spacing_m)


def disc(texture: Texture, radius_m: float, spacing_m: float) -> Surface:
    """Return an upright disc about the origin that looks along -z."""
    square = rectangle(texture, 2 * radius_m, 2 * radius_m, spacing_m)
    return picked(square, np.hypot(square.points[:, 0], square.points[:, 1]) < radius_m)


def tube(texture: Texture, radius_m: float, height_m: float, spacing_m: float) -> Surface:
    """Return a standing tube whose foot is at the origin."""
    around_m = 2 * np.pi * radius_m
    u, v = grid(around_m, height_m, spacing_m)
    a = u * 2 * np.pi
    normals = np.stack([np.sin(a), np.zeros_like(a), -np.cos(a)], axis=1)
    points = normals * radius_m + np.stack([np.zeros_like(v), (v - 1) * height_m, np.zeros_like(v)], axis=1)
    # The picture goes around once and back, so that it has no seam.
    colors = looked_up(shrunk(texture, around_m / spacing_m / 2), 1 - np.abs(2 * u - 1), v)
    return Surface(points=points, normals=normals, colors=colors, spacing_m=spacing_m)


def ball(texture: Texture, radius_m: float, spacing_m: float) -> Surface:
    """Return a ball about the origin, evenly covered by a Fibonacci spiral."""
    n = round(4 * np.pi * radius_m**2 / spacing_m**2)
    k = np.arange(n) + 0.5
    y, a = 1 - 2 * k / n, np.pi * (1 + np.sqrt(5)) * k
    flat = np.sqrt(1 - y * y)
    normals = np.stack([flat * np.sin(a), y, -flat * np.cos(a)], axis=1)
    u = np.abs(np.mod(a, 2 * np.pi) / np.pi - 1)
    texels = np.pi * radius_m / spacing_m
    colors = looked_up(shrunk(texture, texels), u, (y + 1) / 2)
    return Surface(points=normals * radius_m, normals=normals, colors=colors, spacing_m=spacing_m)


def box(faces: Sequence[Texture], size_m: tuple[float, float, float], *, spacing_m: float = 0.0034) -> list[Surface]:
    """Return front, right, back, left and top of a box (width, height, depth) that stands at the origin."""
    width, height, depth = size_m
    spans = [(width, depth / 2, 0), (depth, width / 2, -90), (width, depth / 2, 180), (depth, width / 2, 90)]
    sides = []
    for texture, (span, out, turn_deg) in zip(faces[:4], spans, strict=True):
        face = rectangle(texture, span, height, spacing_m)
        sides.append(face.moved(0, [0, -height / 2, -out]).moved(turn_deg, [0, 0, 0]))
    lid = facing_up(rectangle(faces[4], width, depth, spacing_m)).moved(0, [0, -height, 0])
    return [*sides, lid]


def leaning(faces: Sequence[Texture], width_m: float, height_m: float, *, lean_deg: float) -> list[Surface]:
    """Return front and back of a picture that stands at the origin and leans backwards."""
    a = np.radians(lean_deg)
    lean = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    out = []
    for texture, turn_deg in zip(faces, (0, 180), strict=True):
        face = rectangle(texture, width_m, height_m, 0.0034).moved(0, [0, -height_m / 2, -0.012])
        face = face.moved(turn_deg, [0, 0, 0])
        points, normals = face.points @ lean.T, face.normals @ lean.T
        out.append(Surface(points=points, normals=normals, colors=face.colors, spacing_m=face.spacing_m))
    return out
