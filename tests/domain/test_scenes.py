"""The kind of a scene is told from motion and from poses, with what speaks for it."""

from __future__ import annotations

import numpy as np
import pytest

from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.scenes import scene_of_motion, scene_of_poses

RNG = np.random.default_rng(0)


def ring(count: int = 60, *, radius: float = 3.0, height: float = -1.0, outward: bool = False):
    """Cameras on a circle that look at its middle, or away from it; y is down."""
    turn = np.arange(count) / count * 2 * np.pi
    centers = np.stack([radius * np.sin(turn), np.full(count, height), radius * np.cos(turn)], axis=1)
    looks = centers * [1, 0, 1] if outward else -centers
    return centers, looks / np.linalg.norm(looks, axis=1, keepdims=True)


def test_cameras_around_one_thing_film_an_object() -> None:
    centers, axes = ring()
    scene = scene_of_poses("auto", centers, axes, RNG.normal(0, 0.5, (2000, 3)), [None])
    assert (scene.scene_type, scene.source) == ("object", "poses")
    assert "look at one place, from 354 degrees" in scene.evidence[0]


def test_walls_around_the_cameras_are_indoors_and_far_things_outdoors() -> None:
    centers, axes = ring(radius=1.0, outward=True)
    turn, height = RNG.uniform(0, 2 * np.pi, 2000), RNG.uniform(-1.5, 1.0, 2000)
    level = np.stack([np.sin(turn), np.zeros(2000), np.cos(turn)], axis=1)
    walls = 4 * level + height[:, None] * [0, 1, 0]
    assert scene_of_poses("auto", centers, axes, walls, [None]).scene_type == "indoor"
    street = np.where(np.arange(2000)[:, None] % 8 == 0, 80 * level, walls)
    assert scene_of_poses("auto", centers, axes, street, [None]).scene_type == "outdoor"


def test_cameras_that_look_down_on_all_of_it_fly() -> None:
    at = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)
    centers = np.column_stack([at[:, 0], np.full(64, -10.0), at[:, 1]])
    axes = np.tile([0.0, 1.0, 0.0], (64, 1))
    ground = np.column_stack([RNG.uniform(-5, 12, 3000), RNG.normal(0, 0.3, 3000), RNG.uniform(-5, 12, 3000)])
    assert scene_of_poses("auto", centers, axes, ground, [None]).scene_type == "aerial"
    assert scene_of_poses("auto", *ring(), ground, ["DJI"]).scene_type == "aerial"


@pytest.mark.parametrize(
    ("share", "make", "expected"), [(0.95, None, "auto"), (0.6, None, "dynamic"), (0.95, "DJI", "aerial")]
)
def test_motion_tells_what_moves_and_a_maker_what_flies(share: float, make: str | None, expected: str) -> None:
    frames = [{"epipolar_share": share}] * 20 + [{"epipolar_share": None}]
    scene = scene_of_motion("auto", frames, [make])
    assert (scene.scene_type, scene.source) == (expected, "motion")
    assert f"{1 - share:.0%}" in scene.evidence[0]


def test_the_job_file_has_the_last_word() -> None:
    asked = Recipe().overridden({"scene_type": "dynamic"}, source="job.yaml").scene_type
    centers, axes = ring()
    told = (scene_of_motion(asked, [], ["DJI"]), scene_of_poses(asked, centers, axes, centers, ["DJI"]))
    assert {(scene.scene_type, scene.source) for scene in told} == {("dynamic", "job.yaml")}
