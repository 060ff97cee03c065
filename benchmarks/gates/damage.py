"""What is done to the pictures of a clip, one function a kind of damage. Pictures are (H, W, 3) uint8 RGB, in order."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from benchmarks.gates.places import Way
from benchmarks.gates.world import Array, Picture, World, draw
from splat_pipeline.domain.cameras import Camera

Clip = list[Picture]


def blurred(clip: Clip, sigma_px: float) -> Clip:
    """Out of focus, all the time."""
    return [cv2.GaussianBlur(picture, (0, 0), sigma_px) for picture in clip]


def shaken(clip: Clip, length_px: float) -> Clip:
    """Smeared sideways by a fast hand, three frames of four."""
    kernel = np.full((1, int(length_px)), 1 / int(length_px), np.float32)
    return [cv2.filter2D(each, -1, kernel) if i % 4 else each for i, each in enumerate(clip)]


def dimmed(clip: Clip, gain: float, *, noise: float = 2.0) -> Clip:
    """So dark, with the noise that a sensor adds all the same."""
    return noisy([(picture * gain).astype(np.uint8) for picture in clip], noise)


def noisy(clip: Clip, sigma: float) -> Clip:
    """With noise of so many grey values."""
    rng = np.random.default_rng(0)
    return [np.clip(each + rng.normal(0, sigma, each.shape), 0, 255).astype(np.uint8) for each in clip]


def exposed(clip: Clip, stops: float) -> Clip:
    """With an exposure that wanders by so many stops up and down."""
    gains = 2 ** (stops * np.sin(np.linspace(0, 4 * np.pi, len(clip))))
    return [np.clip(each * gain, 0, 255).astype(np.uint8) for each, gain in zip(clip, gains, strict=True)]


def held(clip: Clip, every: float) -> Clip:
    """With frames that were dropped, the one before shown instead: only one of ``every`` is new."""
    return [clip[i - i % int(every)] for i in range(len(clip))]


def cut_off(clip: Clip, count: float) -> Clip:
    """End it after so many frames."""
    return clip[: int(count)]


def rolled(world: World, camera: Camera, way: Way, *, frames: int, bands: int = 12) -> Clip:
    """Read row by row while the camera goes on for so many ``frames``."""
    clip = []
    for i in range(len(way.poses)):
        edges = np.linspace(0, camera.height_px, bands + 1).astype(int)
        parts = []
        for band in range(bands):
            place = min(i + frames * band / bands, len(way.poses) - 1.001)
            pose = between(way.poses, place)
            parts.append(draw(world, camera, pose, rows=slice(edges[band], edges[band + 1])))
        clip.append(np.concatenate(parts))
    return clip


def between(poses: Array, place: float) -> Array:
    """Return the pose at a place between two frames."""
    i, share = int(place), place % 1
    pose = (1 - share) * poses[i] + share * poses[i + 1]
    u, _, vt = np.linalg.svd(pose[:3, :3])
    pose[:3, :3] = u @ vt
    return pose


def crowded(world: World, movers: Sequence[World], camera: Camera, way: Way, *, reach_m: float) -> Clip:
    """With things that go to and fro before the camera by so many metres, each its own way."""
    clip = []
    for i, pose in enumerate(way.poses):
        seen = list(world)
        for number, mover in enumerate(movers):
            phase = 2 * np.pi * (i / 17 + number / len(movers))
            shift = reach_m * np.array([np.sin(phase), 0, 0.6 * np.cos(1.3 * phase + number)])
            seen += [quad.moved(shift) for quad in mover]
        clip.append(draw(seen, camera, pose))
    return clip
