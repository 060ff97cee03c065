"""The preview's path: what is chosen for which capture, and how nerfstudio reads it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from turning import CAMERA, TARGET, cloud, ring

from splat_pipeline.domain.camera_paths import (
    CameraPath,
    Filmed,
    nerfstudio_path,
    preview_camera,
    preview_path,
    well_drawn,
)
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.orbit import around, direction, look_at


def filmed(views: list[View]) -> Filmed:
    return Filmed(gaussians=cloud(), weights=cloud().opacities, views=views)


def path_of(views: list[View], frames: int = 60) -> CameraPath:
    return preview_path(filmed(views), preview_camera(views, longer_px=960, shorter_px=540), frames=frames)


def test_a_walk_around_gives_a_full_turn_that_closes() -> None:
    path = path_of(ring(0, 340))
    assert path.kind == "orbit"
    assert "full turn" in path.because
    np.testing.assert_allclose(path.target, TARGET, atol=0.05)
    eyes = np.array([view.center for view in path.views])
    steps = np.linalg.norm(np.roll(eyes, -1, axis=0) - eyes, axis=1)
    assert np.ptp(steps) < 0.1 * steps.mean()  # the step from the last frame to the first is like every other
    np.testing.assert_allclose(np.linalg.norm(eyes - path.target, axis=1), 3.5, atol=0.4)  # 3 was filmed, and cuts it
    _, elevation, _ = around(path.target, eyes)
    np.testing.assert_allclose(np.degrees(elevation), 30, atol=0.1)  # pleasant, and near the 25 that were filmed


@pytest.mark.parametrize(("start_deg", "stop_deg"), [(-40, 60), (150, 300), (330, 400)])
def test_an_arc_is_never_left_and_the_swing_closes(start_deg: float, stop_deg: float) -> None:
    path = path_of(ring(start_deg, stop_deg))
    assert path.kind == "arc"
    azimuth, _, _ = around(path.target, np.array([view.center for view in path.views]))
    off = np.degrees(azimuth) - (start_deg + stop_deg) / 2
    off = (off + 180) % 360 - 180
    assert np.abs(off).max() <= (stop_deg - start_deg) / 2 + 2
    assert np.abs(off).max() >= 0.9 * (stop_deg - start_deg) / 2 - 2
    assert abs(off[0]) < 3
    assert np.abs(np.diff(np.append(off, off[0]))).max() < 12


def test_the_height_follows_the_captured_cameras_and_the_distance_stays_near_theirs() -> None:
    turn = np.radians(np.linspace(-80, 80, 60))
    away, up = 3 + np.sin(turn), np.radians(38) + 0.1 * np.cos(2 * turn)
    eyes = TARGET + away[:, None] * direction(turn, up)
    path = path_of([View(name="", camera=CAMERA, cam_from_world=look_at(eye, TARGET)) for eye in eyes])
    azimuth, elevation, distance = around(path.target, np.array([view.center for view in path.views]))
    assert 0.7 * away.min() <= distance.min() < distance.max() <= 1.3 * away.max()
    np.testing.assert_allclose(elevation, np.interp(azimuth, turn, up), atol=0.06)


def test_the_height_stays_near_what_was_filmed_and_within_limits() -> None:
    low = path_of(ring(0, 340, elevation_deg=-5))
    _, elevation, _ = around(low.target, low.views[0].center[None])
    assert 0 < np.degrees(elevation[0]) <= 7
    high = path_of(ring(0, 340, elevation_deg=80))
    _, elevation, _ = around(high.target, high.views[0].center[None])
    assert 65 < np.degrees(elevation[0]) < 75


def test_a_room_filmed_from_inside_is_flown_through_along_the_captured_path() -> None:
    centers = np.stack([np.linspace(-0.4, 0.4, 30), np.zeros(30), np.zeros(30)], axis=1) + TARGET
    turn = np.linspace(0, 2.5, 30)
    looks = np.stack([np.sin(turn), 0.1 * np.ones(30), np.cos(turn)], axis=1)
    views = [
        View(name="", camera=CAMERA, cam_from_world=look_at(c, c + k)) for c, k in zip(centers, looks, strict=True)
    ]
    path = path_of(views)
    assert path.kind == "flight"
    assert "stand amid the scene" in path.because
    eyes = np.array([view.center for view in path.views])
    assert np.linalg.norm(eyes[:, None] - centers[None], axis=2).min(axis=1).max() < 0.1
    assert np.linalg.norm(np.roll(eyes, -1, axis=0) - eyes, axis=1).max() < 0.06


def test_a_straight_walk_has_no_focus_and_a_jump_between_clips_is_not_flown_over() -> None:
    first = np.stack([np.zeros(30), np.zeros(30), np.linspace(0, 3, 30)], axis=1)
    second = first[:10] + np.array([50, 0, 0])
    views = [
        View(name="", camera=CAMERA, cam_from_world=look_at(c, c + np.array([0, 0, 1])))
        for c in np.concatenate([first, second])
    ]
    path = path_of(views)
    assert path.kind == "flight"
    assert max(view.center[0] for view in path.views) < 1


def test_a_flight_does_not_whirl_between_views_that_look_elsewhere() -> None:
    centers = np.stack([np.linspace(0, 2, 40), np.zeros(40), np.zeros(40)], axis=1)
    turn = np.where(np.arange(40) < 26, 0.0, np.pi * 0.8)
    looks = np.stack([np.sin(turn), np.zeros(40), np.cos(turn)], axis=1)
    views = [
        View(name="", camera=CAMERA, cam_from_world=look_at(c, c + k)) for c, k in zip(centers, looks, strict=True)
    ]
    path = preview_path(filmed(views), CAMERA, frames=60, kind="flight")
    assert all(view.cam_from_world[2, 2] > 0.99 for view in path.views)  # all look as the longer stretch did
    eyes = np.array([view.center[0] for view in path.views])
    assert centers[0, 0] < eyes.min() < eyes.max() < centers[25, 0]


def test_one_camera_is_a_flight_that_stands_still() -> None:
    path = path_of(ring(0, 0, n=1), frames=4)
    assert path.kind == "flight"
    assert np.isfinite([view.cam_from_world for view in path.views]).all()


def test_a_portrait_capture_gets_a_portrait_film_with_the_angle_of_its_shorter_side() -> None:
    tall = Camera(width_px=360, height_px=640, fx_px=550, fy_px=550, cx_px=180, cy_px=320)
    camera = preview_camera([View(name="", camera=tall, cam_from_world=np.eye(4))], longer_px=960, shorter_px=540)
    assert (camera.width_px, camera.height_px) == (540, 960)
    assert camera.fx_px / 540 == pytest.approx(550 / 360)


@pytest.mark.parametrize("kind", ["orbit", "arc", "flight"])
def test_a_person_may_ask_for_another_path_than_the_capture_suggests(kind: str) -> None:
    for views in (ring(0, 90), ring(0, 340), ring(0, 0, n=3)):
        camera = preview_camera(views, longer_px=960, shorter_px=540)
        path = preview_path(filmed(views), camera, frames=60, kind=kind)
        assert (path.kind, path.because) == (kind, "asked for")
        assert np.isfinite([view.cam_from_world for view in path.views]).all()
    turn = np.unwrap(around(path.target, np.array([view.center for view in path.views]))[0])
    assert kind != "orbit" or np.degrees(np.ptp(turn)) > 350


def test_views_that_the_splat_draws_badly_are_left_out_but_never_most_of_them() -> None:
    assert well_drawn(np.array([24.0, 25, 12, 23, 20.5])).tolist() == [True, True, False, True, True]
    assert well_drawn(np.array([15.0, 16, 13])).tolist() == [True, True, False]  # 14 dB are wanted of all
    assert well_drawn(np.array([9.0, 8, 7, 6])).sum() == 2
    assert well_drawn(np.array([np.inf, 30.0])).any()


def seen_by_nerfstudio(told: dict, number: int, place: np.ndarray) -> np.ndarray:
    """Pixel of a place in nerfstudio's world: as ``get_path_from_json`` and its perspective cameras have it."""
    assert told["camera_type"] == "perspective"
    camera = told["camera_path"][number]
    world_from_camera = np.array(camera["camera_to_world"]).reshape(4, 4)[:3]
    focal_px = 0.5 * told["render_height"] / np.tan(np.radians(camera["fov"]) / 2)  # three.js: vertical
    x, y, z = world_from_camera[:, :3].T @ (place - world_from_camera[:, 3])
    return np.array([told["render_width"] / 2 - focal_px * x / z, told["render_height"] / 2 + focal_px * y / z])


def test_nerfstudio_sees_a_known_place_where_we_do_in_a_world_whose_z_is_up() -> None:
    path = path_of(ring(0, 340), frames=10)
    told = json.loads(json.dumps(nerfstudio_path(path, fps=5)))
    assert told["seconds"] == 2
    assert [set(camera) for camera in told["camera_path"]] == [{"camera_to_world", "fov", "aspect"}] * 10
    place, view = TARGET + np.array([0.2, -0.3, 0.1]), path.views[3]
    ours = view.cam_from_world @ [*place, 1]
    pixel = ours[:2] / ours[2] * view.camera.fx_px + [view.camera.cx_px, view.camera.cy_px]
    theirs = np.array(told["applied_transform"]) @ [*place, 1]
    assert theirs == pytest.approx([place[0], place[2], -place[1]])
    assert seen_by_nerfstudio(told, 3, theirs) == pytest.approx(pixel, abs=1e-6)
    pose = np.array(told["camera_path"][3]["camera_to_world"]).reshape(4, 4)
    assert pose[2, 1] > 0.7  # the picture's up is the world's z
