"""The captures of the benchmark: what is done to which scene, how much of it, and what that ought to be called."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from benchmarks.gates import damage, places
from benchmarks.gates.damage import Clip
from benchmarks.gates.places import Way, along, around, shelves, standing, table, turning
from benchmarks.gates.truth import SHIP_DB
from benchmarks.gates.world import World, camera_of, draw
from splat_pipeline.domain.cameras import Camera

FPS, FRAMES = 10, 32
CAMERA: Camera = camera_of(240, 180)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A world and a way through it."""

    world: Callable[[], World]
    way: Way
    ship_db: float = SHIP_DB
    """What novel views must reach to be good."""

    def clip(self) -> Clip:
        """Return what an undamaged camera films."""
        world = self.world()
        return [draw(world, CAMERA, pose) for pose in self.way.poses]


@dataclass(frozen=True, kw_only=True)
class Capture:
    """One labelled capture whose pictures are damaged, or not."""

    kind: str
    """Of damage; "none": undamaged."""
    strength: str
    scene: Scene
    film: Callable[[Scene], Clip] = Scene.clip
    classes: frozenset[str] = frozenset()
    """What its failure may rightly be called, if it fails."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Other files of the upload."""

    @property
    def name(self) -> str:
        """Unique among all."""
        return f"{self.kind}-{self.strength}"


def _table(seed: int, **more: Any) -> Scene:
    return Scene(world=partial(table, seed), way=around(FRAMES, seed, **more))


def _shelves(seed: int, **more: Any) -> Scene:
    return Scene(world=partial(shelves, seed), way=along(FRAMES, seed, **more))


def reference() -> Scene:
    """Return the scene whose good capture is damaged where it is reconstructed or trained."""
    return replace(_shelves(3), ship_db=21.0)  # 27.4 undamaged


def captures() -> list[Capture]:
    """Return all captures whose pictures are damaged, and the undamaged ones."""
    return [*_good(), *_pictures(), *_ways(), *_lenses()]


def _good() -> list[Capture]:
    found = [
        *(("table", str(seed), _table(seed)) for seed in (1, 2, 3)),
        *(("shelves", str(seed), _shelves(seed)) for seed in (1, 2, 3)),
        ("table", "wide", _table(2, span_deg=150.0)),
        ("table", "near", _table(1, away_m=1.45)),
    ]
    return [Capture(kind="none", strength=f"{place}-{which}", scene=scene) for place, which, scene in found]


LOST = frozenset({"few-registered", "low-overlap", "no-model"})
"""What may be said of pictures in which too little is found again."""
ON_PICTURES: tuple[tuple[str, Callable[[Clip, float], Clip], tuple[float, ...], frozenset[str]], ...] = (
    ("blur", damage.blurred, (0.7, 2.5, 8), frozenset({"blurred", "low-texture"}) | LOST),
    ("shake", damage.shaken, (5, 41), frozenset({"blurred"}) | LOST),
    ("dark", damage.dimmed, (0.35, 0.1, 0.03), frozenset({"too-dark", "low-texture"}) | LOST),
    ("noise", damage.noisy, (4, 25, 80), frozenset({"weak-footage", "low-texture", "dynamic", "untrained"}) | LOST),
    ("exposure", damage.exposed, (0.2, 1, 3), frozenset({"weak-footage", "untrained"}) | LOST),
    ("dropped", damage.held, (2, 5, 13), frozenset({"too-short", "static-camera", "weak-footage"}) | LOST),
    ("short", damage.cut_off, (6, 15), frozenset({"too-short"})),
)
"""What is done to the pictures of a good way: kind, how, how much, what that may be called."""


def _pictures() -> list[Capture]:
    """Return clips of good ways whose pictures are bad."""
    both = (_table(1), _shelves(1))
    damaged = [
        Capture(
            kind=kind, strength=f"{much:g}", scene=both[i % 2], classes=classes,
            film=lambda scene, change=change, much=much: change(scene.clip(), much),
        )
        for kind, change, strengths, classes in ON_PICTURES
        for i, much in enumerate(strengths)
    ]  # fmt: skip
    others = {"half": [_shelves(3)], "four": [_shelves(2), _table(3), _shelves(3)]}
    cuts = [
        Capture(
            kind="cuts", strength=strength, scene=both[0], classes=LOST | {"weak-footage", "several-parts", "drift"},
            film=lambda scene, rest=rest: _spliced([scene, *rest]),
        )
        for strength, rest in others.items()
    ]  # fmt: skip
    return [*damaged, *cuts]


def _spliced(scenes: list[Scene]) -> Clip:
    each = FRAMES // len(scenes)
    return [picture for i, scene in enumerate(scenes) for picture in scene.clip()[i * each : (i + 1) * each]]


