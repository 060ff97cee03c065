"""A walk around a ring of landmarks, as features without pictures: what long captures are tested and timed on.

The camera walks a circle once and a little more, looking outward at landmarks 2.5 to 5.5 m away; the circle grows with
the number of frames, so that neighbours always share as much. Each landmark has a descriptor of its own, so that
matching, retrieval and verification run as on real features, at a fraction of the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resources.features import ImageFeatures, write_features

Float = NDArray[np.float64]

SIZE = (800, 600)
FOCAL_PX = 700.0
RADIAL = -0.03
STEP_M = 0.16
"""Between two frames."""
CLUTTER = 25
"""Features an image that no other image has."""


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """What is walked and what goes wrong."""

    frames: int
    laps: float = 1.06
    seen_again: bool = True
    """False: what is seen for the second time looks different, so that no loop can be found."""
    alias: bool = False
    """A tenth of a lap, half a lap on, looks exactly as the beginning does: a false loop."""
    clips: int = 1
    features: int = 220
    noise_px: float = 0.7
    seed: int = 0

    @property
    def names(self) -> list[str]:
        """Images by clip and time."""
        clip = np.arange(self.frames) * self.clips // self.frames
        return [f"clip{c}/{i:05d}.jpg" for i, c in enumerate(clip)]

    @property
    def radius_m(self) -> float:
        """Of the camera's circle."""
        return self.frames * STEP_M / (2 * np.pi * self.laps)

    def truth(self) -> Float:
        """Return the (N, 4, 4) cam_from_world of every frame: z up in the world, y down in the camera."""
        angle = np.linspace(0, 2 * np.pi * self.laps, self.frames)
        rng = np.random.default_rng(self.seed + 1)
        sway = 0.15 * np.cumsum(rng.normal(size=(self.frames, 3)), axis=0) / np.sqrt(self.frames)
        out = np.tile(np.eye(4), (self.frames, 1, 1))
        for i, a in enumerate(angle):
            heading = a + 0.1 * np.sin(7 * a)
            ahead = np.array([np.cos(heading), np.sin(heading), 0.0])
            down = np.array([0, 0, -1.0])
            rotation = np.stack([np.cross(down, ahead), down, ahead])
            center = np.array([self.radius_m * np.cos(a), self.radius_m * np.sin(a), 0.3 * np.sin(11 * a)]) + sway[i]
            out[i, :3, :3], out[i, :3, 3] = rotation, -rotation @ center
        return out

    def write(self, folder: Path) -> None:
        """Write the features of all frames to ``folder``."""
        folder.mkdir(parents=True)
        rows = self._rows()
        for clip in range(self.clips):
            write_features(folder / f"clip{clip}.parquet", [r for r in rows if r.image.startswith(f"clip{clip}/")])

    def _rows(self) -> list[ImageFeatures]:
        rng = np.random.default_rng(self.seed)
        xyz, word = self._landmarks(rng)
        words = _descriptors(rng, int(word.max()) + 1)
        angle = np.arctan2(xyz[:, 1], xyz[:, 0]) % (2 * np.pi)
        again = words if self.seen_again else _descriptors(rng, len(words))
        lap = self.frames / self.laps
        rows = []
        for i, (name, pose) in enumerate(zip(self.names, self.truth(), strict=True)):
            seen, xy = _projected(pose, xyz)
            chosen = rng.permutation(len(seen))[: self.features]
            xy = xy[chosen] + rng.normal(0, self.noise_px, (len(chosen), 2))
            kinds = word[seen[chosen]]
            late = (i > lap / 2) & (angle[seen[chosen]] < np.pi)
            look = np.where(late[:, None], again[kinds], words[kinds])
            xy = np.concatenate([xy, rng.uniform(0, SIZE, (CLUTTER, 2))])
            look = np.concatenate([look, _descriptors(rng, CLUTTER)])
            rows.append(_features(name, xy, look))
        return rows

    def _landmarks(self, rng: np.random.Generator) -> tuple[Float, NDArray[np.int64]]:
        """Positions (L, 3), and which descriptor each has."""
        count = int(2 * np.pi * (self.radius_m + 4) * 70)
        angle = rng.uniform(0, 2 * np.pi, count)
        away = self.radius_m + rng.uniform(2.5, 5.5, count)
        height = rng.uniform(-2.2, 2.2, count)
        word = np.arange(count)
        if self.alias:
            shift, share = np.pi, 2 * np.pi * 0.1
            like = np.flatnonzero(angle < share)
            keep = (angle < shift) | (angle > shift + share)
            angle = np.concatenate([angle[keep], angle[like] + shift])
            away = np.concatenate([away[keep], away[like]])
            height = np.concatenate([height[keep], height[like]])
            word = np.concatenate([word[keep], word[like]])
        return np.stack([away * np.cos(angle), away * np.sin(angle), height], axis=1), word


def _projected(pose: Float, xyz: Float) -> tuple[NDArray[np.int64], Float]:
    local = xyz @ pose[:3, :3].T + pose[:3, 3]
    near = np.flatnonzero((local[:, 2] > 0.5) & (local[:, 2] < 12))
    flat = local[near, :2] / local[near, 2:]
    flat *= 1 + RADIAL * (flat**2).sum(1, keepdims=True)
    xy = FOCAL_PX * flat + np.array(SIZE) / 2
    inside = ((xy > 0) & (xy < SIZE)).all(1)
    return near[inside], xy[inside]


def _descriptors(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Return (count, 128): square roots of L1-normed histograms, as SIFT's are stored."""
    counts = rng.gamma(0.6, size=(count, 128))
    out: NDArray[np.uint8] = (512 * np.sqrt(counts / counts.sum(1, keepdims=True))).clip(0, 255).astype(np.uint8)
    return out


def _features(name: str, xy: Float, look: NDArray[np.uint8]) -> ImageFeatures:
    shape = np.tile([2.0, 0, 0, 2.0], (len(xy), 1))
    keypoints = np.concatenate([xy, shape], axis=1).astype(np.float32)
    return ImageFeatures(image=name, width_px=SIZE[0], height_px=SIZE[1], keypoints=keypoints, descriptors=look)


def in_order(found: dict[str, Float], names: Sequence[str]) -> tuple[Float, list[int]]:
    """Return the poses of the images that were found, (K, 4, 4), and their positions in ``names``."""
    have = [i for i, name in enumerate(names) if name in found]
    return np.stack([found[names[i]] for i in have]), have
