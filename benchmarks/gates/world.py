"""Small worlds of textured rectangles, drawn exactly from anywhere: what a capture shows, and what it should show.

World axes are OpenCV's, y down, metres. A picture is (H, W, 3) uint8 RGB; a pose is cam_from_world (4, 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from resources.sample import load_textures
from splat_pipeline.domain.cameras import Camera
from splat_pipeline.splatting.kernels import njit

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

NEAR_M = 0.05
BEHIND = 118
"""Grey of what no rectangle covers."""
PHOTOS = (
    "astronaut",
    "brick",
    "chelsea",
    "coffee",
    "coins",
    "gravel",
    "hubble_deep_field",
    "motorcycle_left",
    "rocket",
)
TEXELS_PER_M = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class Quad:
    """A rectangle: ``origin`` and its two edges, (3,) each, metres; the picture on it."""

    origin: Array
    along: Array
    up: Array
    paper: Picture

    def moved(self, shift: Sequence[float]) -> Quad:
        """Return it elsewhere."""
        return replace(self, origin=self.origin + np.asarray(shift, float))

    def mirrored(self, axis: int, at: float) -> Quad:
        """Return what a mirror in the plane ``axis`` = ``at`` shows of it."""
        sign = np.ones(3)
        sign[axis] = -1
        origin = self.origin * sign
        origin[axis] += 2 * at
        return replace(self, origin=origin, along=self.along * sign, up=self.up * sign)


World = list[Quad]


def camera_of(width_px: int, height_px: int, *, focal_of_width: float = 0.95) -> Camera:
    """Return a pinhole camera."""
    focal = focal_of_width * width_px
    return Camera(
        width_px=width_px, height_px=height_px, fx_px=focal, fy_px=focal, cx_px=width_px / 2, cy_px=height_px / 2
    )


@cache
def photographs() -> dict[str, Any]:
    """Return the photographs that textures are cut from."""
    return {name: (255 * picture).astype(np.uint8) for name, picture in load_textures().items() if name in PHOTOS}


def noise(seed: int, height: int, width: int) -> Picture:
    """Return a texture of coloured patches of four sizes, softened."""
    rng = np.random.default_rng(seed)
    out = np.zeros((height, width, 3))
    for cell, weight in ((36, 0.6), (14, 0.8), (6, 0.8), (3, 0.35)):
        patches = rng.random((max(2, height // cell), max(2, width // cell), 3))
        out += weight * cv2.resize(patches, (width, height), interpolation=cv2.INTER_NEAREST)
    soft = cv2.GaussianBlur(out, (0, 0), 0.9)
    return (20 + 215 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)


def paper(seed: int, width_m: float, height_m: float, *, photo: bool) -> Picture:
    """Return the picture on a rectangle so large: a photograph over patches, or patches only."""
    width, height = (max(24, round(TEXELS_PER_M * each)) for each in (width_m, height_m))
    out = noise(seed, height, width)
    if photo:
        image = photographs()[PHOTOS[seed % len(PHOTOS)]]
        inner_w, inner_h = int(0.8 * width), int(0.8 * height)
        small = cv2.resize(image, (inner_w, inner_h), interpolation=cv2.INTER_AREA)
        top, left = (height - inner_h) // 2, (width - inner_w) // 2
        out[top : top + inner_h, left : left + inner_w] = small
    return out


def wall(seed: int, origin: Sequence[float], along: Sequence[float], up: Sequence[float], *, photo: bool) -> Quad:
    """Return a textured rectangle."""
    a, b = np.asarray(along, float), np.asarray(up, float)
    size = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return Quad(origin=np.asarray(origin, float), along=a, up=b, paper=paper(seed, *size, photo=photo))


def box(seed: int, place: Sequence[float], size: Sequence[float], turn_deg: float) -> World:
    """Return a box that stands at ``place`` (x, y of its foot, z); ``size`` along x, up, along z."""
    w, h, d = size
    turn = np.radians(turn_deg)
    x, z = np.array([np.cos(turn), 0, -np.sin(turn)]), np.array([np.sin(turn), 0, np.cos(turn)])
    y = np.array([0.0, 1, 0])
    foot = np.asarray(place, float) - w / 2 * x - d / 2 * z
    top = foot - h * y
    sides = [
        (top, w * x, h * y), (top + d * z, w * x, h * y), (top, d * z, h * y), (top + w * x, d * z, h * y),
        (top, w * x, d * z),
    ]  # fmt: skip
    return [wall(seed + i, *side, photo=i % 2 == 0) for i, side in enumerate(sides)]


def draw(world: World, camera: Camera, cam_from_world: Array, *, rows: slice | None = None) -> Picture:
    """Draw ``world``, or some ``rows`` of the picture only."""
    first, stop = (rows.start, rows.stop) if rows else (0, camera.height_px)
    rotation = cam_from_world[:3, :3].T
    eye = -rotation @ cam_from_world[:3, 3]
    at = np.empty((len(world), 3), np.float32)
    steps = np.empty((len(world), 3, 3), np.float32)
    papers = tuple(quad.paper for quad in world)
    for i, quad in enumerate(world):
        solve = np.linalg.inv(np.array([quad.along, quad.up, -np.cross(quad.along, quad.up)], float).T)
        at[i], steps[i] = solve @ (eye - quad.origin), solve @ rotation
    sizes = np.array([paper.shape[:2] for paper in papers], np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes.prod(1) * 3)[:-1]])
    lens = np.array([camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px], np.float32)
    picture = np.full((stop - first, camera.width_px, 3), BEHIND, np.uint8)
    _paint(picture, first, lens, at, steps, _texels(papers), starts, sizes)
    return picture


_PACKED: dict[tuple[int, ...], tuple[tuple[Picture, ...], Picture]] = {}


def _texels(papers: tuple[Picture, ...]) -> Picture:
    """Return all pictures one after the other, packed once for the same ones."""
    key = tuple(map(id, papers))
    if key not in _PACKED:
        if len(_PACKED) > 8:
            _PACKED.clear()
        _PACKED[key] = papers, np.concatenate([each.reshape(-1) for each in papers])
    return _PACKED[key][1]


@njit(cache=True, fastmath=True)
def _paint(picture, first_row, lens, at, steps, texels, starts, sizes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
    """Cast a ray a pixel; the nearest rectangle that it meets gives its colour, between its texels."""
    for row in range(picture.shape[0]):
        y = (first_row + row + 0.5 - lens[3]) / lens[1]
        for col in range(picture.shape[1]):
            x = (col + 0.5 - lens[2]) / lens[0]
            nearest, found, u, v = 1e9, -1, 0.0, 0.0
            for i in range(at.shape[0]):
                s = steps[i]
                depth = -at[i, 2] / (s[2, 0] * x + s[2, 1] * y + s[2, 2] + 1e-12)
                if NEAR_M < depth < nearest:
                    a = at[i, 0] + depth * (s[0, 0] * x + s[0, 1] * y + s[0, 2])
                    b = at[i, 1] + depth * (s[1, 0] * x + s[1, 1] * y + s[1, 2])
                    if 0 <= a < 1 and 0 <= b < 1:
                        nearest, found, u, v = depth, i, a, b
            if found >= 0:
                height, width = sizes[found, 0], sizes[found, 1]
                px, py = u * (width - 1), v * (height - 1)
                left, top = min(int(px), width - 2), min(int(py), height - 2)
                fx, fy = px - left, py - top
                base = starts[found] + 3 * (top * width + left)
                for c in range(3):
                    upper = texels[base + c] * (1 - fx) + texels[base + 3 + c] * fx
                    lower = texels[base + 3 * width + c] * (1 - fx) + texels[base + 3 * width + 3 + c] * fx
                    picture[row, col, c] = int(upper * (1 - fy) + lower * fy + 0.5)