def _ways() -> list[Capture]:
    """Return clips whose camera, or whose world, cannot give a splat, or hardly."""
    spot = [
        Capture(
            kind="rotation", strength=f"{metres:g}m", classes=frozenset({"rotation-only", "planar", "no-model"}),
            scene=Scene(world=partial(shelves, 1), way=turning(FRAMES, 1, drift_m=metres)),
        )
        for metres in (0.0, 0.04, 0.9)
    ]  # fmt: skip
    still = [
        Capture(
            kind="static", strength=f"{metres:g}m", classes=frozenset({"static-camera"}),
            scene=Scene(world=partial(table, 1), way=standing(FRAMES, 1, shake_m=metres)),
        )
        for metres in (0.0, 0.004)
    ]  # fmt: skip
    flat = [
        Capture(
            kind="planar", strength=f"{away:g}m", classes=frozenset({"planar", "drift", "rotation-only"}),
            scene=Scene(world=partial(places.flat_wall, 1), way=along(FRAMES, 1, away_m=away)),
        )
        for away in (-0.6, 1.5)
    ]  # fmt: skip
    bare = Capture(
        kind="bare", strength="walls", scene=Scene(world=_bare, way=around(FRAMES, 1)),
        classes=frozenset({"low-texture", "no-model", "blurred"}),
    )  # fmt: skip
    mirrors = [
        Capture(
            kind="mirror", strength=which, scene=Scene(world=_mirrored, way=scene.way),
            classes=frozenset({"dynamic", "drift", "untrained"}),
        )
        for which, scene in (("ahead", _shelves(1)),)
    ]  # fmt: skip
    moving = [
        Capture(
            kind="moving", strength=strength, scene=_table(2), film=partial(_crowd, count=count, reach_m=reach),
            classes=frozenset({"dynamic", "untrained", "few-registered"}),
        )
        for strength, count, reach in (("one", 1, 0.3), ("some", 4, 0.6), ("crowd", 12, 1.2))
    ]  # fmt: skip
    rolls = [
        Capture(
            kind="rolling", strength=f"{frames:g}", scene=_shelves(2), film=partial(_rolled, frames=frames),
            classes=frozenset({"bad-poses-found", "drift", "untrained", "few-registered"}),
        )
        for frames in (0.3, 3.0)
    ]  # fmt: skip
    loops = [
        Capture(
            kind="loop",
            strength=which,
            scene=_table(3, span_deg=span),
            classes=frozenset(
                {"drift", "few-registered", "low-overlap", "untrained"}
            ),  # 13 keyframes for a whole circle
        )
        for which, span in (("open", 200.0), ("closed", 360.0))
    ]
    return [*spot, *still, *flat, bare, *mirrors, *moving, *rolls, *loops]


def _bare() -> World:
    import numpy as np

    return [replace(quad, paper=np.full_like(quad.paper, 90 + 23 * (i % 6))) for i, quad in enumerate(table(1))]


def _mirrored() -> World:
    """Return shelves whose far wall is a mirror: what is seen in it lies behind it."""
    world = shelves(1)
    far = world[1]
    rest = [quad for quad in world if quad is not far]
    return [*rest, *(quad.mirrored(2, places.HALF_M) for quad in rest)]


def _crowd(scene: Scene, count: int, reach_m: float) -> Clip:
    import numpy as np

    rng = np.random.default_rng(count)
    movers = [
        places.box(900 + 7 * i, (*rng.uniform(-0.9, 0.9, 1), 0, *rng.uniform(-0.9, 0.9, 1)), (0.3, 0.9, 0.3), 20 * i)
        for i in range(count)
    ]
    return damage.crowded(scene.world(), movers, CAMERA, scene.way, reach_m=reach_m)


def _rolled(scene: Scene, frames: float) -> Clip:
    return damage.rolled(scene.world(), CAMERA, scene.way, frames=frames)


def _lenses() -> list[Capture]:
    """Return good clips that come with a wrong calibration."""
    found = []
    for factor in (1.03, 2.0):
        params = [factor * CAMERA.fx_px, CAMERA.cx_px, CAMERA.cy_px]
        lens = {"model": "SIMPLE_PINHOLE", "width_px": CAMERA.width_px, "height_px": CAMERA.height_px, "params": params}
        found.append(
            Capture(
                kind="focal", strength=f"{factor:g}", scene=_table(1),
                beside={"calibration.json": json.dumps({"version": 1, "cameras": {"clip": lens}})},
                classes=LOST | {"bad-calibration", "bad-poses-found", "drift", "planar", "untrained"},
            )
        )  # fmt: skip
    return found
