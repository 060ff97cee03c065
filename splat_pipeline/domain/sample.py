"""A small scene with a known answer, for the demo: a table in a round room, and a hand-held walk around it.

The scene is itself made of Gaussians: flat ones, so close together that they read as photographs. The world has
y down, metres, its origin on the table top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from splat_pipeline.domain import surfaces as sf
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.surfaces import Array, Texture

TEXTURES = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "ihc", "logo",
    "moon", "motorcycle_left", "page", "retina", "rocket",
)  # fmt: skip
"""Photographs that the scene is covered with."""
POSTERS = ("motorcycle_left", "coffee", "rocket", "astronaut", "camera", "moon", "logo", "hubble_deep_field", "retina")

TABLE_RADIUS_M, TABLE_HEIGHT_M, ROOM_RADIUS_M, WALL_TOP_M = 0.8, 0.75, 2.6, -1.25
SHADOWS_M = ((-0.28, 0.02, 0.17), (0.12, 0.33, 0.11), (0.33, -0.05, 0.11), (0.02, -0.30, 0.07), (-0.10, 0.36, 0.14))
"""Where objects stand on the table: x, z, radius."""
TURN_DEG = 215.0
FOCAL_OF_WIDTH = 0.86
"""Focal length over width: the 60 degrees of a telephone's main camera."""


def scene(textures: Mapping[str, Texture]) -> Gaussians:
    """Return the scene. ``textures`` holds every name of ``TEXTURES``. Raises ``KeyError``."""
    return lit([*room(textures), *table(textures)])


def lit(surfaces: Sequence[sf.Surface]) -> Gaussians:
    """Return surfaces as Gaussians, under one lamp."""
    shaded = [(s, _light(s)) for s in surfaces]
    fronts = [sf.surfels(s, shade, sink_m=0.0, spread=1.0) for s, shade in shaded]
    # A second layer, coarser and a little deeper: what shows between the surfels of the first has their colour.
    backs = [sf.surfels(s, shade, sink_m=1.5 * s.spacing_m, spread=2.0) for s, shade in shaded]
    return sf.joined([*fronts, *(back.take(np.arange(0, len(back), 3)) for back in backs)])


def room(textures: Mapping[str, Texture]) -> list[sf.Surface]:
    """Return floor and wall: a round wall of brick with a row of different posters."""
    floor = sf.rectangle(
        sf.soft(textures["gravel"], (0.46, 0.40, 0.36), 0.5), 2 * ROOM_RADIUS_M, 2 * ROOM_RADIUS_M, 0.022
    )
    inside = np.hypot(floor.points[:, 0], floor.points[:, 1]) < ROOM_RADIUS_M
    flat = sf.picked(sf.facing_up(floor), inside).moved(0, [0, TABLE_HEIGHT_M, 0])
    sector = 2 * np.pi / len(POSTERS)
    walls = [_sector(textures, name, i * sector, sector) for i, name in enumerate(POSTERS)]
    return [flat, *walls]


def table(textures: Mapping[str, Texture]) -> list[sf.Surface]:
    """Return the table top and what stands on it."""
    cloth = sf.facing_up(sf.rectangle(textures["ihc"], 2 * TABLE_RADIUS_M, 2 * TABLE_RADIUS_M, 0.0052))
    top = _shadowed(sf.picked(cloth, np.hypot(cloth.points[:, 0], cloth.points[:, 2]) < TABLE_RADIUS_M))
    rim = sf.tube(sf.soft(textures["gravel"], (0.42, 0.27, 0.17), 0.4), TABLE_RADIUS_M, 0.06, 0.0065).moved(
        0, [0, 0.06, 0]
    )
    crate = sf.box([textures[n] for n in ("astronaut", "page", "motorcycle_left", "coins", "logo")], (0.30, 0.24, 0.22))
    tower = sf.box(
        [textures[n] for n in ("rocket", "brick", "camera", "hubble_deep_field", "moon")], (0.17, 0.42, 0.17)
    )
    drum = [
        sf.tube(textures["coffee"], 0.11, 0.25, 0.0034),
        sf.facing_up(sf.disc(textures["coins"], 0.11, 0.0034)).moved(0, [0, -0.25, 0]),
    ]
    ball = sf.ball(sf.soft(textures["grass"], (0.36, 0.55, 0.25), 0.8), 0.13, 0.0034)
    picture = sf.leaning([textures["brick"], textures["chelsea"]], 0.42, 0.28, lean_deg=18)
    return [
        top,
        rim,
        *(s.moved(24, [-0.28, 0, 0.02]) for s in crate),
        *(s.moved(-18, [0.12, 0, 0.33]) for s in tower),
        *(s.moved(140, [0.33, 0, -0.05]) for s in drum),
        ball.moved(0, [0.02, -0.13, -0.30]),
        *(s.moved(205, [-0.10, 0, 0.36]) for s in picture),
    ]


