"""Sample captures of other kinds than the walk around a table: a room filmed from inside, and a flight over a yard.

Worlds are metres, y down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from splat_pipeline.domain import sample
from splat_pipeline.domain import surfaces as sf
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.surfaces import Texture

YARD_M, FLIGHT_M = 14.0, 6.0
"""Side of the yard, and height of the flight above it."""
HOUSES = (
    (-2.6, -1.7, 2.0, 1.3, 1.6, 12, ("brick", "page", "coins", "motorcycle_left", "logo")),
    (1.9, -2.3, 1.5, 1.8, 1.4, -25, ("camera", "brick", "rocket", "page", "moon")),
    (-1.1, 1.9, 1.7, 1.0, 2.3, 40, ("coffee", "coins", "brick", "astronaut", "retina")),
    (3.0, 1.6, 1.3, 1.5, 1.3, 70, ("astronaut", "rocket", "camera", "brick", "hubble_deep_field")),
)
"""x, z, width, height, depth, turn in degrees, and what is on the five sides."""
TREES = ((-4.0, 1.2, 0.7), (0.7, 0.1, 0.55), (0.2, 3.6, 0.8), (4.3, -0.6, 0.6), (-0.4, -3.7, 0.7))
"""x, z, radius."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is filmed, and how."""

    scene: Callable[[Mapping[str, Texture]], Gaussians]
    walk: Callable[..., list[View]]
    """Of a camera, ``frames``, ``fps`` and ``seed``."""


def yard(textures: Mapping[str, Texture]) -> Gaussians:
    """Return a yard with houses and trees. ``textures`` holds every name of ``sample.TEXTURES``."""
    ground = sf.facing_up(sf.rectangle(textures["ihc"], YARD_M, YARD_M, 0.045))
    surfaces = [ground]
    for x, z, width_m, height_m, depth_m, turn_deg, sides in HOUSES:
        house = sf.box([textures[name] for name in sides], (width_m, height_m, depth_m), spacing_m=0.025)
        surfaces += [side.moved(turn_deg, [x, 0, z]) for side in house]
    for x, z, radius_m in TREES:
        crown = sf.ball(sf.soft(textures["grass"], (0.33, 0.50, 0.22), 0.8), radius_m, 0.025)
        surfaces.append(crown.moved(0, [x, -radius_m, z]))
    return sample.lit(surfaces)


def stroll(camera: Camera, *, frames: int, fps: int, seed: int) -> list[View]:
    """Return a way along one side of the table's room, with the eyes on what lies across, more and more to the side."""
    share = np.arange(frames) / max(frames - 1, 1)
    sway = sample.swaying(frames, fps=fps, seed=seed)
    along = 1.25 * np.sin(np.pi * (share - 0.5))
    off = -1.75 + 0.18 * np.cos(2 * np.pi * share)
    up = 0.52 + 0.16 * np.sin(3 * np.pi * share)
    eyes = np.stack([along, -up, off], axis=-1) + 0.02 * sway[:, :3]
    turn = np.radians(26.0) * (share - 0.5)
    ahead = np.stack([np.sin(turn), np.full(frames, 0.22), np.cos(turn)], axis=-1)
    return _views(camera, eyes, eyes + 3 * ahead + 0.03 * sway[:, 3:6])


def survey(camera: Camera, *, frames: int, fps: int, seed: int) -> list[View]:
    """Return three strips over the yard, there and back, looking down and a little ahead."""
    share = np.arange(frames) / max(frames - 1, 1)
    sway = sample.swaying(frames, fps=fps, seed=seed)
    across = np.interp(share, [0, 0.28, 0.36, 0.64, 0.72, 1], [-2.4, -2.4, 0, 0, 2.4, 2.4])
    along = np.interp(share, [0, 0.28, 0.36, 0.64, 0.72, 1], [-3.2, 3.2, 3.2, -3.2, -3.2, 3.2])
    eyes = np.stack([across, np.full(frames, -FLIGHT_M), along], axis=-1) + 0.03 * sway[:, :3]
    aims = eyes + np.array([0.0, FLIGHT_M, 1.3]) + 0.03 * sway[:, 3:6]
    return _views(camera, eyes, aims)


def _views(camera: Camera, eyes: sf.Array, aims: sf.Array) -> list[View]:
    poses = [look_at(eye, aim) for eye, aim in zip(eyes, aims, strict=True)]
    return [View(name=f"{i:05d}", camera=camera, cam_from_world=pose) for i, pose in enumerate(poses)]


KINDS = {
    "table": Kind(scene=sample.scene, walk=sample.walk),
    "room": Kind(scene=sample.scene, walk=stroll),
    "yard": Kind(scene=yard, walk=survey),
}
"""By the name that ``splat sample --kind`` takes."""
