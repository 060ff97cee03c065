"""What the page that shows a splat is told agrees with our camera and fits its budget."""

from __future__ import annotations

import numpy as np
import pytest
from clouds import some_gaussians

from splat_pipeline.domain.camera_paths import CameraPath
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.formats.spz import read_spz, write_spz
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.viewer import Shot, fitted, placed, scene_of

CAMERA = Camera(width_px=320, height_px=180, fx_px=200, fy_px=200, cx_px=160, cy_px=90)


def view_from(x: float, y: float, z: float) -> View:
    return View(name="v", camera=CAMERA, cam_from_world=look_at(np.array([x, y, z]), np.zeros(3)))


def test_a_place_is_projected_alike_by_our_camera_and_by_the_page_of_the_viewer() -> None:
    view, place = view_from(1.0, -2.0, -3.0), np.array([0.3, 0.2, -0.4])
    x, y, z = (view.cam_from_world @ [*place, 1])[:3]
    ours = np.array([x / z * 200 / 160, -y / z * 200 / 90])  # -1 to 1, up and right
    told = placed(view)
    there = np.linalg.inv(np.array(told["pose"]).reshape(4, 4)) @ [*(place * [1, -1, -1]), 1]
    slope = np.tan(np.radians(told["fov_deg"] / 2))
    page = there[:2] / -there[2] / slope / [told["aspect"], 1]
    assert page == pytest.approx(ours, abs=1e-4)


def test_up_is_up_in_the_page() -> None:
    pose = np.array(placed(view_from(0.0, -2.0, -3.0))["pose"]).reshape(4, 4)
    assert pose[1, 3] == pytest.approx(2.0)  # the camera is above, and the page's y points up
    assert pose[1, 1] > 0.5  # and so does the camera's


@pytest.mark.parametrize(("kind", "mode"), [("orbit", "orbit"), ("arc", "orbit"), ("flight", "fly")])
def test_a_page_begins_where_the_preview_does_and_moves_as_it_does(kind: str, mode: str) -> None:
    views = (view_from(1, -2, -3), view_from(2, -2, -3))
    path = CameraPath(kind=kind, because="", target=np.array([0.1, 0.2, 0.3]), views=views)
    shots = [Shot(name="a.mp4 at 1.0 s", view=views[1], confidence=1.0)]
    scene = scene_of(some_gaussians(50, 1, 0), path, shots)
    assert scene["start"] == placed(views[0])
    assert (scene["mode"], scene["target"]) == (mode, [0.1, -0.2, -0.3])
    assert scene["poses"] == [{"name": "a.mp4 at 1.0 s", "colour": "#0d9488", **placed(views[1])}]
    assert 0 < scene["near"] < scene["frame_size"] < scene["reach"] < scene["far"]


def test_a_splat_is_made_to_fit_harmonics_first_and_says_what_it_lost(tmp_path) -> None:
    def pack(some) -> bytes:
        write_spz(tmp_path / "x.spz", some)
        return (tmp_path / "x.spz").read_bytes()

    whole = some_gaussians(2000, 3, 0)
    weights = np.arange(2000, dtype=np.float32)
    full = pack(whole)
    assert fitted(whole, weights, pack=pack, most_bytes=len(full)) == (full, None)
    fewer, left_out = fitted(whole, weights, pack=pack, most_bytes=len(full) - 1)
    assert len(fewer) < len(full)
    assert left_out == "harmonics above degree 2"
    least, left_out = fitted(whole, weights, pack=pack, most_bytes=15_000)
    assert len(least) <= 15_300  # about: what is kept may compress a little worse
    assert left_out is not None
    kept = read_spz(tmp_path / "x.spz")
    assert kept.sh_degree == 0
    assert kept.means == pytest.approx(whole.means[-len(kept) :], abs=1e-3)
    assert left_out.startswith("harmonics, and the ")
    assert left_out.endswith(" least seen of 2,000 Gaussians")
