"""What kind of scene was filmed, and what speaks for it: first from motion alone, later from the poses.

``job.yaml`` has the last word. "auto" means that nothing tells yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.orbit import around, covered, extent_of, focus_of
from splat_pipeline.domain.upright import is_aerial

Float = NDArray[np.float64]

SCENE_FILE = "scene.json"
MOVES_ABOVE = 0.25
"""Median share of tracks that one camera motion does not explain. Measured: at most 0.14 for real captures."""
AROUND_DEG = 60.0
INSIDE_BELOW = 0.3
"""Share of the cameras that stand inside the inner half of the points: about an object, few do."""
DOWN_DEG = 40.0
"""Measured: 31 for a kitchen filmed by hand, from above its counter."""
BELOW_SHARE = 0.95
"""Of the points, below every camera: seen from the air."""
SECTORS, SURROUNDED = 12, 0.6
"""Of the directions around the cameras, the share in which there are points: walls."""
FAR = 6.0
"""Times the median distance from the cameras at which the farthest twentieth of the points begins: under the sky."""


@dataclass(frozen=True, kw_only=True)
class SceneType:
    """A kind of scene: auto, object, indoor, outdoor, aerial or dynamic."""

    scene_type: str
    source: str
    """job.yaml, motion or poses."""
    evidence: Sequence[str]
    """In words, with figures."""

    def to_json(self) -> dict[str, Any]:
        """Return the form in which it is shown."""
        return asdict(self)


def scene_of_motion(asked: str, frames: Iterable[Mapping[str, Any]], makes: Iterable[object]) -> SceneType:
    """Judge by rows of ``tables.FRAMES`` and the makers of the cameras. ``asked``: the recipe's ``scene_type``."""
    if asked != "auto":
        return SceneType(scene_type=asked, source="job.yaml", evidence=(f"scene_type: {asked}",))
    rigid = [float(row["epipolar_share"]) for row in frames if row["epipolar_share"] is not None]
    moves = 1.0 - float(np.median(rigid)) if rigid else 0.0
    evidence = [f"{moves:.0%} of the tracks move against the camera's motion (dynamic above {MOVES_ABOVE:.0%})"]
    if is_aerial("auto", makes):
        return SceneType(scene_type="aerial", source="motion", evidence=(*evidence, "the camera is a drone's"))
    if moves > MOVES_ABOVE:
        return SceneType(scene_type="dynamic", source="motion", evidence=tuple(evidence))
    return SceneType(scene_type="auto", source="motion", evidence=(*evidence, "poses will tell more"))


def scene_of_poses(asked: str, centers: Float, axes: Float, points: Float, makes: Iterable[object]) -> SceneType:
    """Judge by cameras, centers and unit viewing axes (C, 3), and points (P, 3) in the upright world, y down."""
    if asked != "auto":
        return SceneType(scene_type=asked, source="job.yaml", evidence=(f"scene_type: {asked}",))
    focus, converging = focus_of(centers, axes)
    start, stop = covered(around(focus, centers)[0])
    middle, half = extent_of(points, np.ones(len(points)), share=0.5)
    inside = float(np.mean(np.linalg.norm(centers - middle, axis=1) < half))
    down_deg = float(np.degrees(np.median(np.arcsin(np.clip(axes[:, 1], -1, 1)))))
    below = float(np.mean(points[:, 1] > centers[:, 1].max()))
    sectors, reach = _surroundings(centers, points)
    span_deg = float(np.degrees(stop - start))
    evidence = [
        f"the cameras {'look' if converging else 'do not look'} at one place, from {span_deg:.0f} degrees around it",
        f"{inside:.0%} of the cameras stand inside the inner half of the points",
        f"they look {down_deg:.0f} degrees down; {below:.0%} of the points lie below all of them",
        f"points lie in {sectors:.0%} of the directions around them, the farthest at {reach:.1f} times the median",
    ]
    if is_aerial("auto", makes):
        kind = "aerial"
        evidence.append("the camera is a drone's")
    elif converging and span_deg >= AROUND_DEG and inside < INSIDE_BELOW:
        kind = "object"
    elif not converging and down_deg > DOWN_DEG and below > BELOW_SHARE:
        kind = "aerial"
    elif reach < FAR and (sectors >= SURROUNDED or inside >= INSIDE_BELOW):
        kind = "indoor"
    else:
        kind = "outdoor" if reach >= FAR else "auto"
    return SceneType(scene_type=kind, source="poses", evidence=tuple(evidence))


def _surroundings(centers: Float, points: Float) -> tuple[float, float]:
    """Return the share of level directions from the cameras' middle that hold points, and how far the farthest are."""
    offsets = points - np.median(centers, axis=0)
    sector = np.floor((np.arctan2(offsets[:, 0], offsets[:, 2]) / (2 * np.pi) + 0.5) * SECTORS).astype(int) % SECTORS
    counts = np.bincount(sector, minlength=SECTORS)
    distance = np.linalg.norm(offsets, axis=1)
    reach = float(np.quantile(distance, 0.95) / max(float(np.median(distance)), 1e-12))
    return float(np.mean(counts > 0.01 * len(points))), reach