def walk(camera: Camera, *, frames: int, fps: int, seed: int) -> list[View]:
    """Return the walk: most of the way around the table, at a changing height, with the sway of a hand."""
    share = np.arange(frames) / max(frames - 1, 1)
    sway = swaying(frames, fps=fps, seed=seed)
    # Slower at both ends: a person starts and stops.
    azimuth = np.radians(TURN_DEG) * (share - 0.08 * np.sin(2 * np.pi * share) - 0.5) + 0.012 * sway[:, 0]
    distance = 1.45 + 0.16 * np.sin(2 * np.pi * share + 0.5) + 0.02 * sway[:, 1]
    height = 0.78 + 0.20 * np.sin(2.2 * np.pi * share - 0.6) + 0.018 * sway[:, 2]
    eyes = np.stack([distance * np.sin(azimuth), -height, -distance * np.cos(azimuth)], axis=-1)
    targets = np.array([0.02, -0.10, 0.04]) + 0.022 * sway[:, 3:6]
    rolls = np.radians(1.3) * sway[:, 6]
    poses = [_rolled(look_at(e, p), a) for e, p, a in zip(eyes, targets, rolls, strict=True)]
    return [View(name=f"{i:05d}", camera=camera, cam_from_world=pose) for i, pose in enumerate(poses)]


def sample_camera(width_px: int, height_px: int) -> Camera:
    """Return the camera of the walk."""
    focal_px = FOCAL_OF_WIDTH * width_px
    return Camera(
        width_px=width_px, height_px=height_px, fx_px=focal_px, fy_px=focal_px, cx_px=width_px / 2, cy_px=height_px / 2
    )


def swaying(frames: int, *, fps: int, seed: int) -> Array:
    """Return (frames, 7) of a hand's sway, each of about unit size."""
    t, rng = np.arange(frames) / fps, np.random.default_rng(seed)
    return np.stack([_slow(rng, t) for _ in range(7)], axis=-1)


def _slow(rng: np.random.Generator, t: Array) -> Array:
    """Return a smooth wander of about unit size: a few waves below 0.8 Hz."""
    waves = [rng.uniform(0.4, 1.0) * np.sin(2 * np.pi * (rng.uniform(0.1, 0.8) * t + rng.uniform())) for _ in range(4)]
    wander: Array = np.sum(waves, axis=0) / 1.5
    return wander


def _rolled(pose: Array, roll: float) -> Array:
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]
    rolled: Array = turn @ pose
    return rolled


def _light(surface: sf.Surface) -> Array:
    """Return (N, 1) shade: a lamp above and to one side."""
    lamp = np.array([0.45, -0.8, -0.4]) / np.linalg.norm([0.45, -0.8, -0.4])
    shade: Array = (0.80 + 0.20 * surface.normals @ lamp)[:, None]
    return shade


def _shadowed(surface: sf.Surface) -> sf.Surface:
    """Return the table top, darker towards what stands on it."""
    shade = np.ones(len(surface.points))
    for x, z, radius_m in SHADOWS_M:
        away = np.hypot(surface.points[:, 0] - x, surface.points[:, 2] - z)
        shade *= 1 - 0.55 * np.exp(-((np.maximum(away - radius_m, 0) / 0.06) ** 2))
    colors = surface.colors * shade[:, None]
    return sf.Surface(points=surface.points, normals=surface.normals, colors=colors, spacing_m=surface.spacing_m)


def _sector(textures: Mapping[str, Texture], poster: str, start: float, span: float) -> sf.Surface:
    """Return a piece of the round wall: a poster on brick whose tint belongs to this piece alone."""
    spacing_m, height_m = 0.02, TABLE_HEIGHT_M - WALL_TOP_M
    u, v = sf.grid(span * ROOM_RADIUS_M, height_m, spacing_m)
    hue = start + np.array([0.0, 2.1, 4.2])
    tint = np.array([0.64, 0.57, 0.50]) + 0.07 * np.cos(hue)
    wall = sf.soft(textures["brick"], (float(tint[0]), float(tint[1]), float(tint[2])), 0.7)
    colors = sf.looked_up(sf.shrunk(wall, span * ROOM_RADIUS_M / spacing_m), u, v)
    inner_u, inner_v = (u - 0.14) / 0.72, (v - 0.33) / 0.52
    on = (np.abs(inner_u - 0.5) < 0.5) & (np.abs(inner_v - 0.5) < 0.5)
    picture = sf.shrunk(textures[poster], 0.72 * span * ROOM_RADIUS_M / spacing_m)
    colors[on] = sf.looked_up(picture, inner_u[on], inner_v[on])
    a = start + u * span
    outward = np.stack([np.sin(a), np.zeros_like(a), np.cos(a)], axis=1)
    points = outward * ROOM_RADIUS_M + np.stack([np.zeros_like(v), WALL_TOP_M + v * height_m, np.zeros_like(v)], axis=1)
    return sf.Surface(points=points, normals=-outward, colors=colors, spacing_m=spacing_m)
