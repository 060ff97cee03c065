import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.lens import INSET_PX, intrinsics, project, undistorted, undistortion_maps

CAMERAS = [
    ColmapCamera(model="SIMPLE_PINHOLE", width_px=64, height_px=48, params=(50.0, 33.0, 23.0)),
    ColmapCamera(model="PINHOLE", width_px=64, height_px=48, params=(50.0, 52.0, 33.0, 23.0)),
    ColmapCamera(model="SIMPLE_RADIAL", width_px=64, height_px=48, params=(50.0, 33.0, 23.0, -0.2)),
    ColmapCamera(model="SIMPLE_RADIAL", width_px=64, height_px=48, params=(50.0, 33.0, 23.0, 0.2)),
    ColmapCamera(model="RADIAL", width_px=64, height_px=48, params=(50.0, 33.0, 23.0, -0.1, 0.05)),
    ColmapCamera(model="OPENCV", width_px=64, height_px=48, params=(50.0, 52.0, 33.0, 23.0, -0.1, 0.03, 0.002, -0.003)),
]
each_camera = pytest.mark.parametrize("camera", CAMERAS, ids=lambda c: f"{c.model}{c.params[3:4]}")


@each_camera
def test_projection_is_colmaps(camera):
    theirs = pycolmap.Camera(model=camera.model, width=64, height=48, params=camera.params)
    points = np.random.default_rng(0).uniform([-1, -1, 1.5], [1, 1, 4], (30, 3))
    np.testing.assert_allclose(project(camera, points), [theirs.img_from_cam(p) for p in points], atol=1e-9)


def test_a_point_behind_the_camera_has_no_pixel():
    assert np.isnan(project(CAMERAS[0], [[0.0, 0, -1], [0, 0, 0]])).all()


@each_camera
def test_every_undistorted_pixel_comes_from_inside_the_picture(camera):
    u, v = (m + 0.5 for m in undistortion_maps(camera, undistorted(camera)))
    slack = 1e-4
    assert u.min() >= INSET_PX - slack
    assert v.min() >= INSET_PX - slack
    assert u.max() <= camera.width_px - INSET_PX + slack
    assert v.max() <= camera.height_px - INSET_PX + slack


@each_camera
def test_no_more_is_cut_away_than_needed(camera):
    """Some edge of the undistorted picture touches an edge of the distorted one."""
    u, v = (m + 0.5 for m in undistortion_maps(camera, undistorted(camera)))
    gaps = (u.min(), v.min(), camera.width_px - u.max(), camera.height_px - v.max())
    assert min(gaps) == pytest.approx(INSET_PX, abs=0.01)


@each_camera
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_map_leads_to_where_the_lens_shows_the_same_ray(camera, seed):
    ideal = undistorted(camera)
    u, v = undistortion_maps(camera, ideal)
    rng = np.random.default_rng(seed)
    row, column = rng.integers(0, camera.height_px), rng.integers(0, camera.width_px)
    ray = [(column + 0.5 - ideal.cx_px) / ideal.fx_px, (row + 0.5 - ideal.cy_px) / ideal.fy_px, 1.0]
    seen = project(camera, np.array(ray) * rng.uniform(0.5, 9))
    np.testing.assert_allclose([u[row, column] + 0.5, v[row, column] + 0.5], seen, atol=1e-4)


def test_a_lens_without_distortion_changes_nothing():
    for camera in CAMERAS[:2]:
        ideal = undistorted(camera)
        assert (ideal.fx_px, ideal.fy_px, ideal.cx_px, ideal.cy_px) == intrinsics(camera)
        u, v = undistortion_maps(camera, ideal)
        np.testing.assert_allclose(u, np.broadcast_to(np.arange(64), (48, 64)), atol=1e-5)
        np.testing.assert_allclose(v, np.broadcast_to(np.arange(48)[:, None], (48, 64)), atol=1e-5)
