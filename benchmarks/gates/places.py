"""The scenes of the benchmark and the ways of the camera through them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.gates.world import Array, World, box, wall
from splat_pipeline.domain.orbit import look_at

HALF_M, TOP_M = 2.4, -2.2
"""Half the side of a room, and how high its walls are (y down, floor at 0)."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """N poses, cam_from_world (N, 4, 4), at ``fps``."""

    poses: Array
    fps: int = 10


def room(seed: int, *, half_m: float = HALF_M) -> World:
    """Return a floor and four walls."""
    side, h = 2 * half_m, -TOP_M
    return [
        wall(seed, (-half_m, 0, -half_m), (side, 0, 0), (0, 0, side), photo=False),
        wall(seed + 1, (-half_m, TOP_M, half_m), (side, 0, 0), (0, h, 0), photo=True),
        wall(seed + 2, (-half_m, TOP_M, -half_m), (0, 0, side), (0, h, 0), photo=True),
        wall(seed + 3, (half_m, TOP_M, half_m), (0, 0, -side), (0, h, 0), photo=True),
        wall(seed + 4, (half_m, TOP_M, -half_m), (-side, 0, 0), (0, h, 0), photo=True),
    ]


def things(seed: int) -> World:
    """Return boxes that stand together in the middle."""
    rng = np.random.default_rng(seed)
    out: World = []
    for i in range(5):
        a = 2 * np.pi * (i / 5 + 0.05 * rng.uniform(-1, 1))
        size = rng.uniform(0.25, 0.5), rng.uniform(0.3, 1.0), rng.uniform(0.25, 0.5)
        out += box(seed + 10 * i, (0.5 * np.sin(a), 0, 0.5 * np.cos(a)), size, rng.uniform(0, 90))
    return out


@cache
def table(seed: int) -> World:
    """Return a room with things in the middle."""
    return [*room(100 * seed), *things(100 * seed + 50)]


@cache
def shelves(seed: int) -> World:
    """Return a room with boxes before its far wall."""
    rng = np.random.default_rng(seed)
    out = room(100 * seed + 7)
    for i in range(5):
        size = rng.uniform(0.3, 0.6), rng.uniform(0.5, 1.6), rng.uniform(0.2, 0.5)
        out += box(100 * seed + 60 + 8 * i, (-1.8 + 0.9 * i, 0, rng.uniform(0.6, 1.8)), size, rng.uniform(-30, 30))
    return out


@cache
def flat_wall(seed: int) -> World:
    """Return one large wall and nothing else."""
    return [wall(100 * seed + 3, (-6, -4, 2.0), (12, 0, 0), (0, 8, 0), photo=False)]


def sway(frames: int, seed: int) -> Array:
    """Return (N, 3): the wander of a hand, about unit size."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / 10
    waves = [
        rng.uniform(0.3, 0.6, 3) * np.sin(2 * np.pi * (rng.uniform(0.1, 0.5, 3) * t + rng.uniform(size=3)))
        for _ in range(3)
    ]
    out: Array = np.sum(waves, axis=0)
    return out


def around(frames: int, seed: int, *, span_deg: float = 85.0, away_m: float = 1.75) -> Way:
    """Return an arc around the middle."""
    hand = sway(frames, seed)
    turn = np.radians(np.linspace(0, span_deg, frames) + 40 * seed)
    eyes = np.stack([away_m * np.sin(turn), -1.15 + 0 * turn, -away_m * np.cos(turn)], 1) + 0.04 * hand
    poses = [look_at(eye, np.array([0.0, -0.35, 0.0]) + 0.03 * h) for eye, h in zip(eyes, hand, strict=True)]
    return Way(poses=np.stack(poses))


def along(frames: int, seed: int, *, length_m: float = 1.7, away_m: float = 1.6) -> Way:
    """Return a way sideways, looking ahead."""
    hand, share = sway(frames, seed), np.linspace(-0.5, 0.5, frames)
    eyes = np.stack([length_m * share, -1.1 + 0.15 * np.sin(6 * share), -away_m + 0.4 * share**2], 1) + 0.04 * hand
    targets = np.stack([0.6 * length_m * share, -0.7 + 0 * share, 1.5 + 0 * share], 1) + 0.03 * hand
    return Way(poses=np.stack([look_at(eye, target) for eye, target in zip(eyes, targets, strict=True)]))


def turning(frames: int, seed: int, *, span_deg: float = 80.0, drift_m: float = 0.0) -> Way:
    """Return a turn on the spot, ``drift_m`` to the side all in all."""
    angle = np.radians(np.linspace(-span_deg / 2, span_deg / 2, frames) + 30 * seed)
    eyes = np.stack([drift_m * np.linspace(-0.5, 0.5, frames), np.full(frames, -1.1), np.full(frames, -0.4)], 1)
    ahead = np.stack([np.sin(angle), 0.15 + 0 * angle, np.cos(angle)], 1)
    return Way(poses=np.stack([look_at(eye, eye + to) for eye, to in zip(eyes, ahead, strict=True)]))


def standing(frames: int, seed: int, *, shake_m: float = 0.0) -> Way:
    """Return a camera that stands, ``shake_m`` of a tripod's tremble."""
    hand = sway(frames, seed)
    target = np.array([0.0, -0.4, 0.0])
    eyes = np.array([0.9, -1.15, -1.5]) + shake_m * hand
    return Way(poses=np.stack([look_at(eye, target) for eye in eyes]))
